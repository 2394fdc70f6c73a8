"""A correction is used for the same segment from the next job on, by every worker, with its provenance."""

import pytest
from click.testing import CliRunner
from dragoman.cli.main import dragoman
from dragoman.producer.producer import TranslationProducer
from dragoman.tests.acceptance.installation import Installation, wait_until

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

SOURCE = "The cat sat."
ANSWERS = "SELECT target_text, answered_by, correction_id::text FROM translation ORDER BY recorded_at DESC LIMIT 1"


@pytest.fixture
def run(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A shell in this installation."""
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", installation.settings.database_url.get_secret_value())
    return CliRunner()


def said(run: CliRunner, *arguments: str) -> str:
    done = run.invoke(dragoman, ["corrections", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def translated(installation: Installation, client_id: str = "acceptance") -> tuple[object, ...]:
    """What the next job with the text is answered with, by whom, by which correction."""
    before = installation.count()
    with TranslationProducer(installation.settings.model_copy(update={"client_id": client_id})) as producer:
        producer.submit(SOURCE, source="en", target="fr")
    wait_until(lambda: installation.count() == before + 1, "the job is recorded")
    (answer,) = installation.query(ANSWERS)
    return answer


def test_the_next_job_has_the_correction_until_it_is_superseded_or_withdrawn(
    installation: Installation, run: CliRunner
) -> None:
    workers = [installation.start_worker("--echo") for _ in range(2)]
    for worker in workers:
        worker.wait_ready()
    assert translated(installation) == (SOURCE, "model", None)
    (job_id,) = installation.query("SELECT job_id::text FROM translation")[0]

    first = said(run, "add", "Le chat.", "--job", str(job_id), "--author", "Ada").split()[-1]
    assert translated(installation) == ("Le chat.", "memory", first)
    assert translated(installation, client_id="another")[1] in {"model", "cache"}

    second = said(run, "add", "Le chat était assis.", "--job", str(job_id), "--author", "Grace").split()[-1]
    assert translated(installation) == ("Le chat était assis.", "memory", second)

    general = said(run, "add", "Un chat.", "--text", SOURCE, "-s", "en", "-t", "fr", "--author", "Ada").split()[-1]
    assert translated(installation, client_id="another") == ("Un chat.", "memory", general)
    assert translated(installation) == ("Le chat était assis.", "memory", second)

    for correction in (second, general):
        said(run, "withdraw", correction, "--author", "Ada")
    text, answered_by, correction_id = translated(installation)
    assert (text, correction_id) == (SOURCE, None)
    assert answered_by in {"model", "cache"}
