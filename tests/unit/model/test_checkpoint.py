"""Saving and loading a checkpoint folder."""

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from dragoman.model.checkpoint_config import Storage
from dragoman.model.translator import Translator
from dragoman.model.vocabularies.characters import CharacterVocabulary
from dragoman.model.vocabularies.subwords import SubwordVocabulary

CPU = torch.device("cpu")
FILES = ["README.md", "config.json", "manifest.json", "model.safetensors", "tokenizer.model"]
TEXTS = ["The baker reads.", "A long river behind the old mill.", ""]


@pytest.fixture
def other_checkpoint(tiny_checkpoint: Checkpoint, tiny_network: Callable[[int, int], Transformer]) -> Checkpoint:
    """Same vocabulary, other weights."""
    return replace(tiny_checkpoint, network=tiny_network(len(tiny_checkpoint.vocabulary), 8))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fail_with(error: BaseException) -> Callable[..., bytes]:
    def fail(*_arguments: object) -> bytes:
        raise error

    return fail


def test_loaded_checkpoint_says_what_was_saved(checkpoint_folder: Path, tiny_checkpoint: Checkpoint) -> None:
    loaded = load_checkpoint(checkpoint_folder, CPU)

    assert (loaded.name, loaded.pairs, loaded.card) == (
        tiny_checkpoint.name,
        tiny_checkpoint.pairs,
        tiny_checkpoint.card,
    )
    assert loaded.network.config == tiny_checkpoint.network.config


def test_loaded_weights_are_the_saved_ones_in_16_bits(checkpoint_folder: Path, tiny_checkpoint: Checkpoint) -> None:
    saved, loaded = tiny_checkpoint.network.state_dict(), load_checkpoint(checkpoint_folder, CPU).network.state_dict()

    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[name].half().float(), loaded[name]) for name in saved)


@pytest.mark.parametrize("storage", ["float16", "float32", "int8"])
def test_checkpoint_is_the_same_after_saving_once_more(
    tiny_checkpoint: Checkpoint, tmp_path: Path, storage: Storage
) -> None:
    first = save_checkpoint(tiny_checkpoint, tmp_path / "first", storage)

    assert save_checkpoint(load_checkpoint(tmp_path / "first", CPU), tmp_path / "again", storage) == first


def test_network_translates_as_before_when_stored_in_32_bits(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tiny_checkpoint, tmp_path / "tiny", "float32")

    loaded = Translator(load_checkpoint(tmp_path / "tiny", CPU), CPU)
    assert loaded.translate(TEXTS) == Translator(tiny_checkpoint, CPU).translate(TEXTS)


def test_loaded_weights_need_no_gradient(checkpoint_folder: Path) -> None:
    network = load_checkpoint(checkpoint_folder, CPU).network

    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_number_of_threads_is_as_before_after_loading(checkpoint_folder: Path) -> None:
    torch.set_num_threads(2)
    load_checkpoint(checkpoint_folder, CPU)

    assert torch.get_num_threads() == 2


def test_weights_stay_when_the_folder_is_removed_after_loading(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tiny_checkpoint, tmp_path / "tiny", "float32")
    loaded = load_checkpoint(tmp_path / "tiny", CPU)
    (tmp_path / "tiny" / "model.safetensors").write_bytes(bytes(100_000))

    name = "embedding.weight"
    assert torch.equal(loaded.network.state_dict()[name], tiny_checkpoint.network.state_dict()[name])


def test_character_vocabulary_comes_back(
    tiny_network: Callable[[int, int], Transformer], sentences: tuple[str, ...], tmp_path: Path
) -> None:
    vocabulary = CharacterVocabulary.train(sentences, languages=("fr", "es"))
    pairs = (("en", "fr"), ("en", "es"))
    save_checkpoint(Checkpoint("c", pairs, tiny_network(len(vocabulary), 1), vocabulary, "# c\n"), tmp_path / "c")

    loaded = load_checkpoint(tmp_path / "c", CPU)
    assert (type(loaded.vocabulary), loaded.vocabulary.languages) == (CharacterVocabulary, ("fr", "es"))
    assert loaded.vocabulary.encode(sentences) == vocabulary.encode(sentences)


def test_version_is_name_and_content_hash(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    sha256 = save_checkpoint(tiny_checkpoint, tmp_path / "tiny")

    assert load_checkpoint(tmp_path / "tiny", CPU).version == f"tiny-en-fr@{sha256[:12]}"


def test_version_is_equal_when_the_content_is(checkpoint_folder: Path, tmp_path: Path) -> None:
    loaded = load_checkpoint(checkpoint_folder, CPU)
    save_checkpoint(replace(loaded, card="# A better card\n"), tmp_path / "moved")

    assert load_checkpoint(tmp_path / "moved", CPU).version == loaded.version


def test_version_differs_when_the_weights_do(
    tiny_checkpoint: Checkpoint, other_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    assert save_checkpoint(tiny_checkpoint, tmp_path / "a") != save_checkpoint(other_checkpoint, tmp_path / "b")


def test_folder_holds_the_five_files_and_nothing_else(checkpoint_folder: Path) -> None:
    assert sorted(contents(checkpoint_folder)) == FILES
    assert list(checkpoint_folder.parent.iterdir()) == [checkpoint_folder]


def test_files_are_readable_by_the_group_when_the_mask_allows_it(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    before = os.umask(0o022)
    save_checkpoint(tiny_checkpoint, tmp_path / "tiny")
    os.umask(before)

    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "tiny").iterdir()} == {0o644}


def test_parent_folders_are_made(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tiny_checkpoint, tmp_path / "new" / "deep" / "tiny")

    assert load_checkpoint(tmp_path / "new" / "deep" / "tiny", CPU).name == "tiny-en-fr"


def test_older_checkpoint_is_replaced(checkpoint_folder: Path, other_checkpoint: Checkpoint) -> None:
    sha256 = save_checkpoint(other_checkpoint, checkpoint_folder)

    assert load_checkpoint(checkpoint_folder, CPU).sha256 == sha256
    assert list(checkpoint_folder.parent.iterdir()) == [checkpoint_folder]


def test_older_checkpoint_is_replaced_behind_a_link(
    checkpoint_folder: Path, other_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    link = tmp_path / "current"
    link.symlink_to(checkpoint_folder)

    sha256 = save_checkpoint(other_checkpoint, link)

    assert load_checkpoint(checkpoint_folder, CPU).sha256 == sha256
    assert link.is_symlink()


def test_folder_of_something_else_is_not_replaced(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("Keep me.")

    with pytest.raises(CheckpointError, match="letters exists and is not a checkpoint: remove it, or name another"):
        save_checkpoint(tiny_checkpoint, tmp_path / "letters")

    assert contents(tmp_path / "letters") == {"dear.txt": b"Keep me."}


def test_file_is_not_replaced(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("Keep me.")

    with pytest.raises(CheckpointError, match="letter exists and is not a checkpoint"):
        save_checkpoint(tiny_checkpoint, tmp_path / "letter")


def test_older_checkpoint_stays_when_the_disk_is_full(
    checkpoint_folder: Path, other_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(checkpoint_folder)
    monkeypatch.setattr(safetensors.torch, "save", fail_with(OSError(errno.ENOSPC, "No space left on device")))

    with pytest.raises(CheckpointError, match=r"cannot be written, what was there is untouched: .*No space left"):
        save_checkpoint(other_checkpoint, checkpoint_folder)

    assert contents(checkpoint_folder) == before
    assert list(checkpoint_folder.parent.iterdir()) == [checkpoint_folder]


def test_older_checkpoint_stays_when_the_system_refuses_the_weights(
    checkpoint_folder: Path, other_checkpoint: Checkpoint, full_disk: Callable[[], AbstractContextManager[None]]
) -> None:
    before = contents(checkpoint_folder)
    refused = pytest.raises(CheckpointError, match=r"cannot be written, what was there is untouched: .*File too large")

    with refused, full_disk():
        save_checkpoint(other_checkpoint, checkpoint_folder)

    assert contents(checkpoint_folder) == before
    assert list(checkpoint_folder.parent.iterdir()) == [checkpoint_folder]


def test_older_checkpoint_stays_when_saving_is_interrupted(
    checkpoint_folder: Path, other_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(checkpoint_folder)
    monkeypatch.setattr(safetensors.torch, "save", fail_with(KeyboardInterrupt()))

    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(other_checkpoint, checkpoint_folder)

    assert contents(checkpoint_folder) == before
    assert list(checkpoint_folder.parent.iterdir()) == [checkpoint_folder]


def test_older_checkpoint_comes_back_when_the_swap_fails_half_way(
    checkpoint_folder: Path, other_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rename = contents(checkpoint_folder), Path.rename

    def fail_for_the_new_one(path: Path, target: Path) -> Path:
        if target == checkpoint_folder and path.name != f".{checkpoint_folder.name}-replaced":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(CheckpointError, match=r"what was there is untouched: .*Input/output error"):
        save_checkpoint(other_checkpoint, checkpoint_folder)

    assert contents(checkpoint_folder) == before
    assert list(checkpoint_folder.parent.iterdir()) == [checkpoint_folder]


def test_older_checkpoint_is_named_when_a_crash_left_it_aside(checkpoint_folder: Path) -> None:
    checkpoint_folder.rename(checkpoint_folder.with_name(f".{checkpoint_folder.name}-replaced"))

    with pytest.raises(
        CheckpointError, match=r"was interrupted, the older checkpoint is .*/\.tiny-replaced; rename it"
    ):
        load_checkpoint(checkpoint_folder, CPU)


def test_saving_goes_on_when_a_crash_left_the_older_checkpoint_aside(
    checkpoint_folder: Path, other_checkpoint: Checkpoint
) -> None:
    aside = checkpoint_folder.with_name(f".{checkpoint_folder.name}-replaced")
    aside.mkdir()
    (aside / "manifest.json").touch()

    sha256 = save_checkpoint(other_checkpoint, checkpoint_folder)

    assert load_checkpoint(checkpoint_folder, CPU).sha256 == sha256
    assert list(checkpoint_folder.parent.iterdir()) == [checkpoint_folder]


def test_mixed_vocabulary_and_network_are_not_saved(
    tiny_checkpoint: Checkpoint, tiny_network: Callable[[int, int], Transformer], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="mixes a vocabulary of 340 pieces with a network of 350: take both from"):
        save_checkpoint(replace(tiny_checkpoint, network=tiny_network(350, 7)), tmp_path / "mixed")

    assert list(tmp_path.iterdir()) == []


def test_network_with_another_source_vocabulary_is_not_saved(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    shape = TransformerConfig(340, width=16, heads=2, embeddings="separate", source_vocabulary_size=350)

    with pytest.raises(CheckpointError, match="mixes a vocabulary of 340 pieces with a network of 350"):
        save_checkpoint(replace(tiny_checkpoint, network=Transformer(shape)), tmp_path / "mixed")


def test_vocabulary_is_not_saved_when_the_catalog_does_not_know_it(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    class Private(SubwordVocabulary):
        pass

    private = Private(tiny_checkpoint.vocabulary.files()["tokenizer.model"])
    with pytest.raises(CheckpointError, match="Private is not in the catalog of vocabularies: it cannot be saved"):
        save_checkpoint(replace(tiny_checkpoint, vocabulary=private), tmp_path / "private")
