from pathlib import Path

import pytest
from dragoman.benchmarks._prerequisites import corpus, require


def test_a_missing_peer_is_told_with_its_install_command() -> None:
    with pytest.raises(SystemExit, match=r"no_such_peer must be installed.*pip install 'dragoman\[bench\]'"):
        require("json", "no_such_peer")


def test_a_corpus_is_refused_when_its_folder_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRAGOMAN_CORPORA", raising=False)

    with pytest.raises(SystemExit, match="set DRAGOMAN_CORPORA"):
        corpus("tatoeba/train.en-fr.tsv.gz")


def test_a_corpus_is_refused_when_it_is_not_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_CORPORA", str(tmp_path))

    with pytest.raises(SystemExit, match="check DRAGOMAN_CORPORA"):
        corpus("tatoeba/train.en-fr.tsv.gz")
