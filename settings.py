"""All settings, in one frozen object. Knows no service and opens no connection.

Values come, in this order, from arguments, `DRAGOMAN_...` environment variables, and the file that a running
`dragoman up` leaves behind (`.dragoman/stack.env`, or the file named by DRAGOMAN_ENV_FILE). Secrets can be
given as a file: DRAGOMAN_KAFKA_PASSWORD_FILE=/run/secrets/kafka.
"""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import ConfigurationError

PREFIX = "DRAGOMAN_"
DEFAULT_ENV_FILE = Path(".dragoman/stack.env")


class Settings(BaseSettings):
    """Every setting of every Dragoman process; each process reads the ones it needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka brokers, host:port[,host:port]")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to talk to the brokers"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="how to log in, with a SASL_ security protocol"
    )
    kafka_username: str | None = Field(None, description="SASL user")
    kafka_password: SecretStr | None = Field(None, description="SASL password")
    kafka_ssl_ca_location: Path | None = Field(None, description="file of the certificate authority")
    topic_prefix: str = Field("", description="put before every topic name, to share a cluster")

    database_url: SecretStr = Field(
        SecretStr("postgresql+psycopg2://dragoman@127.0.0.1:5432/dragoman"),
        description="SQLAlchemy URL of the PostgreSQL database",
    )

    retention_days: int = Field(
        0, ge=0, description="days that texts are kept of a client with whom nothing else is agreed; 0 = for ever"
    )
    history_months: int = Field(
        0, ge=0, description="whole months of the history that are kept beside the present one; 0 = all of them"
    )

    text_keys: SecretStr | None = Field(
        None, description="keys that texts are encrypted with, NAME:BASE64,...; the first encrypts, all decrypt"
    )

    client_id: str = Field("default", min_length=1, max_length=200, description="who submits the jobs")
    producer_buffer_messages: int = Field(
        100_000, ge=1, le=10_000_000, description="jobs a producer holds before submit() blocks"
    )
    delivery_timeout_seconds: float = Field(
        120.0, gt=0, description="how long a producer tries to deliver a job before it reports failure"
    )

    checkpoint: str = Field(
        "",
        description="models of the worker, comma-separated, the preferred one of a language pair first: checkpoint "
        "folders, folders of checkpoints, shipped names, or package.module:name; default: the shipped model",
    )
    registry: bool = Field(
        False, description="the worker serves what is deployed (docs/registry.md), not DRAGOMAN_CHECKPOINT"
    )
    registry_seconds: float = Field(2.0, gt=0, description="how often such a worker asks what is deployed")
    artifacts_url: str = Field(
        ".dragoman/artifacts",
        min_length=1,
        description="where registered models are kept: a folder, or a URL such as s3://bucket/models",
    )
    test_sets: Path | None = Field(
        None, description="folder of the test sets that gates use, by the languages in their names: news.en-fr.tsv"
    )
    artifacts_cache: Path = Field(
        Path(".dragoman/models"), description="folder of this machine for models that are kept elsewhere"
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="cpu, cuda:N or auto")
    devices: str = Field(
        "",
        pattern=r"^((auto|cpu|cuda(:\d+)?)(,(auto|cpu|cuda(:\d+)?))*)?$",
        description="devices of the worker, comma-separated, a process each: cuda:0,cuda:1; default: DRAGOMAN_DEVICE",
    )
    device_silent_seconds: float = Field(
        120.0, gt=0, description="a device with work in hand that does not move for so long is started again"
    )
    device_attempts: int = Field(
        3, ge=1, description="so often a text runs alone that a device dies of, then its job is failed"
    )
    model_memory_bytes: int = Field(
        0,
        ge=0,
        description="memory for the weights of all models on one device; beyond it the least recently used one leaves; "
        "0 = all stay",
    )
    threads: int = Field(0, ge=0, description="CPU threads of the model; 0 = as many as cores")
    engine: Literal["auto", "native", "torch", "ctranslate2", "reference"] = Field(
        "auto", description="what runs the model; auto = native on a CPU, torch on CUDA (docs/engine.md)"
    )
    precision: Literal["auto", "float32", "bfloat16", "float16", "int8", "int8-exact"] = Field(
        "auto", description="arithmetic of the engine; auto = int8 on a CPU, bfloat16 on CUDA"
    )
    engine_rows: int = Field(
        0, ge=0, description="rows of the running batch: segments, times their beam size; 0 = what suits the device"
    )
    engine_cache_bytes: int = Field(
        0, ge=0, description="memory for keys and values of the running batch; 0 = what suits the device"
    )
    engine_shapes: Literal["fitting", "fixed"] = Field(
        "fitting",
        description="steps of the engine torch; fixed = all of one size, so that a translation is the same bits in any "
        "batch, and slower",
    )
    consumer_group: str = Field("dragoman-workers", min_length=1, description="Kafka consumer group of the workers")
    group_protocol: Literal["consumer", "classic"] = Field(
        "consumer", description="consumer = KIP-848; classic = cooperative-sticky, for brokers before 4.0"
    )
    session_timeout_seconds: float = Field(
        45.0, gt=0, description="classic group protocol: a silent worker loses its partitions after this"
    )
    batch_token_budget: int = Field(2048, ge=16, description="padded source tokens in one batch, at most")
    batch_rows: int = Field(128, ge=1, description="segments in one batch, at most")
    batch_padding_ratio: float = Field(
        0.3, ge=0, le=1, description="a batch takes in segments of another length up to this share of padding"
    )
    batch_wait_seconds: float = Field(
        0.05, ge=0, description="how long a bulk job waits for others to share its batch, while the batch is not full"
    )
    interactive_wait_seconds: float = Field(0.005, ge=0, description="the same for an interactive job")
    interactive_weight: float = Field(
        8.0, gt=0, description="padded tokens that interactive jobs get for each of bulk jobs, while both wait"
    )
    bulk_floor: float = Field(
        0.1, ge=0, le=0.5, description="share of the padded tokens that bulk jobs get, whatever the weight"
    )
    aging_seconds: float = Field(
        5.0, gt=0, description="bulk jobs that wait are next after so long without a batch of theirs"
    )
    translation_cache_bytes: int = Field(
        16_000_000, ge=0, description="memory for translations to answer the same texts again with; 0 = none"
    )
    beam_size: int = Field(4, ge=1, le=64, description="beam size where the job names none; 1 = greedy")
    in_flight_jobs: int = Field(
        5_000, ge=1, description="jobs of a lane polled and unfinished, at most: then its partitions pause"
    )
    in_flight_bytes: int = Field(64_000_000, ge=1_000_000, description="the same in message bytes")
    drain_seconds: float = Field(10.0, gt=0, description="how long a stopping worker may finish what is in flight")
    dead_letter_fuse: int = Field(
        1_000,
        ge=1,
        description="so many rejected messages in a row stop the worker: the fault is not in the jobs",
    )
    health_host: str = Field("127.0.0.1", description="address of /metrics, /livez and /readyz")
    health_port: int = Field(9464, ge=0, le=65_535, description="port of the same; 0 = any free port")

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="console on a terminal, else json; never holds source or target text"
    )

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL"):
            missing = [
                PREFIX + name.upper()
                for name in ("kafka_sasl_mechanism", "kafka_username", "kafka_password")
                if getattr(self, name) is None
            ]
            if missing:
                raise ValueError(f"{self.kafka_security_protocol} needs {', '.join(missing)}")
        return self


def load_settings(**overrides: object) -> Settings:
    """Read the settings; raises `ConfigurationError` with one line a fault."""
    try:
        return Settings(_env_file=_env_file(), **(_secrets_from_files() | overrides))  # type: ignore[arg-type]
    except ValidationError as error:
        faults = [
            f"{PREFIX}{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" if fault["loc"] else fault["msg"]
            for fault in error.errors(include_input=False)
        ]
        raise ConfigurationError("the settings are not usable: " + "; ".join(faults)) from None


def _env_file() -> Path | None:
    named = os.environ.get(PREFIX + "ENV_FILE")
    if named and not Path(named).is_file():
        raise ConfigurationError(f"{PREFIX}ENV_FILE names {named}, which is not a file")
    return Path(named) if named else DEFAULT_ENV_FILE


def _secrets_from_files() -> dict[str, object]:
    secrets: dict[str, object] = {}
    for name in ("kafka_password", "database_url", "text_keys"):
        path = os.environ.get(f"{PREFIX}{name.upper()}_FILE")
        if path:
            try:
                secrets[name] = Path(path).read_text().strip()
            except OSError as error:
                raise ConfigurationError(f"{PREFIX}{name.upper()}_FILE: {error}") from error
    return secrets
