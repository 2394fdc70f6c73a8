"""A corpus of sixty sentences written here, and configs of runs on it that take a second."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dragoman.model.training import reports
from dragoman.model.training.config import TrainConfig

WHO = (("The dog", "Le chien"), ("The cat", "Le chat"), ("The child", "L'enfant"), ("My friend", "Mon ami"))
WHAT = (("sleeps", "dort"), ("waits", "attend"), ("sings", "chante"))
WHERE = (
    ("in the garden", "dans le jardin"),
    ("near the door", "près de la porte"),
    ("under a tree", "sous un arbre"),
    ("at home", "à la maison"),
    ("all night", "toute la nuit"),
)
PAIRS = [
    tuple(" ".join(words) + "." for words in zip(*parts, strict=True)) for parts in itertools.product(WHO, WHAT, WHERE)
]
LANGUAGES = ["en", "fr"]
SETTINGS: dict[str, Any] = {
    "name": "tiny-en-fr",
    "pairs": ["en-fr"],
    "output": "tiny",
    "data": {
        "corpora": [{"path": "corpus.tsv", "languages": LANGUAGES}],
        "dev": [{"path": "dev.tsv", "languages": LANGUAGES}],
        "max_pieces": 60,
    },
    "vocabulary": {"size": 310},
    "network": {
        "width": 16,
        "heads": 2,
        "feed_forward": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "max_positions": 128,
    },
    "optimiser": {"learning_rate": 0.01, "warmup_steps": 2},
    "run": {"batch_tokens": 300, "max_steps": 3, "threads": 1, "device": "cpu", "precision": "fp32"},
    "card": {"licence": "CC0 1.0", "attribution": "Written for a test.", "note": "Knows a garden."},
}


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing a curve takes longer than a tiny run; the tests of `draw_curve` itself call it by its name."""
    monkeypatch.setattr(reports, "draw_curve", lambda _points, path: path.touch())


MakeConfig = Callable[..., TrainConfig]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the corpus and the development set are."""
    lines = [f"{source}\t{target}\n" for source, target in PAIRS]
    (tmp_path / "corpus.tsv").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "dev.tsv").write_text("".join(lines[::20]), encoding="utf-8")
    return tmp_path


@pytest.fixture
def make_config() -> MakeConfig:
    """Makes the config of a run of three steps; keyword arguments change keys of its sections, or whole values."""

    def make(**changes: Any) -> TrainConfig:
        settings = dict(SETTINGS)
        for name, change in changes.items():
            known = settings.get(name)
            settings[name] = known | change if isinstance(known, dict) else change
        return TrainConfig.model_validate(settings)

    return make
