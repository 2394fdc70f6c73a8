"""Writes the model card of a checkpoint (Mitchell et al. 2019, arXiv:1810.03993) from what the run saw."""

from dataclasses import asdict, dataclass

from .architectures.network import Network
from .training.config import TrainConfig
from .training.development import DevQuality, short_name


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card reports: the corpus file by file, how the run went and on what, and how good the result is."""

    corpus: tuple[str, ...]
    run: str
    hardware: str
    qualities: tuple[DevQuality, ...]


def model_card(config: TrainConfig, network: Network, facts: CardFacts) -> str:
    """The card as Markdown."""
    return f"""# {config.name}

Translates {_listed(config)}. {_network(network)}

## Quality

{_quality_table(facts.qualities)}

## Training

{_corpora(config, facts)}

- Run: {facts.run}.
- Hardware: {facts.hardware}.
- Again, with the corpora where the config looks for them: `dragoman train {config.name}.toml`.

## Licence

{config.card.licence}

{config.card.attribution}

## Limits

{config.card.note or "None are known."}
"""


def _listed(config: TrainConfig) -> str:
    named = [f"{source} to {target}" for source, target in config.directions]
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def _network(network: Network) -> str:
    shape = asdict(network.config)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    told = ", ".join(f"{name} {value}" for name, value in shape.items() if value is not None)
    return f"A {type(network).__name__} of {parameters:,} parameters ({told})."


def _quality_table(qualities: tuple[DevQuality, ...]) -> str:
    rows = [
        f"| {quality.name} | {quality.segments} | {quality.beam_size} | {quality.bleu:.1f} | {quality.chrf:.1f} |"
        for quality in qualities
    ]
    signatures = dict.fromkeys(
        sign for quality in qualities for sign in (quality.bleu_signature, quality.chrf_signature)
    )
    signed = ", ".join(f"`{signature}`" for signature in signatures)
    table = "\n".join(["| development set | segments | beam | BLEU | chrF |", "|---|---|---|---|---|", *rows])
    return f"{table}\n\nsacrebleu {signed}."


def _corpora(config: TrainConfig, facts: CardFacts) -> str:
    start = [f"- Began with the checkpoint {short_name(config.start.checkpoint)}."] if config.start else []
    return "\n".join([*start, *(f"- {line}" for line in facts.corpus)])
