"""The Dockerfile against our settings, commands and packaging. Reads the text; builds no image."""

import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import dragoman
import pytest
from dragoman.cli.main import COMMANDS
from dragoman.settings import Settings

ROOT = Path(dragoman.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
DOCKERFILE = (ROOT / "compose" / "Dockerfile").read_text("utf-8").replace("\\\n", "")
# (instruction, what follows it), in order
STEPS: list[tuple[str, str]] = re.findall(r"^([A-Z]+) +(.+)$", DOCKERFILE, re.M)
IGNORED = (ROOT / ".dockerignore").read_text("utf-8").split()


def _last(instruction: str) -> str:
    return [text for name, text in STEPS if name == instruction][-1]


def test_image_is_built_in_stages_from_a_slim_python_that_the_project_supports() -> None:
    bases = [text for name, text in STEPS if name == "FROM"]
    floor = PROJECT["project"]["requires-python"]

    assert [base.split()[0] for base in bases] == ["python:3.13-slim"] * 2
    assert floor == ">=3.11"


def test_image_does_not_run_as_root() -> None:
    user, _, group = _last("USER").partition(":")

    assert user.isdigit()
    assert int(user) > 0
    assert int(group) > 0


def test_image_starts_the_command_itself_so_that_it_gets_signals() -> None:
    entrypoint = json.loads(_last("ENTRYPOINT"))

    assert entrypoint == ["dragoman"]
    assert entrypoint[0] in PROJECT["project"]["scripts"]


def test_image_runs_a_command_that_exists_when_none_is_given() -> None:
    [command] = json.loads(_last("CMD"))

    assert command in COMMANDS


def test_image_installs_extras_that_exist() -> None:
    named = re.findall(r"--extra +(\S+)", DOCKERFILE)

    assert named == ["worker"]
    assert set(named) <= set(PROJECT["project"]["optional-dependencies"])


def test_image_installs_what_its_command_needs() -> None:
    [command] = json.loads(_last("CMD"))

    assert COMMANDS[command][2] in re.findall(r"--extra +(\S+)", DOCKERFILE)


def test_image_has_a_torch_without_cuda_unless_another_is_asked_for() -> None:
    assert ("ARG", "TORCH=cpu") in STEPS
    assert '--torch-backend="${TORCH}"' in DOCKERFILE


def test_health_check_asks_the_port_where_the_worker_answers() -> None:
    words = json.loads(_last("HEALTHCHECK").partition("CMD")[2])
    port = Settings.model_fields["health_port"].default

    assert words[:2] == ["python", "-c"]
    assert f"http://127.0.0.1:{port}/livez" in words[2]
    assert _last("EXPOSE") == str(port)
    compile(words[2], "HEALTHCHECK", "exec")


@pytest.mark.parametrize("package", sorted(PROJECT["tool"]["setuptools"]["packages"]))
def test_package_reaches_the_image(package: str) -> None:
    folder = package.partition(".")[2].replace(".", "/")

    assert not [pattern for pattern in IGNORED if fnmatch(folder, pattern)]
    assert (ROOT / folder / "__init__.py").is_file()


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "pyproject.toml", "settings.py"])
def test_file_that_the_build_needs_reaches_the_image(name: str) -> None:
    assert not [pattern for pattern in IGNORED if fnmatch(name, pattern)]


def test_every_package_of_the_tree_is_packaged() -> None:
    outside = {"tests", "benchmarks", "build", "dist"}
    found = {
        ".".join(("dragoman", *path.parent.relative_to(ROOT).parts))
        for path in ROOT.rglob("__init__.py")
        if not any(part in outside or part.startswith(".") for part in path.relative_to(ROOT).parts)
    }

    assert found == set(PROJECT["tool"]["setuptools"]["packages"])


@pytest.mark.parametrize(
    "path",
    [
        "model/checkpoints/tatoeba-en-to-de-es-fr/model.safetensors",
        "model/configs/tatoeba-en-fr.toml",
        "compose/local/kafka_jars.json",
        "schemas/json/translation-job.v1.schema.json",
        "schemas/examples/translation-job/v1.json",
    ],
)
def test_data_file_is_packaged(path: str) -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"]
    patterns = [
        "/".join((*package.split(".")[1:], pattern)) for package, patterns in data.items() for pattern in patterns
    ]

    assert (ROOT / path).is_file()
    assert any(Path(path).match(pattern) or fnmatch(path, pattern) for pattern in patterns)
