"""The options of `dragoman translate` that say how to search, and what they make of `SearchOptions`."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from ..errors import ConfigurationError
from ..model.decoding import Sampling, SearchOptions

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS = (
    click.option("--beam-size", type=click.IntRange(1, 64), default=None, help="1 is greedy search."),
    click.option("--max-length", type=click.IntRange(0), default=None, help="Most pieces of a translation."),
    click.option("--min-length", type=click.IntRange(0), default=0, help="Fewest pieces of a translation."),
    click.option(
        "--length-penalty", type=float, default=None, help="A score is divided by length ** this. Default: 1."
    ),
    click.option(
        "--coverage-penalty", type=click.FloatRange(0), default=0.0, help="Weight of source left untranslated."
    ),
    click.option("--n-best", type=click.IntRange(1, 64), default=1, help="How many hypotheses to write."),
    click.option(
        "--no-repeat-ngram", type=click.IntRange(0), default=0, help="No N pieces come twice in a row's text."
    ),
    click.option("--prefix", default="", help="Text that every translation begins with."),
    click.option("--sample", is_flag=True, help="Draw each piece at random instead of searching for the best."),
    click.option("--temperature", type=float, default=None, help="With --sample: below 1 is more careful."),
    click.option("--top-k", type=click.IntRange(1), default=None, help="With --sample: only from the K likeliest."),
    click.option("--top-p", type=float, default=None, help="With --sample: only from the likeliest of probability P."),
    click.option("--seed", type=click.IntRange(0), default=None, help="With --sample: the same seed, the same text."),
    click.option("--shortlist", is_flag=True, help="Only pieces of the model's shortlist for the source: quicker."),
    click.option("--alignment", is_flag=True, help="Write which source piece each piece comes from."),
)
SAMPLING_ONLY = ("temperature", "top_k", "top_p", "seed")


def decoding_options(command: Function) -> Function:
    """Give a command the options above."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def search_options(default_beam_size: int, given: Mapping[str, Any]) -> SearchOptions:
    """What the options ask for, all but the prefix; raises `ConfigurationError` where they contradict each other."""
    sampling = _sampling(given)
    beam_size = given["beam_size"] or (1 if sampling else max(default_beam_size, given["n_best"]))
    if sampling is None and beam_size == 1:
        _refuse_for_greedy(given)
    return SearchOptions(
        beam_size=beam_size,
        length_penalty=1.0 if given["length_penalty"] is None else given["length_penalty"],
        coverage_penalty=given["coverage_penalty"],
        n_best=given["n_best"],
        min_pieces=given["min_length"],
        max_pieces=given["max_length"],
        no_repeat_ngram=given["no_repeat_ngram"],
        sampling=sampling,
        alignment="hard" if given["alignment"] else "none",
        vocabulary="shortlist" if given["shortlist"] else "whole",
    )


def _sampling(given: Mapping[str, Any]) -> Sampling | None:
    chosen = {name: given[name] for name in SAMPLING_ONLY if given[name] is not None}
    if given["sample"]:
        if (given["beam_size"] or 1) > 1:
            raise ConfigurationError("--sample draws, --beam-size searches: take one of them")
        return Sampling(**chosen)
    if chosen:
        first = "--" + next(iter(chosen)).replace("_", "-")
        raise ConfigurationError(f"{first} says how to draw pieces: add --sample, or leave it out")
    return None


def _refuse_for_greedy(given: Mapping[str, Any]) -> None:
    """Greedy search has one hypothesis: what ranks several of them does nothing."""
    if given["coverage_penalty"]:
        raise ConfigurationError("--coverage-penalty ranks hypotheses: take a --beam-size above 1")
