"""Files into jobs, over the publisher in memory."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from dragoman.errors import ConfigurationError
from dragoman.producer.errors import DeliveryError
from dragoman.producer.file_publisher import (
    FilePublisher,
    LinePrefix,
    PublishRequest,
    PublishSummary,
    open_run,
)
from dragoman.producer.journal import journal_path, load_journal
from dragoman.producer.memory import MemoryPublisher
from dragoman.producer.segments import BadLine, BlankLine, Form, Segment, read_segments
from dragoman.schemas.codec import decode_job
from dragoman.schemas.jobs import TranslationJob
from dragoman.settings import Settings

SETTINGS = Settings(delivery_timeout_seconds=60)


@pytest.fixture
def broker() -> MemoryPublisher:
    return MemoryPublisher()


def file_of(folder: Path, content: bytes, name: str = "segments.txt") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def request(path: Path, form: Form = "lines") -> PublishRequest:
    return PublishRequest(path, form, "en", "fr", "bulk")


def publish(path: Path, broker: MemoryPublisher, form: Form = "lines") -> PublishSummary:
    return FilePublisher(request(path, form), open_run(request(path, form)), lambda _number: None).run(SETTINGS, broker)


def jobs(broker: MemoryPublisher) -> list[TranslationJob]:
    return [decode_job(message.value) for message in broker.messages]


def ids_by_text(broker: MemoryPublisher) -> dict[str, set[UUID]]:
    texts = {job.source_text for job in jobs(broker)}
    return {text: {job.job_id for job in jobs(broker) if job.source_text == text} for text in texts}


def test_lines_are_read_whatever_their_ends(tmp_path: Path) -> None:
    path = file_of(tmp_path, b"\xef\xbb\xbfOne.\r\n \t\nTwo.\n\xff\nThree.")

    assert list(read_segments(path, "lines")) == [
        Segment(1, "One."),
        BlankLine(2),
        Segment(3, "Two."),
        BadLine(4, "byte 0 of the line is not UTF-8: convert the file to UTF-8"),
        Segment(5, "Three."),
    ]


def test_line_is_bad_when_it_is_too_long_to_keep(tmp_path: Path) -> None:
    path = file_of(tmp_path, b"a" * 9_000_000 + b"\nNext.\n")

    assert list(read_segments(path, "lines")) == [
        BadLine(1, "the line is longer than 4,194,304 bytes: split it"),
        Segment(2, "Next."),
    ]


def test_json_line_names_its_own_languages_and_metadata(tmp_path: Path) -> None:
    path = file_of(tmp_path, b'{"text": "Hallo.", "source": "de", "target": "en", "metadata": {"page": "3"}}\n')

    assert list(read_segments(path, "jsonl")) == [Segment(1, "Hallo.", "de", "en", {"page": "3"})]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"Hello.", 'the line is not JSON: write {"text": "..."}, one object a line'),
        (b'{"source": "en"}', "text is missing"),
        (b'{"text": "Hi.", "sorce": "en"}', "a field is not known to schema version 1"),
        (b'{"text": 7}', "text: it should be a valid string"),
        (b'["Hi."]', "the message: it should be an object"),
    ],
)
def test_json_line_is_bad_with_a_sentence(tmp_path: Path, line: bytes, sentence: str) -> None:
    assert list(read_segments(file_of(tmp_path, line), "jsonl")) == [BadLine(1, sentence)]


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent.txt cannot be read: No such file"):
        open_run(request(tmp_path / "absent.txt"))


def test_prefix_stops_before_the_first_line_that_is_not_done() -> None:
    prefix = LinePrefix(3)

    prefix.finish(6)
    prefix.finish(4)

    assert prefix.done_lines == 4


def test_prefix_catches_up_when_the_gap_closes() -> None:
    prefix = LinePrefix(0)

    prefix.finish(3)
    prefix.finish(2)
    prefix.finish(1)

    assert prefix.done_lines == 3


def test_every_segment_becomes_a_job_in_order(tmp_path: Path, broker: MemoryPublisher) -> None:
    summary = publish(file_of(tmp_path, b"One.\n\nTwo.\n"), broker)

    assert [job.source_text for job in jobs(broker)] == ["One.", "Two."]
    assert (summary.published, summary.blank, summary.bad) == (2, 1, 0)


def test_bad_lines_are_named_and_the_others_published(tmp_path: Path, broker: MemoryPublisher) -> None:
    content = b'{"text": "One."}\nnonsense\n{"text": "Two.", "target": "klingon"}\n{"text": "Three."}\n'
    summary = publish(file_of(tmp_path, content, "a.jsonl"), broker, "jsonl")

    assert [job.source_text for job in jobs(broker)] == ["One.", "Three."]
    assert [line.line_number for line in summary.bad_lines] == [2, 3]


def test_nothing_is_published_when_the_file_is_complete(tmp_path: Path, broker: MemoryPublisher) -> None:
    path = file_of(tmp_path, b"One.\nTwo.\n")
    publish(path, broker)

    summary = publish(path, broker)

    assert summary.already_complete
    assert len(broker.messages) == 2


def test_segments_keep_their_job_ids_when_publishing_is_resumed(tmp_path: Path, broker: MemoryPublisher) -> None:
    path = file_of(tmp_path, b"".join(b"Number %d.\n" % n for n in range(100)))
    run = open_run(request(path))
    with pytest.raises(KeyboardInterrupt):
        FilePublisher(request(path), run, interrupt_at(60)).run(SETTINGS, broker)

    summary = publish(path, broker)

    assert summary.resumed_after == 60
    assert len(broker.messages) == 100
    assert all(len(job_ids) == 1 for job_ids in ids_by_text(broker).values())


def test_segments_keep_their_job_ids_when_nothing_was_acknowledged(tmp_path: Path, broker: MemoryPublisher) -> None:
    path = file_of(tmp_path, b"One.\nTwo.\n")
    broker.error = "Local: Message timed out"
    run = open_run(request(path))
    with pytest.raises(DeliveryError) as caught:
        FilePublisher(request(path), run, lambda _number: None).run(SETTINGS, broker)

    broker.error = None
    publish(path, broker)

    assert set(caught.value.failures) <= {job.job_id for job in jobs(broker)}
    assert len(ids_by_text(broker)) == 2


def test_run_is_refused_when_the_file_changed_since_it_was_interrupted(tmp_path: Path, broker: MemoryPublisher) -> None:
    publish(file_of(tmp_path, b"One.\n"), broker)

    with pytest.raises(ConfigurationError, match="--restart publishes it anew"):
        publish(file_of(tmp_path, b"One!\n"), broker)


def test_restart_is_offered_when_the_journal_is_damaged(tmp_path: Path, broker: MemoryPublisher) -> None:
    path = file_of(tmp_path, b"One.\n")
    publish(path, broker)
    journal_path(path).write_bytes(b"{")

    with pytest.raises(ConfigurationError, match=r"dragoman-progress is damaged: --restart"):
        load_journal(path)


def interrupt_at(last: int) -> Callable[[int], None]:
    def on_line(number: int) -> None:
        if number == last:
            raise KeyboardInterrupt

    return on_line


def test_all_jobs_of_a_file_leave_no_trace_where_that_is_wished(tmp_path: Path, broker: MemoryPublisher) -> None:
    path = file_of(tmp_path, b"One.\nTwo.\n")
    wished = replace(request(path), no_trace=True)
    FilePublisher(wished, open_run(wished), lambda _number: None).run(SETTINGS, broker)

    assert [job.no_trace for job in jobs(broker)] == [True, True]


def test_run_is_refused_when_its_jobs_left_a_trace_before(tmp_path: Path, broker: MemoryPublisher) -> None:
    path = file_of(tmp_path, b"One.\n")
    publish(path, broker)

    with pytest.raises(ConfigurationError, match="--no-trace are not those of the earlier run"):
        open_run(replace(request(path), no_trace=True))


def test_journal_of_before_no_trace_is_resumed(tmp_path: Path, broker: MemoryPublisher) -> None:
    path = file_of(tmp_path, b"One.\n")
    publish(path, broker)
    journal = json.loads(journal_path(path).read_text())
    del journal["identity"]["no_trace"]
    journal_path(path).write_text(json.dumps(journal))

    assert publish(path, broker).already_complete
