"""An imported Marian model scores and searches as `transformers` does, whatever its shape."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dragoman.model.architectures.positions import sinusoids_in_halves
from dragoman.model.checkpoint import Checkpoint, save_checkpoint
from dragoman.model.decoding import Rows, SearchOptions, search
from dragoman.model.interchange.marian import import_marian
from dragoman.model.interchange.marian_files import read_marian_files
from dragoman.model.interchange.marian_pieces import MarianPieces, renumber
from dragoman.model.translator import Translator, pad
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD, UNKNOWN
from safetensors.torch import load_file, save_file

MakeMarian = Callable[..., Path]
Load = Callable[[Path], Any]

SHAPES = {
    "as OPUS-MT": {},
    "relu": {"activation_function": "relu"},
    "gelu": {"activation_function": "gelu"},
    "embeddings not scaled": {"scale_embedding": False},
    "deep encoder": {"encoder_layers": 4, "encoder_attention_heads": 4},
    "deep decoder": {"decoder_layers": 3, "decoder_attention_heads": 4, "decoder_ffn_dim": 40},
    "odd width": {"d_model": 15, "encoder_attention_heads": 3, "decoder_attention_heads": 5},
    "two vocabularies": {"share_encoder_decoder_embeddings": False},
    "several languages": {"languages": ("fra", "deu")},
    "own output matrix": {"tie_word_embeddings": False},
    "nothing shared": {"tie_word_embeddings": False, "share_encoder_decoder_embeddings": False},
}
EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
LEARNED = ("as OPUS-MT", "deep decoder", "two vocabularies", "nothing shared")
LIMIT = 12


def random_rows(size: int, lengths: tuple[int, ...], seed: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(END + 1, size, (length,), generator=generator).tolist() for length in lengths]


def renumbered(pieces: MarianPieces, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Source pieces as Marian numbers them, padded, and where the mask is 1."""
    mask = (pad(rows) != PAD).long()
    return torch.tensor(pieces.source_numbers)[pad(rows)], mask


@EVERY_SHAPE
def test_logits_are_those_of_transformers(make_marian: MakeMarian, load_model: Load, shape: dict[str, Any]) -> None:
    folder = make_marian(**shape)
    pieces = renumber(read_marian_files(folder))
    network = import_marian(folder).network
    source = [[*row, END] for row in random_rows(pieces.vocabulary.source_size, (7, 3, 11), seed=1)]
    target = [[BEGIN, *row] for row in random_rows(len(pieces.vocabulary), (9, 5, 4), seed=2)]
    numbers = torch.tensor(pieces.target_numbers)

    with torch.no_grad():
        ours = network.logits(network(pad(source), pad(target)))
        ids, mask = renumbered(pieces, source)
        theirs = load_model(folder)(ids, attention_mask=mask, decoder_input_ids=numbers[pad(target)]).logits

    kept = [piece for piece in range(len(numbers)) if piece != BEGIN]
    real = (pad(target) != PAD)[..., None]
    difference = (ours - theirs[..., numbers])[..., kept] * real
    assert difference.abs().max() < 1e-4


@pytest.fixture(scope="module", params=LEARNED)
def learned_folder(request: pytest.FixtureRequest, make_marian: MakeMarian) -> Path:
    """A model that answers with pieces of different lengths."""
    return make_marian(steps=25, **SHAPES[request.param])


@pytest.mark.parametrize("beam_size", [1, 4])
def test_search_finds_what_transformers_finds(learned_folder: Path, load_model: Load, beam_size: int) -> None:
    pieces = renumber(read_marian_files(learned_folder))
    numbers = {number: piece for piece, number in enumerate(pieces.source_numbers) if piece != BEGIN}
    learned = json.loads((learned_folder / "learned-sources.json").read_text())
    source = [[numbers[number] for number in row] for row in learned]
    source += random_rows(pieces.vocabulary.source_size, (2, 9, 5, 1, 12), seed=3)

    ours = searched(import_marian(learned_folder), source, beam_size)

    assert len({len(row) for row in ours}) > 2
    assert ours == generated(load_model(learned_folder), pieces, source, beam_size)


@pytest.mark.parametrize("language", [None, "fra"])
def test_text_is_translated_as_transformers_does(
    make_marian: MakeMarian,
    load_model: Load,
    load_tokenizer: Load,
    sentences: tuple[str, ...],
    tmp_path: Path,
    language: str | None,
) -> None:
    folder = make_marian(steps=10, languages=(language, "deu") if language else (), max_position_embeddings=128)
    tokenizer, texts = load_tokenizer(folder), list(sentences[::2])
    save_checkpoint(import_marian(folder), tmp_path / "imported", "float32")
    options = SearchOptions(beam_size=4, max_pieces=LIMIT)

    found = Translator.load(tmp_path / "imported", "cpu").translate(texts, options, target="fr")

    batch = tokenizer([f">>{language}<< {text}" if language else text for text in texts], padding=True)
    output = load_model(folder).generate(
        torch.tensor(batch.input_ids),
        attention_mask=torch.tensor(batch.attention_mask),
        num_beams=4,
        max_length=LIMIT + 2,
        bad_words_ids=[[tokenizer.pad_token_id], [tokenizer.unk_token_id]],
    )
    assert [translation.text for translation in found] == tokenizer.batch_decode(output, skip_special_tokens=True)


def test_pickled_weights_give_the_same_network(make_marian: MakeMarian) -> None:
    folder = make_marian()
    weights = import_marian(folder).network.state_dict()
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()

    again = import_marian(folder).network.state_dict()

    assert all(torch.equal(again[name], weight) for name, weight in weights.items())


def test_weights_named_more_than_once_are_read_as_one(make_marian: MakeMarian) -> None:
    folder = make_marian()
    expected = import_marian(folder).network.state_dict()["embedding.weight"]
    weights = load_file(folder / "model.safetensors")
    for name in ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"):
        weights[name] = weights["model.shared.weight"].clone()
    weights["model.encoder.embed_positions.weight"] = sinusoids_in_halves(64, 16)
    save_file(weights, folder / "model.safetensors")

    assert torch.equal(import_marian(folder).network.state_dict()["embedding.weight"], expected)


def searched(checkpoint: Checkpoint, source: list[list[int]], beam_size: int) -> list[list[int]]:
    network = checkpoint.network
    state = network.start(pad([[*row, END] for row in source]))
    rows = Rows((LIMIT,) * len(source), torch.device("cpu"))
    found = search(network.step, state, rows, SearchOptions(beam_size=beam_size))
    return [list(hypotheses[0].pieces) for hypotheses in found]


def generated(model: Any, pieces: MarianPieces, source: list[list[int]], beam_size: int) -> list[list[int]]:
    ids, mask = renumbered(pieces, [[*row, END] for row in source])
    forbidden = [[pieces.target_numbers[piece]] for piece in (PAD, UNKNOWN)]
    output = model.generate(
        ids, attention_mask=mask, num_beams=beam_size, max_length=LIMIT + 2, do_sample=False, bad_words_ids=forbidden
    )
    ours = {number: piece for piece, number in enumerate(pieces.target_numbers) if piece != BEGIN}
    rows = [[ours[number] for number in row[1:]] for row in output.tolist()]
    return [row[: row.index(END)] for row in rows]
