"""Greedy and beam search over tables of probabilities and over random networks."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
import torch
from dragoman.model.architectures.transformer import Transformer
from dragoman.model.decoding import Hypothesis, Rows, SearchOptions, search
from dragoman.model.decoding.beam import beam_search
from dragoman.model.decoding.single import greedy
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD, UNKNOWN
from hypothesis import given, settings
from hypothesis import strategies as st

A, B, C = 4, 5, 6
ALL_PIECES = (A, B, C)
# Tables speak of A, B and C; the vocabulary has more pieces, as a real one has more than a beam can take.
VOCABULARY_SIZE = 20
SINK = 19
CPU = torch.device("cpu")
Prefix = tuple[int, ...]
Table = Mapping[Prefix, Mapping[int, float]]

# Greedy takes A and regrets it.
TRAP: Table = {(): {A: 0.6, B: 0.4}, (A,): {END: 0.34, A: 0.33, B: 0.33}, (B,): {END: 1.0}}
# The likelier hypothesis is A, the likelier piece by piece is B C.
SHORT_OR_LONG: Table = {
    (): {A: 0.45, B: 0.5, C: 0.05},
    (A,): {END: 0.8, B: 0.2},
    (B,): {C: 0.9, A: 0.1},
    (B, C): {END: 0.7, A: 0.3},
}
# Has no reason ever to stop.
ENDLESS: Table = {(A,) * length: {A: 0.9, B: 0.1} for length in range(9)}


@dataclass
class TableState:
    """Rows of (table, prefix so far); counts the rows of every step."""

    rows: list[tuple[Table, Prefix]]
    vocabulary_size: int = VOCABULARY_SIZE
    rows_per_step: list[int] = field(default_factory=list)

    def select(self, rows: torch.Tensor) -> None:
        self.rows = [self.rows[row] for row in rows.tolist()]


def table_step(last: torch.Tensor, state: TableState) -> torch.Tensor:
    """Logarithms of the table's probabilities.

    A piece that the table leaves out is very unlikely, END even more so, and an unknown prefix only meets SINK.
    """
    state.rows_per_step.append(len(last))
    prefixes = [(*prefix, piece) for (_, prefix), piece in zip(state.rows, last.tolist(), strict=True)]
    state.rows = [(table, prefix) for (table, _), prefix in zip(state.rows, prefixes, strict=True)]
    rare = dict.fromkeys(range(state.vocabulary_size), 1e-7) | {END: 1e-10}
    probabilities = [rare | dict(table.get(prefix[1:], {SINK: 1.0})) for table, prefix in state.rows]
    return torch.tensor([list(row.values()) for row in probabilities]).log()


def search_tables(tables: list[Table], limits: tuple[int, ...], options: SearchOptions) -> list[Hypothesis]:
    found = search(table_step, TableState([(table, ()) for table in tables]), Rows(limits, CPU), options)
    return [hypotheses[0] for hypotheses in found]


def pieces_of(table: Table, options: SearchOptions, limit: int = 8) -> Prefix:
    return search_tables([table], (limit,), options)[0].pieces


def steps_of(tables: list[Table], options: SearchOptions) -> list[int]:
    state = TableState([(table, ()) for table in tables])
    search(table_step, state, Rows((8,) * len(tables), CPU), options)
    return state.rows_per_step


def chain(*pieces: int) -> Table:
    """A table that knows one hypothesis."""
    return {pieces[:length]: {piece: 1.0} for length, piece in enumerate((*pieces, END))}


def random_table(seed: int, length: int) -> Table:
    """Every prefix of up to `length` pieces, over a vocabulary of A, B, C and the special ones."""
    generator = torch.Generator().manual_seed(seed)
    prefixes = [prefix for n in range(length + 1) for prefix in itertools.product(ALL_PIECES, repeat=n)]
    probabilities = torch.rand(len(prefixes), C + 1, generator=generator).softmax(-1).tolist()
    return {prefix: dict(enumerate(row)) for prefix, row in zip(prefixes, probabilities, strict=True)}


def log_probability(table: Table, prefix: Prefix, limit: int) -> float:
    """Of `prefix` and END, which at the limit is certain."""
    chosen = (*prefix, END) if len(prefix) < limit else prefix
    return sum(math.log(table[prefix[:n]][piece]) for n, piece in enumerate(chosen))


def best_of_all(table: Table, limit: int, options: SearchOptions) -> Hypothesis:
    """Every hypothesis there is, scored one by one."""
    every = [
        Hypothesis(prefix, options.finished_score(log_probability(table, prefix, limit), len(prefix)))
        for length in range(limit + 1)
        for prefix in itertools.product(ALL_PIECES, repeat=length)
    ]
    return max(every, key=lambda hypothesis: hypothesis.score)


def test_greedy_takes_the_likeliest_piece_at_each_step() -> None:
    assert pieces_of(chain(A, C, B), SearchOptions(beam_size=1)) == (A, C, B)


def test_greedy_walks_into_the_trap() -> None:
    assert pieces_of(TRAP, SearchOptions(beam_size=1)) == (A,)


def test_beam_finds_the_better_path_around_the_trap() -> None:
    assert pieces_of(TRAP, SearchOptions(beam_size=2)) == (B,)


def test_score_is_the_log_probability_by_the_length_with_end() -> None:
    [hypothesis] = search_tables([TRAP], (8,), SearchOptions(beam_size=2, length_penalty=1.0))

    assert hypothesis.score == pytest.approx(math.log(0.4) / 2, abs=1e-5)


def test_greedy_and_beam_score_the_same_hypothesis_the_same() -> None:
    table = chain(A, B, B)
    [greedy] = search_tables([table], (8,), SearchOptions(beam_size=1))
    [beam] = search_tables([table], (8,), SearchOptions(beam_size=3))

    assert greedy.score == pytest.approx(beam.score, abs=1e-6)


@pytest.mark.parametrize(("length_penalty", "expected"), [(0.0, (A,)), (1.0, (B, C))])
def test_length_penalty_decides_between_short_and_long(length_penalty: float, expected: Prefix) -> None:
    assert pieces_of(SHORT_OR_LONG, SearchOptions(2, length_penalty)) == expected


@pytest.mark.parametrize("beam_size", [1, 2, 4])
def test_row_ends_at_its_own_limit(beam_size: int) -> None:
    hypotheses = search_tables([ENDLESS] * 3, (3, 0, 5), SearchOptions(beam_size, length_penalty=0.0))

    assert [len(hypothesis.pieces) for hypothesis in hypotheses] == [3, 0, 5]


@pytest.mark.parametrize("beam_size", [1, 2])
def test_end_forced_by_the_limit_costs_nothing(beam_size: int) -> None:
    reluctant = {(A,) * length: {A: 0.9, END: 0.1} for length in range(9)}
    [hypothesis] = search_tables([reluctant], (2,), SearchOptions(beam_size, length_penalty=0.0))

    assert hypothesis.score == pytest.approx(math.log(0.9 * 0.9), abs=1e-5)
    assert hypothesis.piece_scores[-1] == 0.0


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("forbidden", [PAD, UNKNOWN, BEGIN])
def test_forbidden_piece_never_comes_out(beam_size: int, forbidden: int) -> None:
    table = {(): {forbidden: 0.9, C: 0.1}, (C,): {forbidden: 0.9, END: 0.1}}

    assert pieces_of(table, SearchOptions(beam_size, length_penalty=0.0)) == (C,)


def test_finished_rows_leave_the_greedy_batch() -> None:
    assert steps_of([chain(), chain(A, B), chain(A)], SearchOptions(beam_size=1)) == [3, 2, 1]


def test_finished_segments_leave_the_beam_batch() -> None:
    certain = {(): {END: 0.5, A: 0.5}, (A,): {END: 1.0}}

    assert steps_of([certain, chain(A, B, C)], SearchOptions(beam_size=2))[:3] == [2, 4, 2]


def test_rows_keep_their_own_hypotheses_when_others_finish_first() -> None:
    tables = [chain(A), chain(B, B, C), chain(), chain(C, A)]

    hypotheses = search_tables(tables, (8,) * 4, SearchOptions(beam_size=3))
    assert [hypothesis.pieces for hypothesis in hypotheses] == [(A,), (B, B, C), (), (C, A)]


@pytest.mark.parametrize("beam_size", [1, 4])
def test_no_rows_give_no_hypotheses(beam_size: int) -> None:
    assert search_tables([], (), SearchOptions(beam_size)) == []


@settings(deadline=None, max_examples=20, derandomize=True)
@given(seeds=st.lists(st.integers(0, 10_000), min_size=1, max_size=3), length_penalty=st.sampled_from([0.0, 0.6, 1.0]))
def test_wide_beam_equals_exhaustive_search(seeds: list[int], length_penalty: float) -> None:
    options = SearchOptions(beam_size=64, length_penalty=length_penalty)
    tables = [random_table(seed, 3) for seed in seeds]
    limits = tuple(1 + seed % 3 for seed in seeds)

    expected = [best_of_all(table, limit, options) for table, limit in zip(tables, limits, strict=True)]
    state = TableState([(table, ()) for table in tables], vocabulary_size=C + 1)
    found = [one[0] for one in search(table_step, state, Rows(limits, CPU), options)]
    assert [hypothesis.pieces for hypothesis in found] == [hypothesis.pieces for hypothesis in expected]
    assert [hypothesis.score for hypothesis in found] == pytest.approx([best.score for best in expected], abs=1e-4)


@settings(deadline=None, max_examples=15, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_beam_of_one_equals_greedy_on_a_random_network(
    tiny_network: Callable[[int, int], Transformer], seed: int
) -> None:
    network, options, rows = tiny_network(60, seed), SearchOptions(beam_size=1), Rows((6, 12), CPU)
    source = torch.tensor([[9, 17, 23, END], [33, 8, END, PAD]])

    likeliest = greedy(network.step, network.start(source), rows, options)
    beam = beam_search(network.step, network.start(source), rows, options)
    assert [[one.pieces for one in found] for found in beam] == [[one.pieces for one in found] for found in likeliest]
    assert [one.score for [one] in beam] == pytest.approx([one.score for [one] in likeliest], abs=1e-5)


@pytest.mark.parametrize("beam_size", [1, 4])
def test_batch_equals_one_by_one(tiny_network: Callable[[int, int], Transformer], beam_size: int) -> None:
    network, options = tiny_network(60, 11), SearchOptions(beam_size)
    sources = [[9, 17, 23, 40, 52, END], [33, 8, END], [END]]
    padded = torch.tensor([[*source, *[PAD] * (6 - len(source))] for source in sources])

    together = [one[0] for one in search(network.step, network.start(padded), Rows((14, 9, 5), CPU), options)]
    alone = [
        search(network.step, network.start(torch.tensor([source])), Rows((limit,), CPU), options)[0][0]
        for source, limit in zip(sources, (14, 9, 5), strict=True)
    ]
    assert [hypothesis.pieces for hypothesis in together] == [hypothesis.pieces for hypothesis in alone]
    assert [one.score for one in together] == pytest.approx([one.score for one in alone], abs=1e-4)
