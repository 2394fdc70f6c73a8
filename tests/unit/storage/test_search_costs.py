"""Which parts the index of search documents is asked for."""

import pytest
from dragoman.storage.search_costs import Sample, Told, index_cost, is_worth_asking

MILLION = 1_000_000
FEW = ("word",) * 5


def test_a_frequent_part_is_left_to_the_documents_when_a_rare_one_names_few() -> None:
    assert not is_worth_asking([Told(FEW, 0.001)], Told(FEW, 0.3), MILLION)


def test_two_parts_are_asked_for_when_either_alone_names_many() -> None:
    assert is_worth_asking([Told(FEW, 0.05)], Told(FEW, 0.06), MILLION)


def test_a_part_of_many_words_is_left_out_when_few_documents_are_named() -> None:
    assert not is_worth_asking([Told(FEW, 0.0005)], Told(FEW * 200, 0.0005), MILLION)


def test_a_part_that_every_document_holds_is_never_asked_for() -> None:
    assert not is_worth_asking([Told(FEW, 0.5)], Told((), 1.0), MILLION)


def test_the_index_costs_less_than_reading_all_when_a_part_is_rare() -> None:
    assert index_cost([Told(FEW, 0.001)], MILLION) < MILLION / 100


def test_the_index_costs_more_than_reading_all_when_documents_are_few() -> None:
    assert index_cost([Told(FEW * 100, 0.001)], 1_000) > 1_000


def test_another_part_makes_what_is_named_cheaper_when_both_are_frequent() -> None:
    frequent = Told(FEW, 0.3)
    assert index_cost([frequent, frequent], MILLION) < index_cost([frequent], MILLION)


def test_shares_are_those_of_all_documents_read_when_they_were_read_in_portions() -> None:
    sample = Sample(2)
    sample.add(1_000, (100, 0))
    sample.add(3_000, (300, 0))
    assert sample.shares() == pytest.approx([0.1, 0.0], abs=0.001)


def test_a_part_that_was_not_seen_is_rare_and_not_impossible() -> None:
    sample = Sample(1)
    sample.add(1_000, (0,))
    assert 0 < sample.shares()[0] < 0.001
