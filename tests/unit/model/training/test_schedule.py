"""Learning rates over a run, as shares of the peak."""

import pytest
from dragoman.model.training.config import OptimiserConfig
from dragoman.model.training.schedule import schedule

COSINE = OptimiserConfig(warmup_steps=4)
LINEAR = OptimiserConfig(schedule="linear", warmup_steps=4, decay_share=0.5)
ROOT = OptimiserConfig(schedule="inverse-sqrt", warmup_steps=4)


@pytest.mark.parametrize("config", [COSINE, LINEAR, ROOT], ids=lambda config: config.schedule)
def test_rate_rises_linearly_for_the_warmup(config: OptimiserConfig) -> None:
    assert [schedule(config, step, 0.0) for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_cosine_falls_to_a_fiftieth() -> None:
    shares = [schedule(COSINE, 99, progress) for progress in (0.0, 0.5, 1.0, 1.5)]

    assert shares == pytest.approx([1.0, 0.51, 0.02, 0.02])


def test_linear_stays_and_falls_to_nothing_in_its_last_share() -> None:
    shares = [schedule(LINEAR, 99, progress) for progress in (0.0, 0.5, 0.75, 1.0, 1.5)]

    assert shares == pytest.approx([1.0, 1.0, 0.5, 0.0, 0.0])


def test_inverse_root_falls_with_the_steps_whatever_the_progress() -> None:
    assert [schedule(ROOT, step, 0.9) for step in (3, 15, 63)] == pytest.approx([1.0, 0.5, 0.25])
