"""docs/metrics.md against `Metrics`. To bring it up to date, paste the table that the failing test prints."""

import re
from pathlib import Path

import dragoman
from dragoman.worker.metrics import Metrics
from prometheus_client.metrics import MetricWrapperBase

PAGE = Path(dragoman.__file__).parent / "docs" / "metrics.md"
FORBIDDEN_LABELS = {"client_id", "job_id", "text", "topic", "worker_id"}


def _collectors() -> list[MetricWrapperBase]:
    return [value for value in vars(Metrics()).values() if isinstance(value, MetricWrapperBase)]


def _row(collector: MetricWrapperBase) -> str:
    # Prometheus' client has no public way to ask a metric for its labels.
    labels = ", ".join(f"`{name}`" for name in collector._labelnames)
    name = collector._name + ("_total" if collector._type == "counter" else "")
    return f"| `{name}` | {collector._type} | {labels} | {collector._documentation} |"


def test_metrics_in_the_document_are_those_of_the_code() -> None:
    expected = [_row(collector) for collector in _collectors()]
    documented = re.findall(r"^\| `.*", PAGE.read_text("utf-8"), re.M)

    assert documented == expected, "the table of docs/metrics.md should be:\n" + "\n".join(expected)


def test_every_metric_of_the_registry_is_in_the_table() -> None:
    registered = {metric.name for metric in Metrics().registry.collect()}

    assert {collector._name for collector in _collectors()} == registered


def test_no_label_can_have_endless_values() -> None:
    labels = {label for collector in _collectors() for label in collector._labelnames}

    assert not labels & FORBIDDEN_LABELS
