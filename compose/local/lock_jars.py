"""Writes `kafka_jars.json`: `python -m dragoman.compose.local.lock_jars`, after a change of KAFKA_VERSION.

Resolves Kafka's dependencies with jgo (pure Python, no Java) and records what it downloaded, for review.
"""

import hashlib
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .jars import KAFKA_VERSION, LOCK_FILE, Jar, maven_context

# Kafka's own dependencies end at the logging interface; without an implementation the broker would be mute.
ROOTS = (
    ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
    ("org.slf4j", "slf4j-simple", "1.7.36"),
)


def resolve(repository_cache: Path) -> list[Jar]:
    """Resolve and download all jars below `repository_cache`; takes some ten seconds."""
    from jgo.maven import Dependency

    context = maven_context(repository_cache)
    roots = [
        Dependency(context.project(group, artifact).at_version(version).artifact(), scope="compile")
        for group, artifact, version in ROOTS
    ]
    inputs, transitive = context.resolver.resolve(roots)
    needed = [*inputs, *(found for found in transitive if found.scope in ("compile", "runtime"))]
    return sorted((_jar(found.artifact) for found in needed), key=lambda jar: (jar.group, jar.artifact))


def _jar(artifact: Any) -> Jar:
    content = Path(artifact.resolve()).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return Jar(artifact.groupId, artifact.artifactId, artifact.version, digest, len(content))


def main() -> None:
    """Resolve the jars and write the file."""
    with tempfile.TemporaryDirectory() as folder:
        jars = resolve(Path(folder))
    lines = ",\n".join("  " + json.dumps(asdict(jar)) for jar in jars)
    LOCK_FILE.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
