"""The least that a Python consumer can do: consume, validate, COPY, produce, commit. Nothing is fenced or deduplicated.

    python bare_loop.py BOOTSTRAP_SERVERS TOPIC RESULTS DATABASE_URL JOBS

Prints a JSON object with the seconds from the first tenth of the jobs to the last, and how many jobs those were.
"""

import io
import json
import sys
import time
from dataclasses import dataclass

import psycopg2
from confluent_kafka import Consumer, Message, Producer
from dragoman.schemas.jobs import TranslationJob

BATCH_MESSAGES = 2_000
CREATE = (
    "CREATE TABLE bare (job_id uuid PRIMARY KEY, client_id text, source_language text, target_language text, "
    "source_text text, target_text text, submitted_at timestamptz, recorded_at timestamptz DEFAULT now())"
)
COPY = (
    "COPY bare (job_id, client_id, source_language, target_language, source_text, target_text, submitted_at) FROM STDIN"
)


@dataclass(frozen=True, slots=True)
class Work:
    """Where the jobs are, where they go to, and how many there are."""

    servers: str
    topic: str
    results: str
    database_url: str
    count: int


def run(work: Work) -> dict[str, float]:
    """Move the jobs."""
    connection = psycopg2.connect(work.database_url)
    cursor = connection.cursor()
    cursor.execute(CREATE)
    connection.commit()
    consumer = Consumer(
        {
            "bootstrap.servers": work.servers,
            "group.id": f"{work.topic}-bare",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "check.crcs": True,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": work.servers,
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": 500_000,
        }
    )
    consumer.subscribe([work.topic])
    done, start, start_jobs = 0, 0.0, 0
    while done < work.count:
        messages = consumer.consume(BATCH_MESSAGES, 0.2)
        if not messages:
            continue
        jobs = [TranslationJob.model_validate_json(_value(message)) for message in messages]
        cursor.copy_expert(COPY, io.StringIO("".join(map(_line, jobs))))
        connection.commit()
        for job in jobs:
            producer.produce(work.results, job.model_dump_json().encode(), key=str(job.job_id).encode())
            producer.poll(0)
        producer.flush()
        consumer.commit(asynchronous=False)
        done += len(messages)
        if not start_jobs and done >= work.count // 10:
            start, start_jobs = time.perf_counter(), done
    seconds = time.perf_counter() - start
    consumer.close()
    connection.close()
    return {"seconds": seconds, "jobs": done - start_jobs}


def _value(message: Message) -> bytes:
    value = message.value()
    if message.error() or value is None:
        raise RuntimeError(f"a message that is none: {message.error()}")
    return value


def _line(job: TranslationJob) -> str:
    """A row as COPY reads it; the texts of this benchmark hold no tab, backslash or line break."""
    columns = (job.job_id, job.client_id, job.source_language, job.target_language, job.source_text, job.source_text)
    return "\t".join(map(str, columns)) + f"\t{job.submitted_at.isoformat()}\n"


if __name__ == "__main__":
    servers, topic, results, database_url, count = sys.argv[1:]
    print(json.dumps(run(Work(servers, topic, results, database_url, int(count)))))
