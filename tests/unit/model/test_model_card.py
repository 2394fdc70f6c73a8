"""What a model card says."""

from collections.abc import Callable
from typing import Any

import pytest
from dragoman.model.architectures.transformer import Transformer
from dragoman.model.model_card import CardFacts, model_card
from dragoman.model.training.config import TrainConfig
from dragoman.model.training.development import DevQuality

LANGUAGES = ["en", "fr"]
SETTINGS: dict[str, Any] = {
    "name": "tiny-en-fr",
    "pairs": ["en-fr", "fr-en"],
    "output": "tiny",
    "data": {
        "corpora": [{"path": "/srv/corpora/books/train.tsv", "languages": LANGUAGES}],
        "dev": [{"path": "/srv/corpora/books/dev.tsv", "languages": LANGUAGES}],
    },
    "run": {"max_steps": 3},
    "card": {"licence": "CC0 1.0", "attribution": "Written for a test.", "note": "Knows a garden."},
}
FACTS = CardFacts(
    corpus=("books/train.tsv (en-fr): 60 pairs kept; dropped: none",),
    run="3 steps, 0 full epochs, 900 target pieces in 1 minutes, fp32",
    hardware="CPU",
    qualities=(
        DevQuality("en-fr books/dev.tsv", 20, 4, 31.25, 52.04, "bleu-signature", "chrf-signature"),
        DevQuality("fr-en books/dev.tsv", 20, 4, 33.0, 50.0, "bleu-signature", "chrf-signature"),
    ),
)


@pytest.fixture
def network(tiny_network: Callable[[int, int], Transformer]) -> Transformer:
    return tiny_network(20, 1)


def card(network: Transformer, **changes: Any) -> str:
    return model_card(TrainConfig.model_validate(SETTINGS | changes), network, FACTS)


@pytest.mark.parametrize(
    "words",
    [
        "# tiny-en-fr",
        "Translates en to fr and fr to en.",
        "A Transformer of ",
        "vocabulary_size 20, width 16",
        "| en-fr books/dev.tsv | 20 | 4 | 31.2 | 52.0 |",
        "| fr-en books/dev.tsv | 20 | 4 | 33.0 | 50.0 |",
        "sacrebleu `bleu-signature`, `chrf-signature`.",
        "- books/train.tsv (en-fr): 60 pairs kept; dropped: none",
        "- Run: 3 steps",
        "- Hardware: CPU.",
        "`dragoman train tiny-en-fr.toml`",
        "CC0 1.0",
        "Written for a test.",
        "Knows a garden.",
    ],
)
def test_card_says_what_a_user_must_know(network: Transformer, words: str) -> None:
    assert words in card(network)


def test_card_names_the_checkpoint_that_a_run_began_with(network: Transformer) -> None:
    begun = card(network, start={"checkpoint": "/srv/models/teacher"})

    assert "- Began with the checkpoint models/teacher." in begun


def test_card_does_not_tell_where_files_were(network: Transformer) -> None:
    assert "/srv" not in card(network, start={"checkpoint": "/srv/models/teacher"})
