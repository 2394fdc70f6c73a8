"""Marian models in Hugging Face folder form with random weights, and `transformers`' own classes to compare with."""

import io
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import torch
import yaml
from transformers import MarianConfig, MarianMTModel, MarianTokenizer

MarianFolder = Callable[..., Path]

SHAPE = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "activation_function": "swish",
    "max_position_embeddings": 64,
    "scale_embedding": True,
}
# Large enough that scores differ, small enough that a few steps can learn from there.
WEIGHT_STD = 0.2
LEARNED_PAIRS = 8
LEARNED_SOURCES = "learned-sources.json"
# Of random arrays in Marian's own form, by a part of their names.
DEVIATIONS = {"ln_scale": 0.2, "Wemb": 0.4, "_W": 0.4, "": 0.1}
OPTIONS = {
    "type": "transformer",
    "dim-emb": 16,
    "enc-depth": 2,
    "dec-depth": 1,
    "transformer-heads": 4,
    "transformer-dim-ffn": 24,
    "transformer-decoder-dim-ffn": 0,
    "transformer-ffn-depth": 2,
    "transformer-decoder-ffn-depth": 0,
    "transformer-ffn-activation": "swish",
    "transformer-decoder-autoreg": "self-attention",
    "transformer-no-projection": False,
    "transformer-tied-layers": [],
    "transformer-guided-alignment-layer": "last",
    "transformer-preprocess": "",
    "transformer-postprocess": "dan",
    "transformer-postprocess-emb": "d",
    "transformer-postprocess-top": "",
    "transformer-train-position-embeddings": False,
    "tied-embeddings": True,
    "tied-embeddings-src": False,
    "tied-embeddings-all": True,
    "right-left": False,
    "version": "v1.10.0",
}
PIECES = ("</s>", "<unk>", *(f"▁piece{number}" for number in range(70)))


@pytest.fixture(scope="session")
def subword_models(sentences: tuple[str, ...]) -> tuple[bytes, bytes]:
    """SentencePiece models of English and French, as OPUS-MT has them: unigram, no byte fallback."""
    return _train(sentences[0::2], 90), _train(sentences[1::2], 95)


@pytest.fixture(scope="session")
def make_marian(subword_models: tuple[bytes, bytes], tmp_path_factory: pytest.TempPathFactory) -> MarianFolder:
    """Writes a folder from options of `MarianConfig`, and returns it.

    `steps` of training make it answer with something: a network that learned nothing repeats one piece for ever.
    """

    def make(steps: int = 0, languages: tuple[str, ...] = (), **options: Any) -> Path:
        folder = tmp_path_factory.mktemp("marian")
        sizes = _write_vocabularies(folder, subword_models, languages, options)
        model = _random_model(MarianConfig(**{**SHAPE, **sizes, **options}))
        with _one_thread():
            learned = _learn(model, steps)
        (folder / LEARNED_SOURCES).write_text(json.dumps(learned))
        model.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def load_model() -> Callable[[Path], MarianMTModel]:
    def load(folder: Path) -> MarianMTModel:
        model: MarianMTModel = MarianMTModel.from_pretrained(folder)
        return model  # comes ready for use, without dropout

    return load


@pytest.fixture(scope="session")
def load_tokenizer() -> Callable[[Path], Any]:
    def load(folder: Path) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
            return MarianTokenizer.from_pretrained(folder)

    return load


def _train(lines: tuple[str, ...], size: int) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=size, hard_vocab_limit=False, minloglevel=2
    )
    return model.getvalue()


def _pieces(model: bytes) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    return [processor.id_to_piece(number) for number in range(3, len(processor))]


def _write_vocabularies(
    folder: Path, models: tuple[bytes, bytes], languages: tuple[str, ...], options: dict[str, Any]
) -> dict[str, int]:
    """Number the pieces as Marian does: END, UNKNOWN, then all others, and "<pad>" last."""
    for name, model in zip(("source.spm", "target.spm"), models, strict=True):
        (folder / name).write_bytes(model)
    codes = [f">>{language}<<" for language in languages]
    # One piece in 20 is missing, as in OPUS-MT, whose pieces are those of the corpus after cutting.
    source, target = ([piece for n, piece in enumerate(_pieces(model)) if n % 20 != 19] for model in models)
    shared = options.get("share_encoder_decoder_embeddings", True)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"source_lang": "en", "target_lang": "fr", "separate_vocabs": not shared})
    )
    if shared:
        pieces = ["</s>", "<unk>", *codes, *sorted({*source, *target}), "<pad>"]
        size, pad = _write_vocabulary(folder / "vocab.json", pieces), len(pieces) - 1
        return {"vocab_size": size, "pad_token_id": pad, "decoder_start_token_id": pad, "eos_token_id": 0}
    # "<pad>" stands where both lists can have it: the config has one number for it.
    marks = ["</s>", "<unk>", "<pad>"]
    return {
        "vocab_size": _write_vocabulary(folder / "vocab.json", [*marks, *codes, *source]),
        "decoder_vocab_size": _write_vocabulary(folder / "target_vocab.json", [*marks, *target]),
        "pad_token_id": 2,
        "decoder_start_token_id": 2,
        "eos_token_id": 0,
    }


def _write_vocabulary(path: Path, pieces: list[str]) -> int:
    path.write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    return len(pieces)


def _random_model(config: MarianConfig) -> MarianMTModel:
    torch.manual_seed(1)
    model = MarianMTModel(config)
    model.train(False)  # no dropout, in `_learn` either
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "embed_positions" not in name:
                weight.normal_(mean=float("norm.weight" in name), std=WEIGHT_STD)
        model.final_logits_bias.normal_()
    return model


@contextmanager
def _one_thread() -> Iterator[None]:
    """As the fixture of that name, which comes too late for fixtures of a module."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _learn(model: MarianMTModel, steps: int) -> list[list[int]]:
    """Learn random targets of 0 to 7 pieces by heart; returns their sources."""
    config: Any = model.config
    sources = torch.randint(3, config.vocab_size - 1, (LEARNED_PAIRS, 6))
    targets = torch.randint(3, config.decoder_vocab_size - 1, (LEARNED_PAIRS, LEARNED_PAIRS))
    for length, target in enumerate(targets):
        target[length], target[length + 1 :] = config.eos_token_id, -100
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        model(sources, labels=targets).loss.backward()
        optimiser.step()
    return sources.tolist()


@pytest.fixture(scope="session")
def write_native() -> Callable[..., None]:
    """Writes arrays, one vocabulary or two, and options as Marian does: (folder, arrays, vocabularies, options)."""
    return _write_native


@pytest.fixture
def make_native(subword_models: tuple[bytes, bytes], tmp_path: Path) -> MarianFolder:
    """Writes a folder in Marian's own form with random weights, from `OPTIONS` that differ, and returns it."""

    def make(pieces: Sequence[str] = PIECES, target_pieces: int = 0, **options: Any) -> Path:
        folder = tmp_path / "opus-native"
        vocabularies = [list(pieces), *([list(pieces)[:target_pieces]] if target_pieces else [])]
        options = {**OPTIONS, **options}
        sizes = len(vocabularies[0]), len(vocabularies[-1])
        _write_native(folder, _random_arrays(options, sizes), vocabularies, options)
        for name, model in zip(("source.spm", "target.spm"), subword_models, strict=True):
            (folder / name).write_bytes(model)
        return folder

    return make


def _write_native(
    folder: Path, arrays: dict[str, Any], vocabularies: Sequence[Sequence[str]], options: dict[str, Any]
) -> None:
    folder.mkdir()
    sizes = [len(vocabularies[0]), len(vocabularies[-1])]
    config = yaml.safe_dump({**OPTIONS, "dim-vocabs": sizes, **options}).encode() + b"\0"
    name = "opus.spm32k-spm32k"
    np.savez(
        folder / f"{name}.transformer-align.model1.npz.best-perplexity.npz",
        **{"special:model.yml": np.frombuffer(config, "i1"), **arrays},
    )
    sides = ("",) if len(vocabularies) == 1 else ("src.", "trg.")
    for side, pieces in zip(sides, vocabularies, strict=True):
        lines = [f"{json.dumps(piece, ensure_ascii=False)}: {number}\n" for number, piece in enumerate(pieces)]
        (folder / f"{name}.{side}vocab.yml").write_text("".join(lines), encoding="utf-8")


def _random_arrays(options: dict[str, Any], sizes: tuple[int, int]) -> dict[str, Any]:
    """Arrays of the names and shapes that Marian's graph of these `options` has."""
    generator = np.random.default_rng(7)
    shapes = _shapes_of_pieces(options, sizes)
    suffix = "_pre" if "n" in options["transformer-preprocess"] else ""
    for side, key, attentions in (("encoder", "enc-depth", ["self"]), ("decoder", "dec-depth", ["self", "context"])):
        for number in range(1, options[key] + 1):
            shapes |= _shapes_of_layer(f"{side}_l{number}", attentions, options, suffix)
        if "n" in options["transformer-postprocess-top"]:
            shapes |= _shapes_of_norm(f"{side}_top", "", options["dim-emb"])
        if "n" in options["transformer-postprocess-emb"]:
            shapes |= _shapes_of_norm(f"{side}_emb", "_pre", options["dim-emb"])
    return {name: _random_array(generator, name, shape) for name, shape in shapes.items()}


def _random_array(generator: np.random.Generator, name: str, shape: tuple[int, int]) -> Any:
    # With larger biases greedy search repeats one piece whatever the source.
    deviation = next(deviation for part, deviation in DEVIATIONS.items() if part in name)
    return generator.normal(float("scale" in name), deviation, shape).astype("f4")


def _shapes_of_pieces(options: dict[str, Any], sizes: tuple[int, int]) -> dict[str, tuple[int, int]]:
    width, (source, target) = options["dim-emb"], sizes
    shapes = {"decoder_ff_logit_out_b": (1, target)}
    if options["tied-embeddings-all"] or options["tied-embeddings-src"]:
        shapes["Wemb"] = (target, width)
    else:
        shapes |= {"encoder_Wemb": (source, width), "decoder_Wemb": (target, width)}
    if not (options["tied-embeddings-all"] or options["tied-embeddings"]):
        shapes["decoder_ff_logit_out_W"] = (width, target)
    return shapes


def _shapes_of_layer(
    layer: str, attentions: list[str], options: dict[str, Any], suffix: str
) -> dict[str, tuple[int, int]]:
    width, inner = options["dim-emb"], options["transformer-dim-ffn"]
    shapes = {
        f"{layer}_ffn_W1": (width, inner),
        f"{layer}_ffn_b1": (1, inner),
        f"{layer}_ffn_W2": (inner, width),
        f"{layer}_ffn_b2": (1, width),
        **_shapes_of_norm(f"{layer}_ffn_ffn", suffix, width),
    }
    for attention in attentions:
        shapes |= {f"{layer}_{attention}_W{letter}": (width, width) for letter in "qkvo"}
        shapes |= {f"{layer}_{attention}_b{letter}": (1, width) for letter in "qkvo"}
        shapes |= _shapes_of_norm(f"{layer}_{attention}_Wo", suffix, width)
    return shapes


def _shapes_of_norm(scope: str, suffix: str, width: int) -> dict[str, tuple[int, int]]:
    return {f"{scope}_ln_scale{suffix}": (1, width), f"{scope}_ln_bias{suffix}": (1, width)}


@pytest.fixture(scope="session")
def write_config() -> Callable[..., None]:
    """Changes options in the config that a model in Marian's own form holds; None removes one."""

    def write(model: Path, **changes: Any) -> None:
        arrays = {**np.load(model)}
        options = {**yaml.safe_load(arrays["special:model.yml"].tobytes().rstrip(b"\0")), **changes}
        config = yaml.safe_dump({key: value for key, value in options.items() if value is not None}).encode() + b"\0"
        np.savez(model, **{**arrays, "special:model.yml": np.frombuffer(config, "i1")})

    return write
