"""The core in C gives a segment the same bits whatever is open beside it, in whatever order, on any threads."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.decoding import Hypothesis, SearchOptions
from dragoman.model.engine.core import ANY, NewSegment, StepRows
from dragoman.model.engine.native_core import NativeCore
from dragoman.model.engine.request import Request
from dragoman.model.vocabularies.vocabulary import BEGIN, END
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PRECISIONS = ("float32", "int8-exact", "int8")
# More than four groups of columns of the output layer, and more than it first has room for beside shortlists.
VOCABULARY_SIZE = 1600
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Answer = list[tuple[list[Any], list[Any]]]


@dataclass(frozen=True)
class Course:
    """A segment, and what its rows do at each step: parents, pieces, forced, endless (one list a step)."""

    segment: NewSegment
    steps: tuple[tuple[list[int], list[int], int, int], ...]


@cache
def network() -> Transformer:
    torch.manual_seed(12)
    shape = TransformerConfig(
        VOCABULARY_SIZE, 40, 4, 70, 2, 2, max_positions=40, positions="rotary", activation="gelu", output_bias="learned"
    )
    return Transformer(shape).eval().requires_grad_(requires_grad=False)


@cache
def core_of(precision: Any, threads: int) -> NativeCore:
    """Kept for all examples: what was open before must not matter either."""
    return NativeCore(network(), precision, threads)


def course_of(numbers: random.Random, with_shortlist: bool) -> Course:
    source = (*numbers.sample(range(4, VOCABULARY_SIZE), numbers.randrange(14)), END)
    rows, length = numbers.choice((1, 1, 1, 2, 5)), numbers.randrange(1, 7)
    shortlist = None
    if with_shortlist:
        chosen = numbers.sample(range(4, VOCABULARY_SIZE), numbers.choice((1, 20, 60, 600)))
        shortlist = np.array(sorted({END, *chosen}), np.int32)
    before, steps = 1, []
    for position in range(length):
        count = rows if position else 1
        steps.append(
            (
                [numbers.randrange(before) for _ in range(count)],
                [numbers.randrange(4, VOCABULARY_SIZE) if position else BEGIN for _ in range(count)],
                numbers.choice((ANY, ANY, ANY, 5, END)),
                numbers.randrange(2),
            )
        )
        before = count
    return Course(NewSegment(source, rows, length, shortlist), tuple(steps))


def run(core: NativeCore, courses: Sequence[Course], numbers: random.Random, width: int) -> list[Answer]:
    """Candidates of every row of every step. Courses begin at random times, and stand in random order in each step."""
    opened: dict[int, int] = {}
    found: list[Answer] = [[] for _ in courses]
    late = list(range(len(courses)))
    while late or opened:
        new = [late.pop() for _ in range(min(len(late), numbers.randrange(1, 4)))]
        opened |= zip(new, core.open([courses[place].segment for place in new]), strict=True)
        running = numbers.sample(sorted(opened), len(opened))
        places = [place for place in running if len(found[place]) < len(courses[place].steps)]
        pieces, scores = core.step(rows_of(courses, found, opened, places), width)
        row = 0
        for place in places:
            end = row + len(courses[place].steps[len(found[place])][0])
            found[place].append((pieces[row:end, :3].tolist(), scores[row:end, :3].tolist()))
            row = end
        ended = [place for place in places if len(found[place]) == len(courses[place].steps)]
        core.release([opened.pop(place) for place in ended])
    return found


def rows_of(
    courses: Sequence[Course], found: Sequence[Answer], opened: dict[int, int], places: Sequence[int]
) -> StepRows:
    columns: list[list[int]] = [[] for _ in range(7)]
    for place in places:
        position = len(found[place])
        parents, pieces, forced, endless = courses[place].steps[position]
        for number, (parent, piece) in enumerate(zip(parents, pieces, strict=True)):
            values = (opened[place], number, parent, piece, position, forced, endless)
            for column, value in zip(columns, values, strict=True):
                column.append(value)
    first, *others = columns
    return StepRows(np.array(first, np.int64), *(np.array(column, np.int32) for column in others))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("precision", PRECISIONS)
@FEW
@given(seed=st.integers(0, 10**6), shortlists=st.sampled_from(("none", "some", "all")), width=st.integers(3, 9))
def test_candidates_are_the_same_bits_in_any_company(
    precision: Any, threads: int, seed: int, shortlists: str, width: int
) -> None:
    numbers = random.Random(seed)
    share = {"none": 0.0, "some": 0.5, "all": 1.0}[shortlists]
    courses = [course_of(numbers, numbers.random() < share) for _ in range(14)]
    together = run(core_of(precision, threads), courses, numbers, width)

    assert together == [run(core_of(precision, 1), [one], random.Random(0), 3)[0] for one in courses]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_shortlist_gives_the_same_bits_after_its_columns_were_laid_anew(precision: Any) -> None:
    core, numbers = NativeCore(network(), precision, 1), random.Random(4)
    course = course_of(random.Random(77), with_shortlist=True)
    first = run(core, [course], numbers, 3)
    [open_all_the_time] = core.open([course.segment])
    again = []
    for _ in range(25):
        run(core, [course_of(numbers, with_shortlist=True) for _ in range(4)], numbers, 3)
        again += run(core, [course], numbers, 3)
    core.release([open_all_the_time])
    core.close()

    assert again == first * 25


def all_sorts(numbers: random.Random, with_shortlists: bool) -> Request:
    """A request with any options that the running batch knows."""
    beam_size, limit = numbers.choice((1, 1, 2, 3, 5)), numbers.randrange(1, 9)
    prefix = tuple(numbers.sample((5, 6, 7), numbers.choice((0, 0, 0, 1, min(limit, 3)))))
    options = SearchOptions(
        beam_size=beam_size,
        n_best=numbers.randrange(1, beam_size + 1),
        min_pieces=numbers.choice((0, 0, 2, 8)),
        length_penalty=numbers.choice((0.0, 0.6, 1.0, 2.0)),
        prefix=prefix,
    )
    source = (*numbers.sample(range(4, VOCABULARY_SIZE), numbers.randrange(14)), END)
    shortlist = None
    if with_shortlists and numbers.random() < 0.6:
        shortlist = np.array(
            sorted({END, 5, 6, 7, *numbers.sample(range(4, VOCABULARY_SIZE), numbers.choice((30, 1000)))}), np.int32
        )
    return Request(source, options, limit, tuple, numbers.randrange(3), shortlist=shortlist)


def answer(engine: Any, one: Request) -> tuple[Hypothesis, ...]:
    again = Request(one.source, one.options, one.limit, tuple, shortlist=one.shortlist)
    engine.submit([again])
    found: tuple[Hypothesis, ...] = again.future.result(timeout=60)
    return found


@pytest.mark.parametrize("precision", PRECISIONS)
@FEW
@given(seed=st.integers(0, 10**6), with_shortlists=st.booleans(), threads=st.integers(1, 3))
def test_hypotheses_are_the_same_bits_for_any_arrivals(
    continuous_engine: Callable[..., Any], precision: Any, seed: int, with_shortlists: bool, threads: int
) -> None:
    numbers = random.Random(seed)
    asked = [all_sorts(numbers, with_shortlists) for _ in range(24)]
    core = NativeCore(network(), precision, threads)
    engine = continuous_engine(core, rows=numbers.randrange(5, 20), encode_pieces=numbers.randrange(1, 60))
    # Three callers, one segment at a time: they come while others run.
    with ThreadPoolExecutor(3) as callers:
        for one in asked:
            callers.submit(engine.submit, [one])
    found = [one.future.result(timeout=60) for one in asked]
    alone = continuous_engine(NativeCore(network(), precision, 1))

    assert found == [answer(alone, one) for one in asked]


def test_memory_does_not_grow_with_the_segments(continuous_engine: Callable[..., Any]) -> None:
    engine = continuous_engine(NativeCore(network(), "int8", 1))
    numbers = random.Random(9)

    def translate(segments: int) -> None:
        asked = [all_sorts(numbers, with_shortlists=True) for _ in range(segments)]
        engine.submit(asked)
        for one in asked:
            one.future.result(timeout=60)

    translate(600)
    before = resident_bytes()
    for _ in range(4):
        translate(600)

    # Of 2,400 segments, even the least that each keeps while it is open, its shortlist, would be 10 MB.
    assert resident_bytes() - before < 5 << 20
    assert engine.occupancy.segments == 3000
    assert (engine._used_bytes, engine._bytes) == (0, {})


def resident_bytes() -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024
