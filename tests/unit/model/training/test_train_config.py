"""The TOML file of a training run."""

from pathlib import Path

import dragoman.model
import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.training.config import load_train_config, resolve

MINIMAL = """
name = "tiny-en-fr"
source = "en"
target = "fr"
output = "tiny"

[data]
train = ["corpus.tsv"]
dev = "dev.tsv"

[run]
max_steps = 3

[card]
licence = "CC0"
attribution = "Written for a test."
"""
CONFIGS = sorted((Path(dragoman.model.__path__[0]) / "configs").glob("*.toml"))


def config_file(folder: Path, content: str) -> Path:
    path = folder / "run.toml"
    path.write_text(content, encoding="utf-8")
    return path


def refusal(folder: Path, content: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load_train_config(config_file(folder, content))
    return str(refused.value)


def test_minimal_config_is_enough(tmp_path: Path) -> None:
    config, folder = load_train_config(config_file(tmp_path, MINIMAL))

    assert (config.name, config.run.max_steps, folder) == ("tiny-en-fr", 3, tmp_path)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_committed_config_is_usable(path: Path) -> None:
    assert load_train_config(path)[0].name == path.stem


def test_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.toml cannot be read: No such file or directory"):
        load_train_config(tmp_path / "absent.toml")


@pytest.mark.parametrize("content", ["name =", "[data", "name = 'one"])
def test_config_is_refused_when_it_is_not_toml(tmp_path: Path, content: str) -> None:
    assert "run.toml is not TOML" in refusal(tmp_path, content)


def test_config_is_refused_when_it_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes("name = 'été'".encode("latin-1"))

    with pytest.raises(ConfigurationError, match=r"run\.toml is not TOML"):
        load_train_config(tmp_path / "run.toml")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("[run]", "[run]\nspeed = 9", "run.speed: Extra inputs are not permitted"),
        ('source = "en"', "", "source: Field required"),
        ('name = "tiny-en-fr"', 'name = "../tiny"', "name: String should match pattern"),
        ('["corpus.tsv"]', "[]", "data.train: List should have at least 1 item"),
        ("max_steps = 3", "max_steps = 0", "run.max_steps: Input should be greater than or equal to 1"),
        ("[card]", "[shape]\nwidth = 30\nheads = 4\n[card]", "shape: Value error, width 30 must be even and divide by"),
        ("[card]", "[shape]\nwidth = 9\nheads = 3\n[card]", "shape: Value error, width 9 must be even and divide by"),
        ("[card]", "[shape]\nmax_positions = 64\n[card]", "do not fit into shape.max_positions 64"),
        ("[card]", '[optimiser]\nmethod = "sgd"\n[card]', "optimiser.method: Input should be 'adamw' or 'muon'"),
    ],
)
def test_fault_is_named(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert fault in refusal(tmp_path, MINIMAL.replace(old, new))


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    sentence = refusal(tmp_path, MINIMAL.replace('source = "en"', "").replace('dev = "dev.tsv"', ""))

    assert "source: Field required; data.dev: Field required" in sentence


def test_config_is_refused_when_the_run_would_never_end(tmp_path: Path) -> None:
    sentence = refusal(tmp_path, MINIMAL.replace("max_steps = 3", ""))

    assert sentence.endswith("never ends: set run.max_steps or run.max_minutes")


def test_path_is_relative_to_the_folder_of_the_config(tmp_path: Path) -> None:
    assert resolve("data/corpus.tsv", tmp_path) == tmp_path / "data" / "corpus.tsv"


def test_path_takes_environment_variables_and_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPORA", "/srv/corpora")
    monkeypatch.setenv("HOME", "/srv/home")

    assert resolve("$CORPORA/a.tsv", tmp_path) == Path("/srv/corpora/a.tsv")
    assert resolve("~/a.tsv", tmp_path) == Path("/srv/home/a.tsv")


def test_path_is_refused_when_its_variable_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORPORA", raising=False)

    with pytest.raises(ConfigurationError, match=r"\$CORPORA/a\.tsv names an environment variable that is not set"):
        resolve("$CORPORA/a.tsv", tmp_path)
