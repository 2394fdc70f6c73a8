"""A tiny vocabulary, network and checkpoint, and one CPU thread, for all tests of the model."""

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint, save_checkpoint
from dragoman.model.vocabularies.subwords import SubwordVocabulary

SENTENCES = (
    "The baker sells warm bread in the morning.",
    "Le boulanger vend du pain chaud le matin.",
    "My sister reads a long book near the window.",
    "Ma sœur lit un long livre près de la fenêtre.",
    "The old bridge crosses the river behind the mill.",
    "Le vieux pont traverse la rivière derrière le moulin.",
    "We will plant three apple trees this autumn.",
    "Nous planterons trois pommiers cet automne.",
    "Does your neighbour play the violin every evening?",
    "Votre voisin joue-t-il du violon chaque soir ?",
)
VOCABULARY_SIZE = 340


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def sentences() -> tuple[str, ...]:
    return SENTENCES


@pytest.fixture(scope="session")
def tokenizer() -> SubwordVocabulary:
    return SubwordVocabulary.train(SENTENCES, VOCABULARY_SIZE)


@pytest.fixture(scope="session")
def tiny_network() -> Callable[[int, int], Transformer]:
    """Makes a network with random weights from (vocabulary size, seed)."""

    def make(vocabulary_size: int, seed: int) -> Transformer:
        torch.manual_seed(seed)
        shape = TransformerConfig(
            vocabulary_size,
            width=16,
            heads=2,
            feed_forward=32,
            encoder_layers=1,
            decoder_layers=1,
            dropout=0.1,
            max_positions=128,
        )
        return Transformer(shape).eval().requires_grad_(requires_grad=False)

    return make


@pytest.fixture(scope="session")
def tiny_checkpoint(tokenizer: SubwordVocabulary, tiny_network: Callable[[int, int], Transformer]) -> Checkpoint:
    network = tiny_network(len(tokenizer), 7)
    return Checkpoint("tiny-en-fr", (("en", "fr"),), network, tokenizer, "# tiny\n\nRandom weights.\n")


@pytest.fixture
def checkpoint_folder(tiny_checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """The tiny checkpoint, saved."""
    save_checkpoint(tiny_checkpoint, tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def full_disk() -> Callable[[], AbstractContextManager[None]]:
    """Inside it the kernel refuses to write a file on beyond a page; only there, for pytest may write to a file too."""

    @contextmanager
    def limited() -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
