"""The compose files against the Compose Specification's own JSON Schema and against our code. Needs no Docker.

The schema is the published one, which the package `check-jsonschema` carries. What only an engine can tell - whether
an image's tag exists, whether the containers find each other - is not tested here.
"""

import json
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import click
import dragoman.compose
import jsonschema
import pytest
import yaml
from dragoman.cli.main import dragoman as command_line
from dragoman.compose.local.jars import KAFKA_VERSION
from dragoman.settings import PREFIX, Settings
from dragoman.worker.worker import CLOSE_SECONDS

COMPOSE = Path(dragoman.compose.__file__).parent
NAMES = ("compose.yaml", "compose.gpu.yaml")
SECONDS = {"s": 1, "m": 60}


def _load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((COMPOSE / name).read_text("utf-8"))
    return document


BASE, GPU = map(_load, NAMES)
PROMETHEUS = _load("prometheus/prometheus.yaml")
SERVICES: dict[str, Any] = BASE["services"]
VARIABLES = {
    (service, name, str(value))
    for document in (BASE, GPU)
    for service, body in document["services"].items()
    for name, value in body.get("environment", {}).items()
    if name.startswith(PREFIX)
}


def _worker_settings() -> Settings:
    environment = SERVICES["worker"]["environment"]
    return Settings.model_validate({name.removeprefix(PREFIX).lower(): value for name, value in environment.items()})


def _commands(service: str) -> list[list[str]]:
    """The words after `dragoman` of each command that a service runs."""
    body = SERVICES[service]
    if "entrypoint" not in body:
        return [body["command"]]
    return [line.split()[1:] for line in body["command"][0].split("&&")]


def _resolve(words: list[str]) -> click.Command:
    """The command that the words name, its options and arguments checked; raises `click.UsageError`."""
    command: click.Command = command_line
    context = click.Context(command_line)
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
    command.make_context(name, words)
    return command


@pytest.fixture(scope="module")
def specification() -> jsonschema.Draft202012Validator:
    package = distribution("check-jsonschema")
    path = Path(str(package.locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")))
    return jsonschema.Draft202012Validator(json.loads(path.read_bytes()))


@pytest.mark.parametrize("name", NAMES)
def test_compose_file_satisfies_the_specification(name: str, specification: jsonschema.Draft202012Validator) -> None:
    specification.validate(_load(name))


def test_specification_refuses_a_misspelt_key(specification: jsonschema.Draft202012Validator) -> None:
    assert not specification.is_valid({"services": {"worker": {"image": "x", "comand": ["worker"]}}})


@pytest.mark.parametrize(("service", "name", "value"), sorted(VARIABLES))
def test_dragoman_variable_is_a_setting_when_a_service_sets_it(service: str, name: str, value: str) -> None:
    assert name.removeprefix(PREFIX).lower() in Settings.model_fields, service
    assert Settings.model_validate({name.removeprefix(PREFIX).lower(): value})


@pytest.mark.parametrize("service", ["migrate", "worker"])
def test_command_exists_when_a_service_runs_it(service: str) -> None:
    assert all(_resolve(words) for words in _commands(service))


def test_migration_upgrades_the_database_and_creates_the_topics() -> None:
    assert [_resolve(words).name for words in _commands("migrate")] == ["upgrade", "create"]


def test_worker_waits_for_the_migration_and_that_for_both_services() -> None:
    assert SERVICES["worker"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert set(SERVICES["migrate"]["depends_on"]) == {"kafka", "postgres"}


def test_prometheus_scrapes_the_port_that_the_worker_serves() -> None:
    [job] = PROMETHEUS["scrape_configs"]
    [target] = job["dns_sd_configs"]

    assert target["names"] == ["worker"]
    assert target["port"] == _worker_settings().health_port
    assert SERVICES["worker"]["expose"] == [str(_worker_settings().health_port)]


def test_worker_lets_other_containers_read_its_metrics() -> None:
    assert _worker_settings().health_host == "0.0.0.0"  # noqa: S104 - inside a container


def test_worker_has_time_to_drain_and_to_leave_before_it_is_killed() -> None:
    amount, unit = re.fullmatch(r"(\d+)([sm])", SERVICES["worker"]["stop_grace_period"]).groups()  # type: ignore[union-attr]

    assert int(amount) * SECONDS[unit] > _worker_settings().drain_seconds + CLOSE_SECONDS


def test_worker_finds_kafka_where_the_broker_listens_for_containers() -> None:
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]

    assert f"CONTAINERS://{_worker_settings().kafka_bootstrap_servers}," in advertised


def test_programs_on_the_machine_find_kafka_where_the_settings_look_by_default() -> None:
    default = Settings.model_fields["kafka_bootstrap_servers"].default

    assert SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].endswith(f"MACHINE://{default}")
    assert SERVICES["kafka"]["ports"] == [f"{default}:{default.rpartition(':')[2]}"]


def test_worker_logs_in_to_the_database_that_the_service_creates() -> None:
    given = SERVICES["postgres"]["environment"]
    user, database, password = (given[f"POSTGRES_{name}"] for name in ("USER", "DB", "PASSWORD"))

    url = _worker_settings().database_url.get_secret_value()

    assert url == f"postgresql+psycopg2://{user}:{password}@postgres:5432/{database}"


def test_kafka_is_the_version_of_the_local_stack() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


@pytest.mark.parametrize("service", ["kafka", "postgres", "prometheus"])
def test_image_of_others_is_pinned_to_a_version(service: str) -> None:
    assert re.fullmatch(r"[a-z/]+:v?\d+(\.\d+)+", SERVICES[service]["image"])


@pytest.mark.parametrize("service", ["kafka", "postgres", "prometheus"])
def test_port_is_open_on_this_machine_only(service: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service]["ports"])


def test_gpu_overlay_gives_the_worker_one_nvidia_device() -> None:
    worker = GPU["services"]["worker"]
    [device] = worker["deploy"]["resources"]["reservations"]["devices"]

    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert worker["environment"] == {"DRAGOMAN_DEVICE": "cuda:0"}
    assert worker["build"]["args"]["TORCH"] != "cpu"


def test_gpu_overlay_changes_only_services_that_exist() -> None:
    assert set(GPU["services"]) <= set(SERVICES)
