"""Rules that hold for every file of the repository, tracked or about to be."""

import re
import subprocess
from pathlib import Path

import dragoman
import pytest

ROOT = Path(dragoman.__file__).parent
MOST_LINES = 400
# Python file -> why it may be longer
LONGER: dict[str, str] = {}
# In pieces, so that this file does not hold them itself.
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("python" + "hosted", "org"),
        ("pytorch", "org/whl"),
        ("maven", "org"),
        ("maven", "apache", "org"),
        ("anaconda", "org"),
        ("npmjs", "org"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("gcr", "io"),
    )
]
LOCAL_PATHS = [f"/{folder}/" for folder in ("work", "root", "Users")]


def _files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = listed.stdout.decode().split("\0")
    return sorted(name for name in names if name and (ROOT / name).is_file())


def _text_files() -> dict[str, str]:
    contents = {name: (ROOT / name).read_bytes() for name in _files()}
    return {name: content.decode() for name, content in contents.items() if b"\0" not in content}


TEXTS = _text_files()
DOCUMENTS = {name: text for name, text in TEXTS.items() if name.endswith(".md")}


def _holding(words: list[str]) -> list[tuple[str, str]]:
    pattern = re.compile("|".join(rf"(?<![\w.]){re.escape(word)}" for word in words))
    return [(name, found[0]) for name, text in TEXTS.items() if (found := pattern.search(text))]


def _anchors(text: str) -> set[str]:
    """What a heading is linked by: lower case, spaces as hyphens, no punctuation."""
    headings = re.findall(r"^#+ +(.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_no_file_names_the_host_of_a_package_registry() -> None:
    assert _holding(REGISTRY_HOSTS) == []


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    assert _holding(LOCAL_PATHS) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_link_leads_to_a_file_and_a_heading(document: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", DOCUMENTS[document])
    targets = [((ROOT / document).parent / path if path else ROOT / document, anchor) for path, anchor in links]

    assert [str(path) for path, _ in targets if not path.exists()] == []
    assert [anchor for path, anchor in targets if anchor and anchor not in _anchors(path.read_text("utf-8"))] == []


def test_python_file_is_short_unless_there_is_a_reason() -> None:
    long = {name for name, text in TEXTS.items() if name.endswith(".py") and text.count("\n") >= MOST_LINES}

    assert long == set(LONGER)


def test_text_file_ends_with_one_line_feed() -> None:
    untidy = [name for name, text in TEXTS.items() if text and (not text.endswith("\n") or text.endswith("\n\n"))]

    assert untidy == []
