"""Writes the model card of a checkpoint (Mitchell et al. 2019, arXiv:1810.03993) from what the run saw."""

from dataclasses import dataclass

from .evaluation.scores import Quality
from .training.config import TrainConfig


@dataclass(frozen=True, slots=True)
class Measured:
    """What a card reports: quality by name of the test set and search, and how the run went."""

    corpus: str
    training: str
    qualities: tuple[tuple[str, Quality], ...]


def model_card(config: TrainConfig, measured: Measured) -> str:
    """The card as Markdown."""
    qualities = "\n".join(
        f"| {name} | {quality.bleu:.1f} | {quality.chrf:.1f} |" for name, quality in measured.qualities
    )
    corpora = [short_name(path) for path in config.data.train]
    shape = config.shape
    signature = measured.qualities[0][1].bleu_signature if measured.qualities else ""
    return f"""# {config.name}

Translates {config.source} to {config.target}. A Transformer encoder-decoder ({shape.encoder_layers} + \
{shape.decoder_layers} layers, width {shape.width}, {shape.vocabulary_size} SentencePiece pieces), trained by \
`dragoman train` on the config `{config.name}.toml`.

## Quality

| test set | BLEU | chrF |
|---|---|---|
{qualities}

sacrebleu `{signature}`, all references of the test set.

## Training

- Corpus: {", ".join(corpora)}; {measured.corpus}.
- Run: {measured.training}.

## Licence

{config.card.licence}

{config.card.attribution}

## Limits

{config.card.note}
"""


def short_name(path: str) -> str:
    """The last folder and the file name: where on a disk a corpus was is nobody's business."""
    return "/".join(path.rsplit("/", 2)[-2:])
