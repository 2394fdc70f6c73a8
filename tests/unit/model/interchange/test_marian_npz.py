"""A model in Marian's own form is the same network as its converted form, and finds what other readers find."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest
import torch
import yaml
from ctranslate2.converters import MarianConverter
from dragoman.model.checkpoint import Checkpoint, save_checkpoint
from dragoman.model.decoding import Rows, SearchOptions, search
from dragoman.model.interchange.marian import import_marian
from dragoman.model.interchange.marian_files import read_marian_files
from dragoman.model.interchange.marian_pieces import renumber
from dragoman.model.interchange.piece_names import piece_names
from dragoman.model.translator import Translator, pad
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD, UNKNOWN

MakeMarian = Callable[..., Path]
MakeNative = Callable[..., Path]
MakeBoth = Callable[..., tuple[Path, Path]]
Load = Callable[[Path], Any]

EN_FR = (("en", "fr"),)
LIMIT = 15
ROWS = 8
CONVERTED = {
    "as OPUS-MT": {},
    "relu": {"activation_function": "relu"},
    "deep encoder": {"encoder_layers": 4, "encoder_ffn_dim": 20, "decoder_ffn_dim": 20},
    "another decoder": {"decoder_layers": 3, "decoder_ffn_dim": 40},
    "two vocabularies": {"share_encoder_decoder_embeddings": False},
    "several languages": {"languages": ("fra", "deu")},
    "own output matrix, two vocabularies": {"tie_word_embeddings": False, "share_encoder_decoder_embeddings": False},
}
EVERY_CONVERTED = pytest.mark.parametrize("shape", CONVERTED.values(), ids=CONVERTED)
PRE_NORM = {"transformer-preprocess": "n", "transformer-postprocess": "da", "transformer-postprocess-top": "n"}
NATIVE = {
    "as OPUS-MT": {},
    "relu": {"transformer-ffn-activation": "relu"},
    "pre-norm": PRE_NORM,
    "norm of embeddings": {"transformer-postprocess-emb": "nd"},
    "pre-norm and norm of embeddings": {**PRE_NORM, "transformer-postprocess-emb": "n"},
    "deep encoder": {"enc-depth": 4, "transformer-heads": 2},
    "two matrices of one vocabulary": {"tied-embeddings-all": False},
    "two vocabularies": {"tied-embeddings-all": False, "target_pieces": 57},
    "own output matrix": {"tied-embeddings-all": False, "tied-embeddings": False, "tied-embeddings-src": True},
    "nothing shared": {"tied-embeddings-all": False, "tied-embeddings": False, "target_pieces": 57},
}
EVERY_NATIVE = pytest.mark.parametrize("shape", NATIVE.values(), ids=NATIVE)


@pytest.fixture
def both_forms(make_marian: MakeMarian, load_model: Load, write_native: Any, tmp_path: Path) -> MakeBoth:
    """Makes a model in both forms, with zeros where a target begins, and returns (converted, Marian's own)."""

    def make(**options: Any) -> tuple[Path, Path]:
        converted = make_marian(**options)
        model = load_model(converted)
        weights = model.state_dict()
        for name in TABLES & {*weights}:
            weights[name][model.config.pad_token_id] = 0
        model.final_logits_bias[:, model.config.pad_token_id] = 0
        model.save_pretrained(converted)
        return converted, write_converted(converted, model, write_native, tmp_path / "native")

    return make


def write_converted(converted: Path, model: Any, write_native: Any, folder: Path) -> Path:
    """The inverse of what `transformers` did to Marian's arrays."""
    config, weights = model.config, model.state_dict()
    shared, tied = config.share_encoder_decoder_embeddings, config.tie_word_embeddings
    arrays = {marian_name(name): marian_array(weight) for name, weight in weights.items() if ".layers." in name}
    kept = [number for number in range(config.decoder_vocab_size) if number != config.pad_token_id]
    arrays["decoder_ff_logit_out_b"] = weights["final_logits_bias"].numpy()[:, kept]
    tables = {
        "Wemb" if shared else "encoder_Wemb": "model.encoder.embed_tokens.weight",
        "Wemb" if shared else "decoder_Wemb": "model.decoder.embed_tokens.weight",
    }
    for name, theirs in tables.items():
        rows = weights[theirs].numpy()
        arrays[name] = np.delete(rows, config.pad_token_id, 0)
    if not tied:
        arrays["decoder_ff_logit_out_W"] = weights["lm_head.weight"].numpy()[kept].T
    names = ("vocab.json",) if shared else ("vocab.json", "target_vocab.json")
    vocabularies = [without_pad(json.loads((converted / name).read_text())) for name in names]
    options = {
        "tied-embeddings-all": shared and tied,
        "tied-embeddings": tied,
        "tied-embeddings-src": shared,
        "dim-emb": config.d_model,
        "transformer-heads": config.encoder_attention_heads,
        "transformer-dim-ffn": config.encoder_ffn_dim,
        "transformer-decoder-dim-ffn": config.decoder_ffn_dim,
        "transformer-ffn-activation": config.activation_function,
        "enc-depth": config.encoder_layers,
        "dec-depth": config.decoder_layers,
    }
    write_native(folder, arrays, vocabularies, options)
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes((converted / name).read_bytes())
    return folder


def without_pad(numbers: dict[str, int]) -> list[str]:
    return [piece for piece in sorted(numbers, key=numbers.__getitem__) if piece != "<pad>"]


TABLES = {
    "model.shared.weight",
    "model.encoder.embed_tokens.weight",
    "model.decoder.embed_tokens.weight",
    "lm_head.weight",
}
MARIAN_NAMES = {
    "self_attn_layer_norm.weight": "self_Wo_ln_scale",
    "self_attn_layer_norm.bias": "self_Wo_ln_bias",
    "encoder_attn_layer_norm.weight": "context_Wo_ln_scale",
    "encoder_attn_layer_norm.bias": "context_Wo_ln_bias",
    "final_layer_norm.weight": "ffn_ffn_ln_scale",
    "final_layer_norm.bias": "ffn_ffn_ln_bias",
    "fc1.weight": "ffn_W1",
    "fc1.bias": "ffn_b1",
    "fc2.weight": "ffn_W2",
    "fc2.bias": "ffn_b2",
    **{
        f"{theirs}.{'out' if letter == 'o' else letter}_proj.{kind}": f"{ours}_{mark}{letter}"
        for theirs, ours in (("self_attn", "self"), ("encoder_attn", "context"))
        for letter in "qkvo"
        for kind, mark in (("weight", "W"), ("bias", "b"))
    },
}


def marian_name(name: str) -> str:
    _, side, _, number, rest = name.split(".", 4)
    return f"{side}_l{int(number) + 1}_{MARIAN_NAMES[rest]}"


def marian_array(weight: torch.Tensor) -> Any:
    return np.atleast_2d(weight.numpy()).T if weight.dim() == 2 else weight.numpy()[None]


@EVERY_CONVERTED
def test_both_forms_give_the_same_network(both_forms: MakeBoth, shape: dict[str, Any]) -> None:
    converted, native = (import_marian(folder, EN_FR) for folder in both_forms(**shape))

    weights = native.network.state_dict()
    same = {name for name, weight in converted.network.state_dict().items() if torch.equal(weights[name], weight)}
    assert native.vocabulary.files() == converted.vocabulary.files()
    assert same == {*weights}


@EVERY_CONVERTED
def test_logits_are_those_of_transformers(both_forms: MakeBoth, load_model: Load, shape: dict[str, Any]) -> None:
    converted, native = both_forms(**shape)
    pieces = renumber(read_marian_files(converted))
    network = import_marian(native, EN_FR).network
    source, target = random_rows(pieces.vocabulary.source_size, seed=1), random_rows(len(pieces.vocabulary), seed=2)
    target[:, 0] = BEGIN
    sources, targets = (torch.tensor(numbers) for numbers in (pieces.source_numbers, pieces.target_numbers))

    with torch.no_grad():
        ours = network.logits(network(source, target))
        theirs = load_model(converted)(sources[source], decoder_input_ids=targets[target]).logits[..., targets]

    assert (ours - theirs)[..., END:].abs().max() < 1e-4


def test_both_forms_translate_alike(both_forms: MakeBoth, sentences: tuple[str, ...], tmp_path: Path) -> None:
    options = SearchOptions(beam_size=4, max_pieces=LIMIT)
    found = []

    for number, folder in enumerate(both_forms(steps=10, languages=("fra", "deu"), max_position_embeddings=128)):
        save_checkpoint(import_marian(folder, (("en", "fr"), ("en", "de"))), tmp_path / f"{number}", "float32")
        translator = Translator.load(tmp_path / f"{number}", "cpu")
        found.append([each.text for each in translator.translate(list(sentences), options, target="de")])

    assert found[0] == found[1]
    assert len({*found[0]}) > 1


def random_rows(size: int, seed: int) -> torch.Tensor:
    return torch.randint(END + 1, size, (ROWS, 8), generator=torch.Generator().manual_seed(seed))


def read_by_ctranslate2(native: Path, folder: Path) -> ctranslate2.Translator:
    """CTranslate2's own reader of Marian's form."""
    vocabularies = sorted(native.glob("*.vocab.yml"))
    sides = [str(vocabularies[0]), str(vocabularies[-1])]
    MarianConverter(str(next(native.glob("*.npz"))), sides).convert(str(folder))
    return ctranslate2.Translator(str(folder), compute_type="float32", inter_threads=1, intra_threads=1)


def random_sources(checkpoint: Checkpoint) -> list[list[int]]:
    return random_rows(len(piece_names(checkpoint.vocabulary)[0]), seed=3).tolist()


def named(names: list[str], rows: list[list[int]]) -> list[list[str]]:
    return [[names[piece] for piece in row] for row in rows]


@EVERY_NATIVE
def test_ctranslate2_scores_the_same(make_native: MakeNative, tmp_path: Path, shape: dict[str, Any]) -> None:
    native = make_native(**shape)
    checkpoint = import_marian(native, EN_FR)
    source_names, target_names = piece_names(checkpoint.vocabulary)
    source, target = random_sources(checkpoint), random_rows(len(target_names), seed=4)
    ends = torch.full((ROWS, 1), END)

    with torch.no_grad():
        scores = checkpoint.network.logits(
            checkpoint.network(pad([[*row, END] for row in source]), torch.cat([ends - END + BEGIN, target], 1))
        )
    scores[..., [PAD, BEGIN]] = float("-inf")
    ours = scores.log_softmax(-1).gather(2, torch.cat([target, ends], 1)[..., None])[..., 0]

    engine = read_by_ctranslate2(native, tmp_path / "converted")
    theirs = engine.score_batch(named(source_names, source), named(target_names, target.tolist()))
    assert ours.tolist() == [pytest.approx(result.log_probs, abs=1e-3) for result in theirs]


@EVERY_NATIVE
def test_ctranslate2_finds_the_same_pieces(make_native: MakeNative, tmp_path: Path, shape: dict[str, Any]) -> None:
    native = make_native(**shape)
    checkpoint = import_marian(native, EN_FR)
    source_names, target_names = piece_names(checkpoint.vocabulary)
    source = random_sources(checkpoint)

    engine = read_by_ctranslate2(native, tmp_path / "converted")
    results = engine.translate_batch(
        named(source_names, source), beam_size=1, max_decoding_length=LIMIT, disable_unk=True
    )

    ours = named(target_names, greedy(checkpoint, source))
    assert len({*map(tuple, ours)}) > 1
    assert [result.hypotheses[0] for result in results] == ours


def greedy(checkpoint: Checkpoint, source: list[list[int]]) -> list[list[int]]:
    state = checkpoint.network.start(pad([[*row, END] for row in source]))
    rows = Rows((LIMIT,) * len(source), torch.device("cpu"))
    found = search(checkpoint.network.step, state, rows, SearchOptions(beam_size=1))
    return [list(hypotheses[0].pieces) for hypotheses in found]


def test_half_precision_arrays_are_read(make_native: MakeNative) -> None:
    folder = make_native()
    expected = import_marian(folder, EN_FR).network.state_dict()["encoder.0.attention.query.weight"]
    path = next(folder.glob("*.npz"))
    arrays = {name: array.astype("f2") if array.dtype.kind == "f" else array for name, array in np.load(path).items()}
    np.savez(path, **arrays)

    found = import_marian(folder, EN_FR).network.state_dict()["encoder.0.attention.query.weight"]

    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-3)


def test_output_matrix_is_read_in_its_newer_layout(make_native: MakeNative) -> None:
    folder = make_native(**NATIVE["own output matrix"])
    expected = import_marian(folder, EN_FR).network.state_dict()["output.weight"]
    path = next(folder.glob("*.npz"))
    arrays = {**np.load(path)}
    arrays["decoder_ff_logit_out_Wt"] = arrays.pop("decoder_ff_logit_out_W").T
    np.savez(path, **arrays)

    assert torch.equal(import_marian(folder, EN_FR).network.state_dict()["output.weight"], expected)


def test_model_without_output_bias_has_none(make_native: MakeNative) -> None:
    folder = make_native()
    path = next(folder.glob("*.npz"))
    np.savez(path, **{name: array for name, array in np.load(path).items() if name != "decoder_ff_logit_out_b"})

    assert not import_marian(folder, EN_FR).network.state_dict()["output_bias"][[PAD, UNKNOWN, END, END + 1]].any()


def test_pieces_that_yaml_writes_in_its_own_ways_are_read(make_native: MakeNative) -> None:
    written = {
        "</s>": "</s>",
        "<unk>": "<unk>",
        "yes": "yes",
        "null": "null",
        "~": "~",
        "1.5": "1.5",
        "▁": "▁",
        "😀": "😀",
        '"#"': "#",
        "'\"'": '"',
        "''''": "'",
        r'"\\"': "\\",
        '">>fra<<"': ">>fra<<",
        '": "': ": ",
        r'"\x84"': "\x84",
        '? "long"\n': "long",
        "=": "=",
        "<<": "<<",
        # Line breaks for YAML 1.1, not for YAML 1.2, by which Marian writes.
        '? "\x85"\n': "\x85",
        "a\u2028b": "a\u2028b",
        "a\u2029": "a\u2029",
    }
    folder = make_native(pieces=[*written.values()])
    (path,) = folder.glob("*.vocab.yml")
    path.write_text("".join(f"{piece}: {number}\n" for number, piece in enumerate(written)), encoding="utf-8")

    checkpoint = import_marian(folder, EN_FR)

    assert piece_names(checkpoint.vocabulary)[0][4:] == [*written.values()][2:]


def test_decoder_yml_names_the_files(make_native: MakeNative) -> None:
    folder = make_native()
    expected = import_marian(folder, EN_FR).network.state_dict()["embedding.weight"]
    model, vocabulary = next(folder.glob("*.npz")).name, next(folder.glob("*.vocab.yml")).name
    (folder / "other.npz").touch()
    (folder / "other.vocab.yml").touch()
    listed = {"relative-paths": True, "models": [model], "vocabs": [vocabulary] * 2, "beam-size": 6}
    (folder / "decoder.yml").write_text(yaml.safe_dump(listed))

    assert torch.equal(import_marian(folder, EN_FR).network.state_dict()["embedding.weight"], expected)
