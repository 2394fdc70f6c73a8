"""A model in Marian's own form that is damaged, or that our Transformer cannot follow, is refused with a sentence."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.interchange.marian import import_marian

MakeNative = Callable[..., Path]

EN_FR = (("en", "fr"),)


@pytest.fixture
def folder(make_native: MakeNative) -> Path:
    return make_native()


def model_of(folder: Path) -> Path:
    return next(folder.glob("*.npz"))


def vocabulary_of(folder: Path) -> Path:
    return next(folder.glob("*.vocab.yml"))


def change_arrays(folder: Path, **changes: Any) -> None:
    arrays = {**np.load(model_of(folder)), **changes}
    np.savez(model_of(folder), **{name: array for name, array in arrays.items() if array is not None})


def refusal(folder: Path, pairs: tuple[tuple[str, str], ...] = EN_FR) -> str:
    with pytest.raises(ConfigurationError) as refused:
        import_marian(folder, pairs)
    return str(refused.value)


@pytest.mark.parametrize("name", ["source.spm", "target.spm"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()

    assert refusal(folder).endswith(f"is not a Marian model: it has no {name}")


def test_missing_model_is_named(folder: Path) -> None:
    model_of(folder).unlink()

    assert "is not a Marian model: it has no file *.npz" in refusal(folder)


def test_missing_vocabulary_is_named(folder: Path) -> None:
    vocabulary_of(folder).unlink()

    assert "must have one vocabulary, *.vocab.yml, or two" in refusal(folder)


def test_half_of_two_vocabularies_is_refused(make_native: MakeNative) -> None:
    folder = make_native(target_pieces=57)
    next(folder.glob("*.trg.vocab.yml")).unlink()

    assert "must have one vocabulary, *.vocab.yml, or two" in refusal(folder)


def test_byte_pairs_of_other_tools_are_refused(folder: Path) -> None:
    (folder / "source.spm").rename(folder / "source.bpe")

    assert "it has no source.spm (it cuts text by source.bpe: only SentencePiece" in refusal(folder)


def test_several_models_are_refused(folder: Path) -> None:
    (folder / "second.npz").touch()

    assert "has several models (" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("models: [a.npz, b.npz]", "has several models (a.npz, b.npz)"),
        ("models: [../../away.npz]", "it has no away.npz"),
        ("models: away.npz", "decoder.yml must list files as models"),
        ("vocabs: [vocab.spm, vocab.spm]", "names the vocabulary vocab.spm: only one in YAML can be imported"),
        ("vocabs: [[a.yml]]", "decoder.yml must list files as vocabs"),
        ("- models", "decoder.yml does not hold options by name"),
        ("models: [", "decoder.yml is damaged"),
        ("[" * 1000, "decoder.yml is damaged"),
    ],
)
def test_decoder_yml_that_cannot_be_followed_is_refused(folder: Path, content: str, sentence: str) -> None:
    (folder / "decoder.yml").write_text(content)

    assert sentence in refusal(folder)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_truncated_model_is_named(folder: Path, kept: float) -> None:
    path = model_of(folder)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])

    assert f"{path} is truncated, damaged or holds more than arrays" in refusal(folder)


def test_model_with_a_changed_byte_is_refused(folder: Path) -> None:
    path = model_of(folder)
    content = bytearray(path.read_bytes())
    content[content.index(b"encoder_l1_self_Wq") + 300] ^= 1
    path.write_bytes(content)

    assert "is truncated, damaged or holds more than arrays" in refusal(folder)


def test_pickled_array_is_refused(folder: Path) -> None:
    change_arrays(folder, Wemb=np.array([{}], dtype=object))

    assert "is truncated, damaged or holds more than arrays" in refusal(folder)


def test_array_of_an_impossible_size_is_refused(folder: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 50, 16)})
    with zipfile.ZipFile(model_of(folder), "w") as archive:
        archive.writestr("Wemb.npy", header.getvalue())

    assert "is truncated, damaged or holds more than arrays" in refusal(folder)


def test_file_among_the_arrays_is_refused(folder: Path) -> None:
    with zipfile.ZipFile(model_of(folder), "a") as archive:
        archive.writestr("notes.txt", "not an array")

    assert "is truncated, damaged or holds more than arrays" in refusal(folder)


def test_single_array_is_refused(folder: Path) -> None:
    with model_of(folder).open("wb") as file:
        np.save(file, np.zeros(3))

    assert "is truncated, damaged or holds more than arrays" in refusal(folder)


def test_model_of_another_program_is_refused(folder: Path) -> None:
    change_arrays(folder, **{"special:model.yml": None})

    assert "lacks the array special:model.yml: only models of Marian" in refusal(folder)


@pytest.mark.parametrize("content", [b"type: [", b"\xff\xfe\xfd", b"type", b""])
def test_damaged_config_is_refused(folder: Path, content: bytes) -> None:
    change_arrays(folder, **{"special:model.yml": np.frombuffer(content + b"\0", "i1")})

    assert f"the YAML in {model_of(folder)} " in refusal(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("type", "s2s"),
        ("type", "amun"),
        ("transformer-decoder-autoreg", "average-attention"),
        ("transformer-decoder-autoreg", "rnn"),
        ("transformer-ffn-activation", "gelu"),
        ("transformer-ffn-depth", "3"),
        ("transformer-decoder-ffn-depth", "3"),
        ("transformer-no-projection", "true"),
        ("transformer-pool", "true"),
        ("transformer-tied-layers", ["1", "1"]),
        ("transformer-train-position-embeddings", "true"),
        ("transformer-train-positions", "true"),
        ("transformer-postprocess-emb", "dh"),
        ("right-left", "true"),
        ("ulr", "true"),
        ("tied-embeddings-all", "perhaps"),
        ("dim-emb", "wide"),
        ("transformer-heads", "-1"),
        ("dim-vocabs", ["72", "71"]),
        ("dim-vocabs", ["72"]),
    ],
)
def test_config_that_cannot_be_followed_is_refused_by_key_and_value(
    make_native: MakeNative, write_config: Callable[..., None], key: str, value: Any
) -> None:
    folder = make_native()
    write_config(model_of(folder), **{key: value})

    assert f"has {key} = {value!r} in its config: it must be " in refusal(folder)


@pytest.mark.parametrize("key", ["type", "dim-emb", "enc-depth", "transformer-heads", "dim-vocabs"])
def test_config_without_a_key_is_refused_by_it(folder: Path, write_config: Callable[..., None], key: str) -> None:
    write_config(model_of(folder), **{key: None})

    assert f"has {key} = None in its config: it must be " in refusal(folder)


@pytest.mark.parametrize(
    "steps",
    [("n", "da", ""), ("n", "dan", "n"), ("", "da", ""), ("", "dan", "n"), ("", "dhn", "")],
)
def test_norms_where_ours_cannot_stand_are_refused(
    folder: Path, write_config: Callable[..., None], steps: tuple[str, str, str]
) -> None:
    keys = ("transformer-preprocess", "transformer-postprocess", "transformer-postprocess-top")
    write_config(model_of(folder), **dict(zip(keys, steps, strict=True)))

    found = ", ".join(f"{key} = {step!r}" for key, step in zip(keys, steps, strict=True))
    assert f"has {found} in its config: they must be '', 'dan' and ''" in refusal(folder)


def test_impossible_shape_is_refused(folder: Path, write_config: Callable[..., None]) -> None:
    write_config(model_of(folder), **{"transformer-heads": 3})

    assert "cannot be split into 3 heads" in refusal(folder)


def test_one_matrix_for_two_vocabularies_is_refused(make_native: MakeNative) -> None:
    folder = make_native(target_pieces=57, **{"tied-embeddings-all": False, "tied-embeddings-src": True})

    assert "has tied-embeddings-src = 'true' in its config" in refusal(folder)


def test_width_of_another_model_is_refused(folder: Path, write_config: Callable[..., None]) -> None:
    write_config(model_of(folder), **{"dim-emb": 32})

    assert "the array Wemb holds float32 in the shape [72, 16]" in refusal(folder)


def test_misshapen_array_is_named(folder: Path) -> None:
    change_arrays(folder, encoder_l1_ffn_W1=np.zeros((24, 16), "f4"))

    assert "the array encoder_l1_ffn_W1 holds float32 in the shape [24, 16]" in refusal(folder)


def test_array_of_whole_numbers_is_named(folder: Path) -> None:
    change_arrays(folder, Wemb=np.zeros((72, 16), "i1"))

    assert "the array Wemb holds int8 in the shape [72, 16]" in refusal(folder)


@pytest.mark.parametrize(
    "name", ["Wemb", "decoder_l1_context_bv", "encoder_l2_self_Wo_ln_scale", "decoder_l1_ffn_ffn_ln_bias"]
)
def test_missing_array_is_named(folder: Path, name: str) -> None:
    change_arrays(folder, **{name: None})

    assert refusal(folder) == f"the Marian model lacks the array {name}: copy it again"


def test_pre_norm_without_its_last_norm_is_named(make_native: MakeNative) -> None:
    steps = {"transformer-preprocess": "n", "transformer-postprocess": "da", "transformer-postprocess-top": "n"}
    folder = make_native(**steps)
    change_arrays(folder, decoder_top_ln_scale=None)

    assert "lacks the array decoder_top_ln_scale" in refusal(folder)


def test_arrays_of_no_use_are_named(folder: Path) -> None:
    change_arrays(folder, Wpos=np.zeros((64, 16)), decoder_l2_ffn_b1=np.zeros((1, 24)))

    assert "has arrays that no network of ours has: Wpos, decoder_l2_ffn_b1" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "does not number pieces, one on each line"),
        (b"- a\n- b\n", "does not number pieces, one on each line"),
        (b"a: [0]\n", "does not number pieces, one on each line"),
        (b"a: &a 0\nb: *a\n", "does not number pieces, one on each line"),
        (b"[" * 100_000, "does not number pieces, one on each line"),
        (b'"a: 0\n', "is not YAML in UTF-8"),
        (b"\xff\xfe: 0\n", "is not YAML in UTF-8"),
        (b"</s>: 0\n<unk>: 1\na: 1\n", "must number its 3 pieces from 0 on, each once"),
        (b"</s>: 0\n<unk>: 1\na: 2\na: 3\n", "must number its 4 pieces from 0 on, each once"),
        (b"</s>: 0\n<unk>: 1\na: one\n", "must number its 3 pieces from 0 on, each once"),
        (b"</s>: 0\na: 1\n", "lacks its unk_token '<unk>'"),
        (b"<unk>: 0\na: 1\n", "lacks its eos_token '</s>'"),
        (b"</s>: 0\n<unk>: 1\n", "has dim-vocabs = ['72', '72'] in its config: it must be ['2', '2']"),
    ],
)
def test_vocabulary_that_is_none_is_refused(folder: Path, content: bytes, sentence: str) -> None:
    vocabulary_of(folder).write_bytes(content)

    assert sentence in refusal(folder)


def test_damaged_sentencepiece_model_is_named(folder: Path) -> None:
    (folder / "target.spm").write_bytes(b"nothing")

    assert "target.spm is not a SentencePiece model" in refusal(folder)


def test_languages_are_asked_for(folder: Path) -> None:
    assert "does not say which languages it translates: name them, --pairs en-fr" in refusal(folder, ())


def test_language_without_a_piece_is_refused(make_native: MakeNative) -> None:
    folder = make_native(pieces=["</s>", "<unk>", ">>fra<<", ">>deu<<", "▁a"])

    assert "no piece for the target language 'es'" in refusal(folder, (("en", "fr"), ("en", "es")))
