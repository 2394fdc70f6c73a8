"""The TOML file of a training run."""

from collections.abc import Callable
from pathlib import Path

import dragoman.model
import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.training.config import TrainConfig, load_train_config, resolve, with_limits

MakeConfig = Callable[..., TrainConfig]

MINIMAL = """
name = "tiny-en-fr"
pairs = ["en-fr"]
output = "tiny"

[data]
corpora = [{ path = "corpus.tsv", languages = ["en", "fr"] }]
dev = [{ path = "dev.tsv", languages = ["en", "fr"] }]

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
        ('pairs = ["en-fr"]', "", "pairs: Field required"),
        ('pairs = ["en-fr"]', "pairs = []", "pairs: Tuple should have at least 1 item"),
        ('pairs = ["en-fr"]', 'pairs = ["enfr"]', "pairs.0: String should match pattern"),
        ('pairs = ["en-fr"]', 'pairs = ["en-fr", "en-fr"]', "pairs names a pair twice"),
        (
            'pairs = ["en-fr"]',
            'pairs = ["en-fr", "en-es"]',
            "no file of data.corpora has the languages of the pair en-es",
        ),
        ('name = "tiny-en-fr"', 'name = "../tiny"', "name: String should match pattern"),
        (
            '[{ path = "corpus.tsv", languages = ["en", "fr"] }]',
            "[]",
            "data.corpora: Tuple should have at least 1 item",
        ),
        ('"corpus.tsv", languages = ["en", "fr"]', '"corpus.tsv", languages = ["en"]', "data.corpora.0.languages"),
        ('"corpus.tsv",', '"corpus.tsv", weight = 0,', "data.corpora.0.weight: Input should be greater than 0"),
        (
            '"dev.tsv", languages = ["en", "fr"]',
            '"dev.tsv", languages = ["en", "es"]',
            "no file of data.dev has the languages of the pair en-fr",
        ),
        ("max_steps = 3", "max_steps = 0", "run.max_steps: Input should be greater than or equal to 1"),
        ("max_steps = 3", "max_steps = 3\nseed = -1", "run.seed: Input should be greater than or equal to 0"),
        ("max_steps = 3", f"max_steps = 3\nseed = {2**63}", "run.seed: Input should be less than 9223372036854775808"),
        ("max_steps = 3", f"max_steps = 3\nseed = {10**30}", "run.seed: Input should be less than 9223372036854775808"),
        ("max_steps = 3", "max_steps = 3\nthreads = 1025", "run.threads: Input should be less than or equal to 1024"),
        ("max_steps = 3", "", "the run never ends: set run.max_steps, max_minutes, max_epochs or patience"),
        ("max_steps = 3", "max_epochs = 3", "the schedule cosine falls to the end of the run: set run.max_steps"),
        ("[card]", "[network]\nwidth = 30\nheads = 4\n[card]", "network: Value error, "),
        ("[card]", '[network]\narchitecture = "mamba"\n[card]', "there is no architecture 'mamba': take one of"),
        (
            "[card]",
            "[network]\nspeed = 9\nwings = 2\n[card]",
            "not a shape of the architecture transformer: it has no field speed, wings, only width, heads, ",
        ),
        ("[card]", "[network]\nvocabulary_size = 9\n[card]", "error, vocabulary_size is set by vocabulary.size"),
        (
            "[card]",
            '[network]\nembeddings = "separate"\nsource_vocabulary_size = 9\n[card]',
            "error, source_vocabulary_size is set by vocabulary.size: only an imported model",
        ),
        ("[card]", "[network]\nmax_positions = 64\n[card]", "do not fit into network.max_positions 64"),
        ("[card]", '[optimiser]\nmethod = "sgd"\n[card]', "optimiser.method: Input should be 'adamw' or 'muon'"),
        ("[card]", "[optimiser]\naccumulation = 0\n[card]", "optimiser.accumulation: Input should be greater"),
    ],
)
def test_fault_is_named(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert fault in refusal(tmp_path, MINIMAL.replace(old, new))


def test_largest_seed_is_taken(tmp_path: Path) -> None:
    config, _ = load_train_config(config_file(tmp_path, MINIMAL.replace("[run]", f"[run]\nseed = {2**63 - 1}")))

    assert config.run.seed == 2**63 - 1


def test_sizes_of_the_vocabulary_are_not_offered_when_a_field_is_unknown(tmp_path: Path) -> None:
    assert "vocabulary_size" not in refusal(tmp_path, MINIMAL.replace("[card]", "[network]\nspeed = 9\n[card]"))


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    sentence = refusal(tmp_path, MINIMAL.replace('output = "tiny"', "").replace("licence", "license"))

    assert "output: Field required" in sentence
    assert "card.licence: Field required; card.license: Extra inputs" in sentence


def test_file_that_serves_no_pair_is_refused(tmp_path: Path) -> None:
    other = 'corpora = [{ path = "other.tsv", languages = ["es", "de"] }, {'

    assert "no pair is between the languages es-de of other.tsv" in refusal(
        tmp_path, MINIMAL.replace("corpora = [{", other)
    )


def test_one_file_serves_both_directions(make_config: MakeConfig) -> None:
    config = make_config(pairs=["en-fr", "fr-en"])

    assert (config.directions, config.target_languages) == ((("en", "fr"), ("fr", "en")), ("fr", "en"))


def test_no_language_piece_is_needed_when_all_pairs_have_one_target(make_config: MakeConfig) -> None:
    files = [{"path": "a.tsv", "languages": ["en", "fr"]}, {"path": "b.tsv", "languages": ["es", "fr"]}]
    config = make_config(pairs=["en-fr", "es-fr"], data={"corpora": files, "dev": files})

    assert config.target_languages == ()


def test_limits_are_replaced_when_they_are_given(make_config: MakeConfig) -> None:
    config = with_limits(make_config(run={"max_steps": 3, "max_minutes": 4.0}), 7, None)

    assert (config.run.max_steps, config.run.max_minutes) == (7, 4.0)


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
