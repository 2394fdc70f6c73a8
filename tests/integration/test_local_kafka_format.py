"""The first start of the local Kafka, whatever the cluster's id."""

import subprocess
import uuid
from pathlib import Path

import pytest
from dragoman.compose.local import KafkaOptions
from dragoman.compose.local.jars import kafka_jars
from dragoman.compose.local.kafka import Listening, format_command, java_command, server_properties

pytestmark = pytest.mark.services


def test_data_folder_is_prepared_when_the_cluster_id_begins_with_a_dash(tmp_path: Path) -> None:
    (tmp_path / "server.properties").write_text(server_properties(Listening(9092, 9093, 9094), KafkaOptions()))
    dashed = uuid.UUID(bytes=b"\xf8" * 16)

    subprocess.run(
        (*java_command(kafka_jars(), 256), *format_command(dashed, "server.properties")), cwd=tmp_path, check=True
    )

    assert "cluster.id=-" in (tmp_path / "data" / "meta.properties").read_text()
