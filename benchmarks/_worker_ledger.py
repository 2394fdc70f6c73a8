"""What the runs of a benchmark lost or did twice, added up from history and results. Changes nothing."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

from dragoman.benchmarks._pipeline import Looker, Work
from dragoman.benchmarks._table import Row, figure
from dragoman.producer.kafka import KafkaTail
from dragoman.schemas.topics import RESULTS

PASSED = "SELECT coalesce(sum(next_offset), 0)::bigint FROM ingest_lease"
# Offsets that the leases have passed, less those of them that have a row.
LOST = """
SELECT coalesce(sum(next_offset), 0)::bigint - (
  SELECT count(*) FROM translation JOIN ingest_lease ON topic = kafka_topic AND partition = kafka_partition
  WHERE kafka_offset < next_offset)
FROM ingest_lease
"""
ROWS = "SELECT job_id::text FROM translation"
SECOND_ROWS = "SELECT count(*) - count(DISTINCT (kafka_topic, kafka_partition, kafka_offset)) FROM translation"
OWED = "SELECT job_id::text FROM outbox"
# A topic that brings nothing for so long has nothing more.
QUIET_SECONDS = 2.0


@dataclass(slots=True)
class Ledger:
    """Jobs of all runs that were done with; those without row or result; those with a second row or another result."""

    jobs: int = 0
    lost: int = 0
    twice: int = 0
    complaints: list[str] = field(default_factory=list)

    def read(self, work: Work) -> None:
        """Add a run in which every message was a job of its own: what its leases have passed."""
        look = Looker(work)
        self._add(work, look, int(look.value(PASSED)), int(look.value(LOST)))

    def read_jobs(self, work: Work, jobs: Collection[str], complaints: Collection[str] = ()) -> None:
        """Add a run that has ended, by the ids of the jobs that Kafka has acknowledged; `complaints` are printed."""
        look = Looker(work)
        self._add(work, look, len(jobs), len(set(jobs).difference(look.values(ROWS))))
        self.complaints += complaints

    def rows(self) -> list[Row]:
        """`lost` and `twice`."""
        for complaint in self.complaints:
            print(f"wrong: {complaint}", flush=True)
        told = (f"of {self.jobs:,} jobs", "0")
        return [figure("lost", self.lost, told), figure("twice", self.twice, told)]

    def _add(self, work: Work, look: Looker, jobs: int, without_row: int) -> None:
        answers = _answers(work)
        recorded = set(look.values(ROWS))
        unanswered = recorded.difference(answers, look.values(OWED))
        differing = [copies for copies in answers.values() if len(copies) > 1]
        self.jobs += jobs
        self.lost += without_row + len(unanswered)
        self.twice += int(look.value(SECOND_ROWS)) + len(differing) + len(answers.keys() - recorded)


def _answers(work: Work) -> dict[str, set[int]]:
    """The different results of each job in Kafka, as hashes; copies of one event are one, as for whoever reads them."""
    found: dict[str, set[int]] = defaultdict(set)
    with KafkaTail(work.settings, RESULTS.full_name(work.settings.topic_prefix), "beginning") as tail:
        while messages := tail.poll(QUIET_SECONDS):
            for message in messages:
                found[(message.key or b"").decode()].add(hash(message.value))
    return found
