"""Faults 42-46, 52, 53, 56, 58, 59: what arrives, how much of it, and what the model and the machine do."""

import signal
from pathlib import Path

from confluent_kafka import Producer
from dragoman.compose.local.ports import free_port
from dragoman.tests.faults import poison
from dragoman.tests.faults.arena import Arena, Setup
from dragoman.tests.faults.entry import Poison, Temper
from dragoman.tests.faults.fault import Fault
from dragoman.tests.faults.fleet import Recipe, wait_until
from dragoman.tests.faults.invariants import at_rest
from dragoman.tests.faults.load import Mix
from dragoman.tests.faults.process_faults import CALM, pause

BOMB_BYTES = 60_000_000


def bury_bad_messages(arena: Arena) -> None:
    before = arena.fleet.metric("dragoman_jobs_total")
    for name, message in poison.BAD_MESSAGES.items():
        arena.load.publish("jobs.bulk", [message(), message()], name)
        arena.load.publish_texts("jobs.bulk", [f"{poison.CANARY} neighbour of {name}"])
        arena.bite("bad messages", 2)
    arena.load.publish_texts("jobs.interactive", poison.STRANGE_TEXTS)
    many_headers = [(f"h{number}", b"x") for number in range(5_000)]
    producer = Producer({"bootstrap.servers": arena.settings.kafka_bootstrap_servers})
    producer.produce(arena.topics()[0], b"{", b"headers", headers=many_headers)
    producer.flush(20)
    wait_until(lambda: arena.fleet.metric("dragoman_jobs_total") > before + 30, "they are recorded")
    arena.saw(
        f"{len(poison.BAD_MESSAGES)} kinds, a message with 5,000 headers, {len(poison.STRANGE_TEXTS)} strange texts"
    )


def choke_the_model(arena: Arena) -> None:
    for number in range(20):
        word = Poison.ALL[number % 2]
        text = f"{poison.CANARY} {word} {number}"
        arena.load.publish("jobs.bulk", [poison.job(text)], word)
        arena.load.publish_texts("jobs.bulk", [f"{poison.CANARY} neighbour {number} {copy}" for copy in range(5)])
    arena.wait_rows(100)
    wait_until(lambda: arena.fleet.metric("dragoman_translate_failures_total") > 0, "the model chokes")
    arena.bite("passes of the model that failed", arena.fleet.metric("dragoman_translate_failures_total"))


def crash_the_model(arena: Arena) -> None:
    arena.load.publish("jobs.bulk", [poison.job(f"{poison.CANARY} {Poison.CRASH}")], Poison.CRASH)
    took = wait_until(lambda: _given_up(arena), "the text that crashes its workers is given up", 180)
    deaths = [worker for worker in arena.fleet.all if not worker.running]
    arena.bite("workers that it brought down", len(deaths))
    assert all(worker.process.returncode == -signal.SIGSEGV for worker in deaths), "a worker ended of something else"
    attempts = arena.query("SELECT attempt FROM translation WHERE source_text LIKE :like", like=f"%{Poison.CRASH}%")
    assert attempts[0][0] > 1, "the attempts under other workers were not counted"
    kept = arena.query("SELECT 1 FROM attempt JOIN translation USING (job_id)")
    assert not kept, "attempts are remembered although their job is recorded"
    arena.saw(f"given up after {took:.0f} s and {len(deaths)} crashes")


def _given_up(arena: Arena) -> bool:
    """Play the supervisor until the text has its row."""
    for worker in arena.fleet.all:
        worker.expected_end = True
    arena.fleet.supervise(arena.setup.workers)
    found = arena.query("SELECT status FROM translation WHERE source_text LIKE :like", like=f"%{Poison.CRASH}%")
    return found == [("failed",)]


def explode(arena: Arena) -> None:
    for codec in ("gzip", "lz4", "zstd"):
        producer = Producer(
            {
                "bootstrap.servers": arena.settings.kafka_bootstrap_servers,
                "compression.type": codec,
                "message.max.bytes": 2 * BOMB_BYTES,
            }
        )
        producer.produce(arena.topics()[1], b"0" * BOMB_BYTES, codec.encode(), partition=0)
        left = producer.flush(60)
        arena.bite(f"bombs in {codec}", 1 - left)
    took = arena.wait_rows(500)
    arena.saw(f"{500 / took:.0f} rows/s beside {BOMB_BYTES // 1_000_000} MB of zeros in each codec")


def corrupt_a_record(arena: Arena) -> None:
    arena.load.stop()
    wait_until(lambda: at_rest(arena), "everything before is finished")
    for worker in arena.fleet.running:
        worker.kill()
    before = _segment_sizes(arena)
    arena.new_load()
    pause(2)
    arena.load.stop()
    arena.ground.stack.kafka.stop()
    # Only what came after the workers' end is still to be read: the segment that grew most ends with such a record.
    after = _segment_sizes(arena)
    segment = max(after, key=lambda path: after[path] - before.get(path, 0))
    _flip_last_byte(segment)
    arena.spoiled.add((arena.topics()[1], int(segment.parent.name.rpartition("-")[2])))
    arena.bite("records with a flipped bit")
    arena.ground.stack.kafka.start()
    arena.fleet.start_ready(arena.setup.workers)
    took = wait_until(lambda: arena.query("SELECT 1 FROM quarantine"), "the record is in quarantine", 60)
    arena.saw(f"in quarantine {took:.1f} s after the workers were ready")
    arena.new_load()


def _segment_sizes(arena: Arena) -> dict[Path, int]:
    logs = arena.ground.stack.kafka.directory.glob(f"data/{arena.topics()[1]}-*/*.log")
    return {path: path.stat().st_size for path in logs}


def _flip_last_byte(segment: Path) -> None:
    content = bytearray(segment.read_bytes())
    content[len(content.rstrip(b"\0")) - 1] ^= 1
    segment.write_bytes(content)


def publish_again(arena: Arena) -> None:
    for number in range(30):
        arena.load.publish_copies(("jobs.bulk", "jobs.interactive"), f"{poison.CANARY} copy {number}")
    arena.wait_rows(100)
    arena.bite("copies of jobs", 270)
    arena.saw(f"{arena.fleet.metric('dragoman_redelivered_total'):.0f} were found in the history when admitted")


def hot_partition(arena: Arena) -> None:
    arena.wait_rows(1500)
    heaviest = arena.query("SELECT count(*) FROM translation GROUP BY kafka_topic, kafka_partition ORDER BY 1 DESC")
    arena.bite("jobs of the heaviest partition", heaviest[0][0])
    arena.saw(f"{100 * heaviest[0][0] // arena.rows()} % of all jobs in one partition")


def bulk_flood(arena: Arena) -> None:
    before = _interactive_seconds(arena)
    arena.load.publish_texts("jobs.bulk", [f"{poison.CANARY} flood {number}" for number in range(6_000)])
    arena.bite("bulk jobs at once", 6_000)
    pause(5)
    during = _interactive_seconds(arena)
    arena.saw(
        f"interactive p95: {before:.2f} s before, {during:.2f} s during the flood (today's figure, no limit set here)"
    )


def _interactive_seconds(arena: Arena) -> float:
    rows = arena.query(
        "SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM recorded_at - submitted_at)) "
        "FROM translation WHERE lane = 'interactive' AND recorded_at > now() - interval '4 seconds'"
    )
    return float(rows[0][0] or 0)


def stall_the_model(arena: Arena) -> None:
    arena.stall_file.touch()
    wait_until(lambda: arena.fleet.metric("dragoman_waiting_segments") > 100, "jobs pile up")
    before = arena.fleet.metric("dragoman_rebalances_total")
    pause(25)
    assert all(worker.get("/livez") for worker in arena.fleet.running), "liveness failed before its limit"
    assert arena.fleet.metric("dragoman_rebalances_total") == before, "partitions were lost while the model hung"
    arena.stall_file.unlink()
    arena.bite("models that hung for 25 s", arena.setup.workers)
    took = arena.wait_rows(200)
    arena.saw(f"no rebalance; 200 more rows {took:.1f} s after")


def log_disk_full(arena: Arena) -> None:
    for worker in list(arena.fleet.running):
        worker.terminate()
    plain = arena.fleet.recipe
    environment = dict(plain.environment) | {"DRAGOMAN_HEALTH_PORT": str(free_port())}
    mute = arena.fleet.start(Recipe(environment, plain.temper, log_to=Path("/dev/full")))
    before = arena.rows()
    wait_until(lambda: not mute.running or arena.rows() > before + 100, "a worker works that cannot log")
    assert mute.running, f"a full disk under the log ended the worker with {mute.process.returncode}"
    arena.bite("log lines dropped", mute.metric("dragoman_log_lines_dropped_total"))
    mute.terminate()


def few_files(arena: Arena) -> None:
    plain = arena.fleet.recipe
    script = ("bash", "-c", 'ulimit -n 48; exec "$@"', "bash")
    starved = arena.fleet.start(Recipe(plain.environment, plain.temper, before=script))
    starved.expected_end = True
    pause(12)
    arena.bite("workers with 48 files")
    arena.saw("it ended" if not starved.running else "it works")
    if not starved.running:
        arena.saw(f"with exit code {starved.process.returncode}")
        assert (starved.process.returncode or 0) > 0, "it crashed"
    else:
        starved.kill()


INPUT_FAULTS = (
    Fault("42", "messages that are no jobs", "13 kinds, twice each, beside good ones", bury_bad_messages),
    Fault("43", "texts that the model fails on", "it raises, or scores NaN", choke_the_model),
    Fault("43b", "a text that crashes whole workers", "SIGSEGV in the model's pass, supervised", crash_the_model, CALM),
    Fault("44", "decompression bombs", "60 MB of zeros in gzip, lz4, zstd", explode),
    Fault("45", "corrupt record", "a bit flipped in a segment while the broker is down", corrupt_a_record),
    Fault("46", "jobs published ten times", "same id, both topics, all partitions", publish_again),
    Fault(
        "52",
        "hot partition",
        "all jobs with one key",
        hot_partition,
        Setup(mix=Mix(key="tenant", interactive_share=0.05)),
    ),
    Fault("53", "flood of bulk jobs", "6,000 at once", bulk_flood, Setup(temper=Temper(seconds_per_row=0.003))),
    Fault("56", "model hangs", "for 25 s", stall_the_model),
    Fault("58", "disk of the log full", "standard error is /dev/full", log_disk_full),
    Fault("59", "too few files", "ulimit -n 48", few_files),
)
