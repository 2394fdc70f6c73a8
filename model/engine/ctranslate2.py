"""CTranslate2, the C++ engine, behind the face of our engines: for comparison, and for users who want it.

Knows requests, and CTranslate2's Python calls; the export is in `interchange.ctranslate2`. CTranslate2 has no running
batch that segments could join: what waits is sorted by length and cut into static batches.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from ...errors import ConfigurationError
from ..checkpoint import Checkpoint
from ..decoding import Hypothesis, SearchOptions
from ..interchange.piece_names import SPECIAL_PIECES, piece_names
from ..vocabularies.vocabulary import END
from .cuda_libraries import load_cublas
from .delivery import fail
from .limits import EngineLimits
from .request import Request
from .static_engine import StaticEngine

Precision = Literal["float32", "float16", "int8"]
END_NAME = SPECIAL_PIECES[END]
CLOSED = "the translator was closed before this segment was translated"


class CTranslate2Engine(StaticEngine):
    """Translates with CTranslate2; see `Engine`.

    Scores are comparable with ours: the sum of log-probabilities, END's included, by the length with END to the power
    of the length penalty. Two things differ by design of CTranslate2: what may not come (PAD, UNKNOWN and BEGIN; END
    before `min_pieces`; repeated n-grams) gives its probability to what may, and a beam ends with its `beam_size`-th
    finished hypothesis. It never asks the network about a source without pieces: the translation is empty.
    `piece_scores` are there only with a prefix. Sampling, coverage penalty, alignment and shortlists it does not take:
    those requests get a `ConfigurationError`.
    """

    has_own_weights = True
    takes_shortlists = False

    def __init__(
        self, checkpoint: Checkpoint, device: torch.device, precision: Precision, limits: EngineLimits | None = None
    ) -> None:
        """Export the checkpoint to a temporary folder, load it from there, and remove the folder.

        Raises `ConfigurationError` without the package ctranslate2, for an architecture that it cannot run, and for a
        device or precision that it does not have here.
        """
        bounds = limits or EngineLimits()
        self.name = f"ctranslate2 {precision}"
        self._search = CTranslate2Search(checkpoint, _load(checkpoint, device, precision, bounds.threads))
        super().__init__(self._translate_open, bounds.waiting)

    def submit(self, requests: Sequence[Request], timeout_seconds: float | None = None) -> None:
        """See `Engine.submit`; a batch that has begun is translated even if its futures are cancelled."""
        possible = []
        for request in requests:
            refusal = _refusal(request)
            if refusal:
                fail([request], ConfigurationError(refusal))
            else:
                possible.append(request)
        super().submit(possible, timeout_seconds)

    def _translate_open(self, requests: Sequence[Request]) -> list[list[Hypothesis]]:
        """The hypotheses of requests with equal options; nothing for those that were cancelled meanwhile."""
        if self._waiting.is_closed:
            raise ConfigurationError(CLOSED)
        wanted = [request for request in requests if not request.future.cancelled()]
        found = iter(self._search(wanted))
        asked = {id(request) for request in wanted}
        return [next(found) if id(request) in asked else [] for request in requests]


class CTranslate2Search:
    """One static batch through CTranslate2. Knows no futures."""

    def __init__(self, checkpoint: Checkpoint, translator: Any) -> None:
        """Take a `ctranslate2.Translator` of the exported checkpoint, which adds END to a source."""
        self._translator = translator
        self._source_names, self._target_names = piece_names(checkpoint.vocabulary)
        self._pieces = {name: piece for piece, name in enumerate(self._target_names)}

    def __call__(self, requests: Sequence[Request]) -> list[list[Hypothesis]]:
        """The hypotheses, best first, of each of the requests, which have equal options."""
        found: dict[int, list[Hypothesis]] = {}
        for places in _runs(requests):
            found |= self._run([(place, requests[place]) for place in places])
        return [found.get(place) or [Hypothesis(request.options.prefix, 0.0)] for place, request in enumerate(requests)]

    def _run(self, waiting: Sequence[tuple[int, Request]]) -> dict[int, list[Hypothesis]]:
        """One batch up to its longest limit; segments that went beyond their own, which is rare, run once more."""
        found: dict[int, list[Hypothesis]] = {}
        while waiting:
            limit = max(request.limit for _, request in waiting)
            answers = self._found([request for _, request in waiting], limit)
            found |= {place: answer for (place, _), answer in zip(waiting, answers, strict=True)}
            # Those that have the longest limit are not among them.
            waiting = [(place, request) for place, request in waiting if _longest(found[place]) > request.limit]
        return found

    def _found(self, requests: Sequence[Request], limit: int) -> list[list[Hypothesis]]:
        options = requests[0].options
        sources = [[self._source_names[piece] for piece in request.source[:-1]] for request in requests]
        prefix = [self._target_names[piece] for piece in options.prefix]
        results = self._translator.translate_batch(
            sources,
            [prefix] * len(sources) if prefix else None,
            beam_size=options.beam_size,
            num_hypotheses=options.n_best,
            length_penalty=options.length_penalty,
            no_repeat_ngram_size=options.no_repeat_ngram,
            max_input_length=0,
            min_decoding_length=min(options.min_pieces, limit),
            max_decoding_length=limit,
            return_scores=True,
            return_end_token=True,
        )
        rows = [(row, names) for row, result in enumerate(results) for names in result.hypotheses]
        if prefix:
            ours = self._rescored([(sources[row], names) for row, names in rows], options)
        else:
            scores = [score for result in results for score in result.scores]
            ours = [self._scored(names, score, options) for (_, names), score in zip(rows, scores, strict=True)]
        grouped: list[list[Hypothesis]] = [[] for _ in requests]
        for (row, _), hypothesis in zip(rows, ours, strict=True):
            grouped[row].append(hypothesis)
        return [sorted(group, key=lambda one: -one.score) for group in grouped]

    def _scored(self, names: Sequence[str], score: float, options: SearchOptions) -> Hypothesis:
        """A hypothesis of `names` with END, unless the limit cut it, from CTranslate2's score by that length."""
        pieces = self._without_end(names)
        log_probability = score * float(len(names) ** options.length_penalty)
        return Hypothesis(pieces, options.finished_score(log_probability, len(pieces)))

    def _rescored(self, pairs: Sequence[tuple[list[str], list[str]]], options: SearchOptions) -> list[Hypothesis]:
        """Hypotheses with the log-probability of every piece: in its search CTranslate2 counts none of a prefix."""
        targets = [names[:-1] if names[-1] == END_NAME else names for _, names in pairs]
        results = self._translator.score_batch([source for source, _ in pairs], targets, max_input_length=0)
        hypotheses = []
        for (_, names), result in zip(pairs, results, strict=True):
            pieces = self._without_end(names)
            # An END that the limit forced says nothing of the translation.
            scores = [*result.log_probs[: len(names)], *[0.0] * (len(pieces) + 1 - len(names))]
            score = options.finished_score(sum(scores), len(pieces))
            hypotheses.append(Hypothesis(pieces, score, tuple(scores)))
        return hypotheses

    def _without_end(self, names: Sequence[str]) -> tuple[int, ...]:
        return tuple(self._pieces[name] for name in names if name != END_NAME)


def _load(checkpoint: Checkpoint, device: torch.device, precision: Precision, threads: int) -> Any:
    try:
        import ctranslate2

        from ..interchange.ctranslate2 import export_ctranslate2
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the engine ctranslate2 needs the library {error.name}: pip install 'dragoman[ctranslate2]'"
        ) from error
    if device.type == "cuda":
        load_cublas()
    with tempfile.TemporaryDirectory(prefix="dragoman-") as parent:
        folder = Path(parent) / "model"
        export_ctranslate2(checkpoint, folder, precision)
        try:
            return ctranslate2.Translator(
                str(folder),
                device.type,
                device_index=device.index or 0,
                compute_type=precision,
                inter_threads=1,
                intra_threads=threads or torch.get_num_threads(),
            )
        except (RuntimeError, ValueError) as error:
            raise ConfigurationError(f"CTranslate2 cannot run {precision} on {device}: {error}") from error


def _refusal(request: Request) -> str:
    options = request.options
    unable = {
        "sampling as ours": options.sampling is not None,
        "coverage penalty": options.coverage_penalty > 0,
        "alignment": options.alignment != "none",
        "shortlist of each segment's own": request.shortlist is not None or options.vocabulary != "whole",
    }
    asked = [name for name, is_asked in unable.items() if is_asked]
    if asked:
        return f"the engine ctranslate2 has no {asked[0]}: leave it out, or take the engine reference"
    if len(options.prefix) > request.limit:
        return f"a prefix of {len(options.prefix)} pieces does not fit a translation of at most {request.limit}"
    return ""


def _runs(requests: Sequence[Request]) -> list[list[int]]:
    """The places of the requests that run together: a limit that END may not come before stands alone.

    There is nothing to run for a source or a translation without pieces.
    """
    runs: dict[int, list[int]] = {}
    for place, request in enumerate(requests):
        if request.limit and len(request.source) > 1:
            runs.setdefault(request.limit if request.limit <= request.options.min_pieces else 0, []).append(place)
    return list(runs.values())


def _longest(hypotheses: Sequence[Hypothesis]) -> int:
    return max(len(one.pieces) for one in hypotheses)
