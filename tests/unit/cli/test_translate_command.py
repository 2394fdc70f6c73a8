"""`dragoman translate` with a tiny checkpoint of random weights."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from dragoman.cli import translate as module
from dragoman.cli.translate import translate
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint, CheckpointError, save_checkpoint
from dragoman.model.decoding import Sampling, SearchOptions
from dragoman.model.translator import Translation, Translator
from dragoman.model.vocabularies.subwords import SubwordVocabulary

LINES = ["A boat crosses the lake.", "Two oars lie on the wet sand near the old hut.", "Yes.", "The wind turns."]
VOCABULARY_SIZE = 286


@pytest.fixture(scope="module")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    tokenizer = SubwordVocabulary.train(LINES, VOCABULARY_SIZE)
    shape = TransformerConfig(VOCABULARY_SIZE, width=16, heads=2, feed_forward=32, encoder_layers=1, decoder_layers=1)
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    save_checkpoint(Checkpoint("tiny-en-fr", (("en", "fr"),), Transformer(shape), tokenizer, "# tiny\n"), folder)
    return folder


@pytest.fixture(scope="module")
def translator(checkpoint_folder: Path) -> Translator:
    return Translator.load(checkpoint_folder, "cpu")


def run(folder: Path, content: str | bytes, *more: str) -> Result:
    arguments = ["-s", "en", "-t", "fr", "--device", "cpu", "--beam-size", "1", "--model", str(folder), *more]
    return CliRunner().invoke(translate, arguments, input=content)


def lines_of(result: Result) -> list[str]:
    """Lines of the output; only a line feed ends one."""
    *lines, rest = result.stdout.split("\n")
    assert rest == ""
    return lines


def greedy(translator: Translator, *texts: str) -> list[str]:
    return [one.text for one in translator.translate(texts, SearchOptions(beam_size=1))]


def test_one_line_comes_out_for_each_line_in_order(checkpoint_folder: Path, translator: Translator) -> None:
    result = run(checkpoint_folder, "\n".join(LINES) + "\n")

    assert (result.exit_code, lines_of(result)) == (0, greedy(translator, *LINES))


def test_last_line_needs_no_line_feed(checkpoint_folder: Path, translator: Translator) -> None:
    assert lines_of(run(checkpoint_folder, "Yes.")) == greedy(translator, "Yes.")


def test_lines_keep_their_order_from_chunk_to_chunk(
    checkpoint_folder: Path, translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_LINES", 3)

    assert lines_of(run(checkpoint_folder, "\n".join(LINES * 2))) == greedy(translator, *LINES, *LINES)


def test_blank_line_stays_blank(checkpoint_folder: Path, translator: Translator) -> None:
    [yes] = greedy(translator, "Yes.")

    assert lines_of(run(checkpoint_folder, "\nYes.\n \t\r\nYes.\n\n")) == ["", yes, "", yes, ""]


def test_nothing_comes_out_when_nothing_goes_in(checkpoint_folder: Path) -> None:
    result = run(checkpoint_folder, "")

    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\r"])
def test_only_a_line_feed_ends_a_line(checkpoint_folder: Path, separator: str) -> None:
    assert len(lines_of(run(checkpoint_folder, f"Yes.{separator}The wind turns.\nYes.\n"))) == 2


def test_line_that_is_too_long_is_empty_in_the_output_and_named(
    checkpoint_folder: Path, translator: Translator
) -> None:
    long = "lake " * 300
    result = run(checkpoint_folder, f"Yes.\n{long}\nYes.\n")

    [yes] = greedy(translator, "Yes.")
    [pieces] = translator.encode([long])
    assert (result.exit_code, lines_of(result)) == (1, [yes, "", yes])
    assert result.stderr == f"line 2: {len(pieces)} pieces, the model takes {translator.max_source_pieces}\n"
    assert str(result.exception) == "lines too long for the model, empty in the output: 1; split them into sentences"


def test_too_long_line_of_a_later_chunk_has_its_own_number(
    checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_LINES", 2)

    assert run(checkpoint_folder, f"Yes.\nYes.\nYes.\n{'lake ' * 300}\n").stderr.startswith("line 4: ")


def test_unknown_pair_is_refused(checkpoint_folder: Path, translator: Translator) -> None:
    result = run(checkpoint_folder, "Ja.\n", "-s", "de")

    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception) == f"the model {translator.version} does not translate de-fr, only en-fr"


def test_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path / "absent", "Yes.\n")

    assert isinstance(result.exception, CheckpointError)
    assert "there is no checkpoint folder" in str(result.exception)


def test_unknown_device_is_refused(checkpoint_folder: Path) -> None:
    result = run(checkpoint_folder, "Yes.\n", "--device", "gpu")

    assert str(result.exception) == "'gpu' is no device: take cpu, cuda, cuda:N or auto"


def test_input_is_refused_at_the_line_that_is_not_utf8(checkpoint_folder: Path) -> None:
    result = run(checkpoint_folder, b"Yes.\nYes.\nd\xe9j\xe0 vu\n")

    assert (result.exit_code, result.stdout) == (1, "")
    assert str(result.exception) == "line 3 of standard input is not UTF-8: convert it first"


@pytest.mark.parametrize("beam_size", ["0", "65", "many"])
def test_beam_size_out_of_range_is_wrong_usage(checkpoint_folder: Path, beam_size: str) -> None:
    assert run(checkpoint_folder, "Yes.\n", "--beam-size", beam_size).exit_code == 2


def test_settings_name_the_checkpoint_and_the_search(
    checkpoint_folder: Path, translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGOMAN_CHECKPOINT", str(checkpoint_folder))
    monkeypatch.setenv("DRAGOMAN_DEVICE", "cpu")
    monkeypatch.setenv("DRAGOMAN_BEAM_SIZE", "1")

    result = CliRunner().invoke(translate, ["-s", "en", "-t", "fr"], input="Yes.\n")
    assert lines_of(result) == greedy(translator, "Yes.")


def test_n_best_writes_so_many_lines_of_score_and_text(checkpoint_folder: Path, translator: Translator) -> None:
    expected = translator.translate(["Yes.", "The wind turns."], SearchOptions(3, n_best=2))
    written = lines_of(run(checkpoint_folder, "Yes.\nThe wind turns.\n", "--beam-size", "3", "--n-best", "2"))

    both = [one for best in expected for one in (best, *best.alternatives)]
    assert written == [f"{one.score:.6f}\t{one.text}" for one in both]


def test_n_best_widens_a_beam_that_was_not_asked_for(
    checkpoint_folder: Path, translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGOMAN_BEAM_SIZE", "2")
    arguments = ["-s", "en", "-t", "fr", "--model", str(checkpoint_folder), "--n-best", "3"]
    result = CliRunner().invoke(translate, arguments, input="Yes.\n")

    [best] = translator.translate(["Yes."], SearchOptions(3, n_best=3))
    assert [line.split("\t")[1] for line in lines_of(result)] == [best.text, *(one.text for one in best.alternatives)]


def test_json_has_scores_alignment_and_alternatives(checkpoint_folder: Path, translator: Translator) -> None:
    options = SearchOptions(2, n_best=2, alignment="hard")
    more = ["--beam-size", "2", "--n-best", "2", "--alignment", "--json"]
    [found] = map(json.loads, lines_of(run(checkpoint_folder, "Yes.\n", *more)))

    [best] = translator.translate(["Yes."], options)
    [other] = best.alternatives
    assert found == {"line": 1, **fields(best), "alternatives": [fields(other)]}


def fields(translation: Translation) -> dict[str, object]:
    return {
        "translation": translation.text,
        "score": translation.score,
        "piece_scores": list(translation.piece_scores),
        "alignment": list(translation.alignment),
    }


def test_json_of_a_blank_line_is_an_empty_translation(checkpoint_folder: Path) -> None:
    found = [json.loads(line) for line in lines_of(run(checkpoint_folder, "Yes.\n\n", "--json"))]

    assert [one["line"] for one in found] == [1, 2]
    assert found[1] == {"line": 2, "translation": ""}


def test_alignment_follows_the_text(checkpoint_folder: Path, translator: Translator) -> None:
    [written] = lines_of(run(checkpoint_folder, "The wind turns.\n", "--alignment"))

    [found] = translator.translate(["The wind turns."], SearchOptions(1, alignment="hard"))
    pairs = " ".join(f"{source}-{target}" for target, source in enumerate(found.alignment))
    assert written == f"{found.text}\t{pairs}"


def test_sampling_takes_its_options(checkpoint_folder: Path, translator: Translator) -> None:
    more = ["--sample", "--temperature", "0.7", "--top-k", "20", "--top-p", "0.9", "--seed", "4"]
    written = lines_of(run(checkpoint_folder, "\n".join(LINES), *more))

    sampling = Sampling(temperature=0.7, top_k=20, top_p=0.9, seed=4)
    assert written == [one.text for one in translator.translate(LINES, SearchOptions(sampling=sampling))]


def test_search_takes_its_options(checkpoint_folder: Path, translator: Translator) -> None:
    more = [
        *("--beam-size", "3", "--max-length", "9", "--min-length", "2", "--length-penalty", "0.6"),
        *("--coverage-penalty", "0.2", "--no-repeat-ngram", "2", "--prefix", "The"),
    ]
    written = lines_of(run(checkpoint_folder, "\n".join(LINES), *more))

    options = SearchOptions(3, 0.6, coverage_penalty=0.2, min_pieces=2, max_pieces=9, no_repeat_ngram=2)
    expected = translator.translate(LINES, translator.with_prefix(options, "The"))
    assert written == [one.text for one in expected]
    assert {text.startswith("The") for text in written} == {True}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--sample", "--beam-size", "4"], "--sample draws, --beam-size searches: take one of them"),
        (["--top-p", "0.9"], "--top-p says how to draw pieces: add --sample, or leave it out"),
        (["--seed", "0"], "--seed says how to draw pieces: add --sample, or leave it out"),
        (["--n-best", "2"], "a beam of 1 has no 2 best hypotheses: widen the beam, or sample"),
        (["--coverage-penalty", "0.2"], "--coverage-penalty ranks hypotheses: take a --beam-size above 1"),
        (["--min-length", "9", "--max-length", "8"], "at least 9 and at most 8 pieces contradict each other"),
        (["--sample", "--temperature", "0"], "the temperature is 0.0: it must be above 0"),
        (["--sample", "--top-p", "1.5"], "top-p is 1.5: it is a probability above 0 and up to 1"),
        (
            ["--max-length", "512"],
            "the model gives at most 511 pieces: lower the maximum or the minimum, or shorten the prefix",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    checkpoint_folder: Path, more: list[str], sentence: str
) -> None:
    result = run(checkpoint_folder, "Yes.\n", *more)

    assert isinstance(result.exception, ConfigurationError)
    assert (str(result.exception), result.stdout) == (sentence, "")
