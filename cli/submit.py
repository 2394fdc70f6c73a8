"""`dragoman submit TEXT`: one job, and if wanted its translation."""

import json
from uuid import UUID

import click

from ..errors import DragomanError
from ..producer.producer import JobDetails, TranslationProducer
from ..producer.replies import ResultReader
from ..schemas.codec import encode
from ..schemas.jobs import Lane
from ..schemas.results import TranslationResult
from ..settings import load_settings


@click.command()
@click.argument("text")
@click.option("-s", "--source", required=True, metavar="LANGUAGE", help="Language of TEXT, e.g. en.")
@click.option("-t", "--target", required=True, metavar="LANGUAGE", help="Language to translate to, e.g. fr.")
@click.option("--lane", type=click.Choice(["interactive", "bulk"]), default="interactive", show_default=True)
@click.option("--no-trace", is_flag=True, help="Keep no text of it anywhere but on Kafka.")
@click.option("--wait", is_flag=True, help="Wait for the translation and print it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the job id, or with --wait the whole result.")
@click.option("--timeout", "timeout_seconds", type=click.FloatRange(min=0.1), default=60.0, show_default=True)
def submit(
    text: str,
    source: str,
    target: str,
    lane: Lane,
    no_trace: bool,
    wait: bool,
    as_json: bool,
    timeout_seconds: float,
) -> None:
    """Submit TEXT as one job and print its job id, or with --wait its translation.

    The job is on the brokers when the id is printed.
    """
    settings, details = load_settings(), JobDetails(no_trace=no_trace)
    with TranslationProducer(settings) as producer:

        def deliver() -> UUID:
            job_id = producer.submit(text, source=source, target=target, lane=lane, details=details)
            producer.flush()
            return job_id

        if not wait:
            job_id = deliver()
            click.echo(json.dumps({"job_id": str(job_id)}) if as_json else str(job_id))
            return
        producer.check_brokers()
        with ResultReader(settings) as reader:
            result = next(reader.wait_for([deliver()], timeout_seconds))
    click.echo(encode(result).decode() if as_json else _translation(result))


def _translation(result: TranslationResult) -> str:
    if result.translation is None:
        raise DragomanError(f"job {result.job_id} was {result.status.value}: {result.detail or result.reason}")
    return result.translation
