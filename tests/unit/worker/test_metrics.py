"""Metrics that take many values at once."""

from dragoman.worker.metrics import Metrics

# On a bound, between two, below the first, above the last.
SECONDS = (0.005, 0.02, 0.0, 0.3, 0.3, 100.0)


def test_values_observed_together_are_the_same_as_one_by_one() -> None:
    together, one_by_one = Metrics(), Metrics()
    together.job_seconds.observe_all(SECONDS)
    for seconds in SECONDS:
        one_by_one.job_seconds.observe(seconds)

    samples = [
        [
            (one.name, one.labels, one.value)
            for one in next(iter(metrics.job_seconds.collect())).samples
            if "created" not in one.name
        ]
        for metrics in (together, one_by_one)
    ]
    assert samples[0] == samples[1]


def test_nothing_observed_changes_nothing() -> None:
    metrics = Metrics()
    metrics.wait_seconds.labels("bulk").observe_all([])

    assert metrics.registry.get_sample_value("dragoman_wait_seconds_count", {"lane": "bulk"}) == 0.0
