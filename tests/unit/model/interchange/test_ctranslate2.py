"""A model exported to CTranslate2 finds what ours finds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctranslate2
import pytest
import torch
from dragoman.compose.demo import demo
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.catalog import build
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint, load_checkpoint
from dragoman.model.decoding import Rows, SearchOptions, search
from dragoman.model.interchange.ctranslate2 import Quantization, export_ctranslate2
from dragoman.model.interchange.marian import import_marian
from dragoman.model.interchange.piece_names import piece_names
from dragoman.model.shipped import default_checkpoint
from dragoman.model.translator import pad
from dragoman.model.vocabularies.characters import CharacterVocabulary
from dragoman.model.vocabularies.subwords import SubwordVocabulary
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD, UNKNOWN, Vocabulary

LIMIT = 20
SHAPES = {
    "default": {},
    "post-norm": {"norm": "post"},
    "learned positions": {"positions": "learned"},
    "Marian's positions": {"positions": "sinusoidal-halves"},
    "rotary positions": {"positions": "rotary"},
    "gelu": {"activation": "gelu"},
    "swish": {"activation": "swish"},
    "norm of embeddings": {"embedding_norm": "layer"},
    "unscaled embeddings, own matrices, bias": {
        "embedding_scale": "none",
        "embeddings": "separate",
        "output_bias": "learned",
    },
    "another decoder": {"decoder_heads": 4, "decoder_feed_forward": 24, "decoder_layers": 2},
}
EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def make_checkpoint(vocabulary: SubwordVocabulary, **options: Any) -> Checkpoint:
    torch.manual_seed(5)
    shape = {"width": 16, "heads": 2, "feed_forward": 32, "encoder_layers": 2, "decoder_layers": 1, **options}
    network = Transformer(TransformerConfig(len(vocabulary), max_positions=64, **shape))
    for name, parameter in network.named_parameters():
        parameter.data += torch.randn(parameter.shape) * (0.2 if "norm" in name or "bias" in name else 0.5)
    network.eval().requires_grad_(requires_grad=False)
    return Checkpoint("tiny", (("en", "fr"),), network, vocabulary, "# tiny\n")


def greedy(checkpoint: Checkpoint, sources: list[list[int]]) -> list[list[int]]:
    network = checkpoint.network
    state = network.start(pad([[*source, END] for source in sources]))
    rows = Rows((LIMIT,) * len(sources), torch.device("cpu"))
    found = search(network.step, state, rows, SearchOptions(beam_size=1))
    return [list(hypotheses[0].pieces) for hypotheses in found]


def greedy_of_ctranslate2(folder: Path, checkpoint: Checkpoint, sources: list[list[int]]) -> list[list[int]]:
    source_names, target_names = piece_names(checkpoint.vocabulary)
    engine = open_engine(folder)
    named = [[source_names[piece] for piece in source] for source in sources]
    results = engine.translate_batch(named, beam_size=1, max_decoding_length=LIMIT, min_decoding_length=0)
    numbers = {name: piece for piece, name in enumerate(target_names)}
    return [[numbers[name] for name in result.hypotheses[0]] for result in results]


def open_engine(folder: Path) -> ctranslate2.Translator:
    return ctranslate2.Translator(str(folder), compute_type="float32", inter_threads=1, intra_threads=1)


@EVERY_SHAPE
def test_ctranslate2_scores_the_same(
    tokenizer: SubwordVocabulary, sentences: tuple[str, ...], tmp_path: Path, shape: dict[str, Any]
) -> None:
    checkpoint = make_checkpoint(tokenizer, **shape)
    source, target = tokenizer.encode(sentences[:2])
    export_ctranslate2(checkpoint, tmp_path / "exported")
    names, _ = piece_names(tokenizer)

    scores = checkpoint.network.logits(
        checkpoint.network(torch.tensor([[*source, END]]), torch.tensor([[BEGIN, *target]]))
    )[0]
    scores[:, [PAD, UNKNOWN, BEGIN]] = -1e4
    ours = scores.log_softmax(-1).gather(1, torch.tensor([[*target, END]]).T)[:, 0]
    theirs = (
        open_engine(tmp_path / "exported")
        .score_batch([[names[piece] for piece in source]], [[names[piece] for piece in target]])[0]
        .log_probs
    )

    assert ours.tolist() == pytest.approx(theirs, abs=1e-3)


@EVERY_SHAPE
def test_ctranslate2_finds_the_same_pieces(
    tokenizer: SubwordVocabulary, sentences: tuple[str, ...], tmp_path: Path, shape: dict[str, Any]
) -> None:
    checkpoint = make_checkpoint(tokenizer, **shape)
    sources = tokenizer.encode(sentences)

    export_ctranslate2(checkpoint, tmp_path / "exported")

    ours = greedy(checkpoint, sources)
    assert len({tuple(row) for row in ours}) > 1
    assert greedy_of_ctranslate2(tmp_path / "exported", checkpoint, sources) == ours


@pytest.mark.parametrize("shared", [True, False])
def test_ctranslate2_finds_the_same_pieces_with_an_imported_marian_model(
    make_marian: Callable[..., Path], sentences: tuple[str, ...], tmp_path: Path, shared: bool
) -> None:
    checkpoint = import_marian(make_marian(steps=10, share_encoder_decoder_embeddings=shared))
    sources = checkpoint.vocabulary.encode(sentences)

    export_ctranslate2(checkpoint, tmp_path / "exported")

    found = greedy_of_ctranslate2(tmp_path / "exported", checkpoint, sources)
    assert found == greedy(checkpoint, sources)


def test_ctranslate2_finds_the_same_translations_with_the_shipped_checkpoint(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(default_checkpoint(), torch.device("cpu"))
    texts = (Path(demo.__file__).parent / "sentences.txt").read_text(encoding="utf-8").splitlines()[:30]
    sources = checkpoint.vocabulary.encode(texts)

    export_ctranslate2(checkpoint, tmp_path / "exported")

    found = greedy_of_ctranslate2(tmp_path / "exported", checkpoint, sources)
    assert found == greedy(checkpoint, sources)


@pytest.mark.parametrize("quantization", ["float16", "int8"])
def test_smaller_weights_make_a_smaller_file_and_leave_the_checkpoint_alone(
    tokenizer: SubwordVocabulary, tmp_path: Path, quantization: Quantization
) -> None:
    checkpoint = make_checkpoint(tokenizer)
    before = {name: weight.clone() for name, weight in checkpoint.network.state_dict().items()}

    export_ctranslate2(checkpoint, tmp_path / "whole")
    export_ctranslate2(checkpoint, tmp_path / "smaller", quantization)

    sizes = [(tmp_path / name / "model.bin").stat().st_size for name in ("smaller", "whole")]
    assert sizes[0] < 0.7 * sizes[1]
    assert all(torch.equal(weight, before[name]) for name, weight in checkpoint.network.state_dict().items())


def test_vocabulary_and_card_are_beside_the_weights(tokenizer: SubwordVocabulary, tmp_path: Path) -> None:
    export_ctranslate2(make_checkpoint(tokenizer), tmp_path / "exported")

    assert (tmp_path / "exported" / "tokenizer.model").read_bytes() == tokenizer.serialized
    assert (tmp_path / "exported" / "README.md").read_text() == "# tiny\n"


def test_folder_with_something_in_it_is_refused(tokenizer: SubwordVocabulary, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()

    with pytest.raises(ConfigurationError, match="exists already"):
        export_ctranslate2(make_checkpoint(tokenizer), tmp_path)


def test_disk_that_refuses_is_a_sentence(tokenizer: SubwordVocabulary, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match="cannot be written"):
        export_ctranslate2(make_checkpoint(tokenizer), tmp_path / "file" / "exported")


def test_other_architecture_is_refused(tokenizer: SubwordVocabulary, tmp_path: Path) -> None:
    network = build("recurrent", {"vocabulary_size": len(tokenizer)})
    recurrent = Checkpoint("mine", (("en", "fr"),), network, tokenizer, "")

    with pytest.raises(ConfigurationError, match="only the architecture transformer, mine is a RecurrentNetwork"):
        export_ctranslate2(recurrent, tmp_path / "exported")


def test_characters_are_named_by_themselves() -> None:
    names, _ = piece_names(CharacterVocabulary("ba", languages=["fr"]))

    assert names == ["<pad>", "<unk>", "<s>", "</s>", "<2fr>", "b", "a"]


def test_vocabulary_whose_pieces_have_no_names_is_refused() -> None:
    methods = dict.fromkeys(Vocabulary.__abstractmethods__)
    strange = type("Strange", (Vocabulary,), {**methods, "kind": "strange"})

    with pytest.raises(ConfigurationError, match="of the kind strange have no names"):
        piece_names(strange())
