"""`dragoman models import-marian` and `export-ctranslate2`."""

import io
import json
import sys
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
import sentencepiece
import torch
from click.testing import CliRunner, Result
from dragoman.cli.models import models
from dragoman.cli.translate import translate
from dragoman.errors import ConfigurationError, DragomanError
from dragoman.model import interchange
from dragoman.model.checkpoint import load_checkpoint
from dragoman.model.shipped import default_checkpoint
from transformers import MarianConfig, MarianMTModel

LINES = ("The boat lies near the mill.", "Le bateau est près du moulin.", "A cold wind turns it.", "Un vent froid.")
# A matrix and a vector of a network of width 8, as Marian stores them.
ARRAYS = {"W": np.eye(8, dtype="f4"), "b": np.ones((1, 8), "f4")}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(models, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def marian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Marian model of one layer with random weights, for French and German."""
    folder = tmp_path_factory.mktemp("models") / "opus-tiny"
    folder.mkdir()
    subwords = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=subwords, vocab_size=50, hard_vocab_limit=False, minloglevel=2
    )
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(subwords.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=subwords.getvalue())
    pieces = [processor.id_to_piece(number) for number in range(3, len(processor))]
    pieces = ["</s>", "<unk>", ">>fra<<", ">>deu<<", *pieces, "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    (folder / "tokenizer_config.json").write_text('{"source_lang": "eng", "target_lang": "mul"}')
    (folder / "README.md").write_text("Licence: CC BY 4.0\n")
    sizes = {"vocab_size": len(pieces), "pad_token_id": len(pieces) - 1, "decoder_start_token_id": len(pieces) - 1}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    widths = {"d_model": 8, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "max_position_embeddings": 128}
    MarianMTModel(MarianConfig(**sizes, **layers, **widths)).save_pretrained(folder)
    return folder


def test_imported_model_translates(marian: Path, tmp_path: Path) -> None:
    result = run("import-marian", marian, tmp_path / "imported")

    arguments = ["-s", "en", "-t", "de", "--model", str(tmp_path / "imported"), "--beam-size", "2", "--device", "cpu"]
    translated = CliRunner().invoke(translate, arguments, input="A cold wind.\n", catch_exceptions=False)
    assert result.output == f"{tmp_path / 'imported'}: opus-tiny, translates en-fr, en-de\n"
    assert (translated.exit_code, translated.output.count("\n")) == (0, 1)


def test_imported_weights_are_unchanged_by_default(marian: Path, tmp_path: Path) -> None:
    run("import-marian", marian, tmp_path / "imported")

    config = json.loads((tmp_path / "imported" / "config.json").read_text())
    assert (config["storage"], config["vocabulary"]["kind"]) == ("float32", "marian")


def test_card_of_the_original_is_kept(marian: Path, tmp_path: Path) -> None:
    run("import-marian", marian, tmp_path / "imported")

    assert "Licence: CC BY 4.0" in (tmp_path / "imported" / "README.md").read_text()


def write_native(converted: Path, folder: Path) -> None:
    """A model of one layer as Marian itself writes it, with the pieces of the converted one."""
    folder.mkdir()
    for name in ("source.spm", "target.spm", "README.md"):
        (folder / name).write_bytes((converted / name).read_bytes())
    pieces = json.loads((converted / "vocab.json").read_text())
    (folder / "opus.spm32k-spm32k.vocab.yml").write_text(
        "".join(f"{json.dumps(piece)}: {number}\n" for piece, number in pieces.items())
    )
    config = (
        f"type: transformer\ndim-emb: 8\ntransformer-heads: 2\ntransformer-dim-ffn: 8\nenc-depth: 1\ndec-depth: 1\n"
        f"tied-embeddings-all: true\ndim-vocabs: [{len(pieces)}, {len(pieces)}]\n\0"
    )
    weights = {"special:model.yml": np.frombuffer(config.encode(), "i1"), "Wemb": np.ones((len(pieces), 8), "f4")}
    for scope in ("encoder_l1_self", "decoder_l1_self", "decoder_l1_context"):
        weights |= {f"{scope}_{kind}{letter}": ARRAYS[kind] for kind in ARRAYS for letter in "qkvo"}
        weights |= {f"{scope}_Wo_ln_{kind}": ARRAYS["b"] for kind in ("scale", "bias")}
    for scope in ("encoder_l1_ffn", "decoder_l1_ffn"):
        weights |= {f"{scope}_{kind}{number}": ARRAYS[kind] for kind in ARRAYS for number in (1, 2)}
        weights |= {f"{scope}_ffn_ln_{kind}": ARRAYS["b"] for kind in ("scale", "bias")}
    np.savez(folder / "opus.spm32k-spm32k.transformer-align.model1.npz.best-perplexity.npz", **weights)


def test_model_in_marians_own_form_translates(marian: Path, tmp_path: Path) -> None:
    write_native(marian, tmp_path / "opus-native")

    result = run("import-marian", tmp_path / "opus-native", tmp_path / "imported", "--pairs", "en-fr,en-de")

    arguments = ["-s", "en", "-t", "de", "--model", str(tmp_path / "imported"), "--device", "cpu"]
    translated = CliRunner().invoke(translate, arguments, input="A cold wind.\n", catch_exceptions=False)
    assert result.output == f"{tmp_path / 'imported'}: opus-native, translates en-fr, en-de\n"
    assert (translated.exit_code, translated.output.count("\n")) == (0, 1)


@pytest.mark.parametrize("options", [["--pairs", "en-fr,en-de"], ["--pairs", "en-fr", "--pairs", "en-de"]])
def test_pairs_can_be_named(marian: Path, tmp_path: Path, options: list[str]) -> None:
    run("import-marian", marian, tmp_path / "imported", *options)

    checkpoint = load_checkpoint(tmp_path / "imported", torch.device("cpu"))
    assert checkpoint.pairs == (("en", "fr"), ("en", "de"))


@pytest.mark.parametrize("pairs", ["en", "en-", "-fr", "en-fr,"])
def test_pair_that_is_none_is_refused(marian: Path, tmp_path: Path, pairs: str) -> None:
    with pytest.raises(ConfigurationError, match="is no pair of languages: write en-fr"):
        run("import-marian", marian, tmp_path / "imported", "--pairs", pairs)


def test_folder_that_is_no_checkpoint_is_not_replaced(marian: Path) -> None:
    with pytest.raises(ConfigurationError, match="exists and is not a checkpoint"):
        run("import-marian", marian, marian)


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_exported_model_can_be_opened(tmp_path: Path, quantization: str) -> None:
    result = run("export-ctranslate2", default_checkpoint(), tmp_path / "exported", "--quantization", quantization)

    engine = ctranslate2.Translator(str(tmp_path / "exported"), intra_threads=1)
    assert f"as {quantization} for CTranslate2" in result.output
    assert engine.translate_batch([["▁Good"]], max_decoding_length=3)[0].hypotheses


def test_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loaded = [name for name in sys.modules if name.startswith("ctranslate2.")]
    for name in ("dragoman.cli.models_export", "dragoman.model.interchange.ctranslate2", *loaded):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr(interchange, "ctranslate2", raising=False)
    monkeypatch.setitem(sys.modules, "ctranslate2", None)

    with pytest.raises(DragomanError, match=r"needs the library ctranslate2.*pip install 'dragoman\[ctranslate2\]'"):
        run("export-ctranslate2", default_checkpoint(), tmp_path / "exported")


def test_help_lists_every_command_without_loading_it() -> None:
    result = run("--help")

    names = ("convert", "export-ctranslate2", "import-marian", "list", "show", "verify")
    assert [name for name in names if f"  {name} " in result.output] == [*names]


def test_unknown_command_is_wrong_usage() -> None:
    assert run("transmogrify").exit_code == 2
