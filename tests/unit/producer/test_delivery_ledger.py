from uuid import uuid4

from dragoman.producer.ledger import DeliveryLedger


def test_ledger_waits_for_every_publication_when_a_job_is_published_twice() -> None:
    ledger, job_id = DeliveryLedger(), uuid4()
    ledger.take(job_id)
    ledger.take(job_id)

    ledger.settle(job_id, None)

    assert not ledger.wait_until_settled(0)
    assert (ledger.outstanding, ledger.delivered) == (1, 1)


def test_failures_are_handed_out_once() -> None:
    ledger, job_id = DeliveryLedger(), uuid4()
    ledger.take(job_id)
    ledger.settle(job_id, "timed out")

    assert ledger.take_failures() == {job_id: "timed out"}
    assert ledger.take_failures() == {}


def test_job_given_back_is_not_outstanding() -> None:
    ledger, job_id = DeliveryLedger(), uuid4()
    ledger.take(job_id)

    ledger.give_back(job_id)

    assert ledger.wait_until_settled(0)
    assert ledger.on_the_way() == []
