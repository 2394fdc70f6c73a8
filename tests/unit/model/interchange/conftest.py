"""Marian models in Hugging Face folder form with random weights, and `transformers`' own classes to compare with."""

import io
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
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
