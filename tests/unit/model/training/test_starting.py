"""Runs that begin with a checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import sentencepiece
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.catalog import describe
from dragoman.model.checkpoint import Checkpoint
from dragoman.model.training.config import TrainConfig
from dragoman.model.training.reports import TrainReport
from dragoman.model.training.run import train
from dragoman.model.training.starting import Beginning, begin
from dragoman.model.vocabularies.subwords import SubwordVocabulary
from dragoman.model.vocabularies.vocabulary import Vocabulary

MakeConfig = Callable[..., TrainConfig]
MakeStart = Callable[..., TrainConfig]


@pytest.fixture
def make_start(make_config: MakeConfig, checkpoint_folder: Path) -> MakeStart:
    """Makes a config that begins with the tiny checkpoint and says nothing of network and vocabulary."""

    def make(pieces: str = "all", **sections: Any) -> TrainConfig:
        settings = make_config(data={"max_pieces": 60}).model_dump(exclude={"network", "vocabulary"}, mode="json")
        start = {"checkpoint": str(checkpoint_folder), "pieces": pieces}
        return TrainConfig.model_validate(settings | sections | {"start": start})

    return make


def unwanted() -> Vocabulary:
    raise AssertionError("no vocabulary is to be learned")


def begun(config: TrainConfig) -> Beginning:
    return begin(config, Path(), unwanted)


def halves(tensor: torch.Tensor) -> torch.Tensor:
    """As a checkpoint stores it."""
    return tensor.half().float()


def test_weights_and_vocabulary_come_from_the_checkpoint(make_start: MakeStart, tiny_checkpoint: Checkpoint) -> None:
    beginning = begun(make_start())
    pairs = zip(tiny_checkpoint.network.parameters(), beginning.network.parameters(), strict=True)

    assert all(torch.equal(halves(stored), loaded) for stored, loaded in pairs)
    assert beginning.vocabulary.files() == tiny_checkpoint.vocabulary.files()


def test_network_is_ready_to_be_trained(make_start: MakeStart) -> None:
    assert all(parameter.requires_grad for parameter in begun(make_start()).network.parameters())


def test_dropout_may_differ_from_the_checkpoint(make_start: MakeStart) -> None:
    _, shape = describe(begun(make_start(network={"dropout": 0.4})).network)

    assert shape["dropout"] == 0.4


def test_sampling_may_be_set_beside_a_checkpoint(make_start: MakeStart) -> None:
    begun(make_start(vocabulary={"sampling_alpha": 0.1}))


@pytest.mark.parametrize(
    ("sections", "fault"),
    [
        ({"network": {"width": 32}}, r"not the one of the config: width = 32 \(the checkpoint has 16\)"),
        (
            {"network": {"architecture": "recurrent"}},
            r"architecture = 'recurrent' \(the checkpoint has 'transformer'\)",
        ),
        ({"vocabulary": {"size": 999}}, "its vocabulary has 340 pieces, not 999"),
        ({"vocabulary": {"kind": "characters"}}, "its vocabulary is of the kind subwords, not characters"),
        ({"pairs": ["en-fr", "fr-en"]}, "its vocabulary has no piece for the target language fr, en"),
    ],
)
def test_checkpoint_that_does_not_match_is_refused(make_start: MakeStart, sections: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        begun(make_start(**sections))


def test_longer_segments_than_the_checkpoint_takes_are_refused(make_start: MakeStart, make_config: MakeConfig) -> None:
    data = make_config(data={"max_pieces": 127}, network={"max_positions": 200}).data.model_dump(mode="json")

    with pytest.raises(ConfigurationError, match="do not fit into the 128 positions of tiny-en-fr: lower it"):
        begun(make_start(data=data))


def test_missing_checkpoint_is_refused(make_start: MakeStart, checkpoint_folder: Path) -> None:
    config = make_start()
    checkpoint_folder.rename(checkpoint_folder.with_name("elsewhere"))

    with pytest.raises(ConfigurationError, match="there is no checkpoint folder"):
        begun(config)


# 340 pieces are as many as the checkpoint has.
@pytest.mark.parametrize(("lines", "size", "algorithm"), [(4, 300, "unigram"), (None, 340, "bpe")])
def test_pieces_of_the_same_spelling_keep_their_embeddings(
    make_start: MakeStart,
    tiny_checkpoint: Checkpoint,
    sentences: tuple[str, ...],
    lines: int | None,
    size: int,
    algorithm: Literal["unigram", "bpe"],
) -> None:
    vocabulary = SubwordVocabulary.train(sentences[:lines], size, algorithm=algorithm)
    beginning = begin(make_start("same-spelling"), Path(), lambda: vocabulary)

    old, new = (spelled(each.files()["tokenizer.model"]) for each in (tiny_checkpoint.vocabulary, vocabulary))
    before = halves(tiny_checkpoint.network.get_parameter("embedding.weight"))
    after = beginning.network.get_parameter("embedding.weight")
    shared = [piece for spelling, piece in new.items() if spelling in old]
    kept = [
        piece for spelling, piece in new.items() if spelling in old and torch.equal(after[piece], before[old[spelling]])
    ]
    moved = [spelling for spelling in new if spelling in old and old[spelling] != new[spelling]]
    assert (len(after), kept) == (size, shared)
    assert moved


def spelled(model: bytes) -> dict[str, int]:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return {processor.id_to_piece(piece): piece for piece in range(processor.get_piece_size())}


def test_layers_are_kept_when_the_vocabulary_is_new(
    make_start: MakeStart, tiny_checkpoint: Checkpoint, sentences: tuple[str, ...]
) -> None:
    beginning = begin(make_start("same-spelling"), Path(), lambda: SubwordVocabulary.train(sentences[:4], 300))
    name = "encoder.0.attention.query.weight"

    assert torch.equal(beginning.network.get_parameter(name), halves(tiny_checkpoint.network.get_parameter(name)))


def test_run_goes_on_from_a_checkpoint(folder: Path, make_start: MakeStart) -> None:
    reports: list[TrainReport] = []
    output = train(make_start(run={"max_steps": 2, "threads": 1}), folder, reports.append, folder / "run")

    assert reports[-1].step == 2
    assert "Began with the checkpoint" in (output / "README.md").read_text(encoding="utf-8")
