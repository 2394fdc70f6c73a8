"""Registered models in a bucket of a real S3 server, by the commands that a person uses."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from dragoman.compose.local.ports import free_port
from dragoman.compose.local.service import Upkeep
from dragoman.model.manifest import read_manifest
from dragoman.storage.migrate import upgrade
from dragoman.tests.cut_connection import CutConnections
from dragoman.tests.s3_server import KEY_ID, SECRET, S3Server
from dragoman.tests.tiny_checkpoints import save_tiny, tiny_vocabulary

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    running = S3Server(tmp_path_factory.mktemp("s3"), free_port(), Upkeep())
    running.start()
    # Buckets are made by whoever runs the server.
    (running.buckets / "models").mkdir()
    yield running
    running.stop()


@pytest.fixture
def environment(server: S3Server, database_url: str, tmp_path: Path) -> dict[str, str]:
    """Keys and endpoint are told as to any program for S3, and to no setting of ours."""
    upgrade(database_url)
    return {
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": server.url,
        "AWS_MAX_ATTEMPTS": "1",
        "DRAGOMAN_DATABASE_URL": database_url,
        "DRAGOMAN_ARTIFACTS_URL": f"s3://models/{tmp_path.name}",
        "DRAGOMAN_ARTIFACTS_CACHE": str(tmp_path / "cache"),
        "DRAGOMAN_BEAM_SIZE": "1",
    }


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Command:
    """Runs `dragoman models ...` in a process of its own."""

    def command(*words: str, **changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dragoman", "models", *words],
            env=os.environ | environment | changed,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return command


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "small", tiny_vocabulary())


@pytest.fixture
def kept(run: Command, server: S3Server, checkpoint: Path, tmp_path: Path) -> Path:
    """The folder behind the place of a checkpoint that is registered in the bucket."""
    done = run("register", "small")
    assert (done.returncode, done.stdout[:17]) == (0, "registered small@"), done.stderr
    return server.buckets / "models" / tmp_path.name / read_manifest(checkpoint).sha256


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_checkpoint_goes_to_the_bucket_and_comes_from_it(
    run: Command, kept: Path, checkpoint: Path, tmp_path: Path
) -> None:
    promoted = run("promote", "small")

    assert content(kept) == content(checkpoint)
    assert (promoted.returncode, "translates en-fr now" in promoted.stdout) == (0, True), promoted.stderr
    assert content(tmp_path / "cache" / kept.name) == content(checkpoint)


def test_a_checkpoint_of_another_place_in_a_bucket_is_registered(
    run: Command, kept: Path, environment: dict[str, str]
) -> None:
    place = f"{environment['DRAGOMAN_ARTIFACTS_URL']}/{kept.name}"
    again = run("register", place, DRAGOMAN_ARTIFACTS_URL="elsewhere")

    assert again.stdout.startswith("registered small@"), again.stderr


def test_a_model_that_was_exchanged_in_the_bucket_is_refused(
    run: Command, kept: Path, server: S3Server, tmp_path: Path
) -> None:
    held = bytearray((kept / "model.safetensors").read_bytes())
    held[-1] ^= 1
    bucket = fsspec.filesystem("s3", key=KEY_ID, secret=SECRET, endpoint_url=server.url)
    bucket.pipe_file(f"models/{tmp_path.name}/{kept.name}/model.safetensors", bytes(held))
    refused = run("promote", "small")

    assert (refused.returncode, "model.safetensors is truncated or was changed" in refused.stderr) == (1, True), (
        refused.stderr
    )
    assert "translates" not in run("deployments", "--open").stdout


def test_a_download_that_breaks_off_leaves_nothing_and_is_made_again(
    run: Command, server: S3Server, kept: Path, checkpoint: Path, tmp_path: Path
) -> None:
    with CutConnections(server.port, answer_bytes=20_000) as cut:
        broken = run("promote", "small", AWS_ENDPOINT_URL=f"http://127.0.0.1:{cut.port}")

    assert cut.count > 0
    assert (broken.returncode, "cannot be copied" in broken.stderr) == (1, True), broken.stderr
    assert not (tmp_path / "cache" / kept.name).exists()
    assert run("promote", "small").returncode == 0
    assert content(tmp_path / "cache" / kept.name) == content(checkpoint)


def test_a_wrong_secret_is_refused_and_neither_it_nor_the_key_is_told(
    run: Command, kept: Path, server: S3Server
) -> None:
    wrong = "another-secret-that-no-log-may-hold"
    refused = run("promote", "small", AWS_SECRET_ACCESS_KEY=wrong)

    assert (refused.returncode, "cannot be copied" in refused.stderr) == (1, True), refused.stderr
    told = refused.stdout + refused.stderr
    assert [secret for secret in (wrong, SECRET, KEY_ID) if secret in told] == []
