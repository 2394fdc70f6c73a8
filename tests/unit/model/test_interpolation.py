"""Weights between those of two checkpoints."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from dragoman.cli.models_show import average
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dragoman.model.interpolation import between
from dragoman.model.vocabularies.characters import CharacterVocabulary

CPU = torch.device("cpu")
LETTERS = CharacterVocabulary("abcdefgh", ["fr"])


def tiny(seed: int, vocabulary: CharacterVocabulary = LETTERS, width: int = 16, dropout: float = 0.1) -> Checkpoint:
    torch.manual_seed(seed)
    shape = TransformerConfig(
        len(vocabulary), width=width, heads=2, feed_forward=32, encoder_layers=1, decoder_layers=1, dropout=dropout
    )
    return Checkpoint(f"tiny{seed}", (("en", "fr"),), Transformer(shape), vocabulary, f"# tiny{seed}\n", f"{seed:064x}")


def weights(checkpoint: Checkpoint) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in checkpoint.network.parameters()]


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_each_weight_has_its_share_of_both(share: float) -> None:
    first, second = tiny(1), tiny(2, dropout=0.3)
    expected = [share * a + (1 - share) * b for a, b in zip(weights(first), weights(second), strict=True)]
    made = between(first, second, share)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(weights(made), expected, strict=True))
    assert (made.name, made.pairs) == (first.name, first.pairs)
    assert f"{share:g} of that of tiny1@" in made.card


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (tiny(2, width=32), "not of one shape"),
        (tiny(2, CharacterVocabulary("hgfedcba", ["fr"])), "different vocabularies"),
    ],
    ids=["shape", "vocabulary"],
)
def test_another_model_is_refused(other: Checkpoint, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        between(tiny(1), other, 0.5)


def test_the_average_is_saved_and_says_what_it_is(tmp_path: Path) -> None:
    for number in (1, 2):
        save_checkpoint(replace(tiny(number), sha256=""), tmp_path / f"tiny{number}", "float32")
    folders = [str(tmp_path / name) for name in ("tiny1", "tiny2", "out")]
    result = CliRunner().invoke(average, [*folders, "--share", "0.75", "--storage", "float32"], catch_exceptions=False)
    made = load_checkpoint(tmp_path / "out", CPU)
    assert result.output.startswith("0.75 of tiny1@")
    assert "## Average" in made.card
    expected = [0.75 * a + 0.25 * b for a, b in zip(weights(tiny(1)), weights(tiny(2)), strict=True)]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(weights(made), expected, strict=True))
