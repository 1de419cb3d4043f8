"""What the retrieval benchmark computes, against figures by hand."""

from __future__ import annotations

import pytest

from benchmarks.retrieval.figures import Answered, Opened, citations, duel, latency, quality
from benchmarks.retrieval.labelled import SETS, Label, Section, sections, talks

LABEL = Label("Why?", "a talk", 10.0, 20.0)


def answered(*starts: float, talk: str = "a talk", seconds: float = 0.1) -> Answered:
    hits = tuple(Opened(talk, start, start + 1) for start in starts)
    return Answered(LABEL, hits, seconds)


def test_the_first_hit_in_the_answer_gives_the_place() -> None:
    assert answered(50.0, 12.0, 14.0).place == 2


def test_a_hit_in_another_talk_at_the_same_second_is_none() -> None:
    assert answered(12.0, talk="another").place is None


def test_a_hit_that_opens_where_the_next_answer_begins_is_none() -> None:
    assert answered(20.0).place is None


def test_an_answer_behind_the_tenth_hit_is_not_found() -> None:
    assert answered(*[50.0] * 10, 12.0).place is None


def test_quality_is_as_computed_by_hand() -> None:
    measured = quality("set", "way", [answered(12.0), answered(50.0, 50.0, 12.0), answered(50.0)])

    assert (measured.recall_1, measured.recall_5, measured.recall_10) == (0.333, 0.667, 0.667)
    assert measured.ndcg_10 == 0.5  # (1 + 1 / log2(4)) / 3
    assert measured.mrr_10 == 0.444  # (1 + 1/3) / 3


def test_a_duel_counts_the_questions_that_part_two_ways() -> None:
    first, second, nowhere = answered(12.0), answered(50.0, 12.0), answered(50.0)
    ways = {"one": [first] * 6 + [second, nowhere], "other": [second] * 6 + [first, nowhere]}

    measured = duel("set", ways, "one", "other")

    assert (measured.questions, measured.better, measured.worse) == (8, 6, 1)
    assert measured.p == 0.125  # 2 * (1 + 7) / 2**7


def test_latency_is_in_milliseconds() -> None:
    assert latency("way", [answered(seconds=0.2)]).p50_ms == 200.0


def test_a_citation_is_as_far_off_as_its_first_word() -> None:
    measured = citations("set", "way", [answered(50.0, 12.0), answered(11.0), answered(talk="b")])

    assert (measured.questions, measured.cited) == (3, 2)
    assert measured.median_seconds == 20.5  # of 40 and 1
    assert measured.within_2s == 0.5


def test_a_section_takes_as_long_as_its_words_do_and_the_next_begins_where_it_ends() -> None:
    told = [Section("t", "How?", "one two three four five"), Section("t", "Why?", "six seven")]

    [talk] = talks(told)

    assert [(label.start_seconds, label.end_seconds) for label in talk.labels] == [
        (0.0, 2.0),
        (2.0, pytest.approx(2.8)),
    ]
    assert talk.transcript.text == "one two three four five six seven"


def test_the_sets_have_the_questions_that_are_told_of_them() -> None:
    questions = {name: [one for one in sections(name) if one.question] for name in SETS}

    assert {name: len(asked) for name, asked in questions.items()} == {"perl": 295, "python": 168}
