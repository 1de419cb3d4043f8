"""The figures of the retrieval benchmark, compared with calculations by hand."""

from __future__ import annotations

import pytest

from benchmarks.retrieval.figures import (
    OpenedHit,
    SearchedQuestion,
    citations,
    duel,
    latency,
    quality,
)
from benchmarks.retrieval.labelled import SETS, Label, Section, sections, talks

LABEL = Label("Why?", "a talk", 10.0, 20.0)


def make_answered(*starts: float, talk: str = "a talk", seconds: float = 0.1) -> SearchedQuestion:
    hits = tuple(OpenedHit(talk, start, start + 1) for start in starts)
    return SearchedQuestion(LABEL, hits, seconds)


def test_place_is_that_of_the_first_hit_in_the_answer() -> None:
    assert make_answered(50.0, 12.0, 14.0).rank == 2


def test_hit_in_another_talk_is_not_counted() -> None:
    assert make_answered(12.0, talk="another").rank is None


def test_hit_where_the_next_answer_begins_is_not_counted() -> None:
    assert make_answered(20.0).rank is None


def test_answer_after_the_tenth_hit_is_not_found() -> None:
    assert make_answered(*[50.0] * 10, 12.0).rank is None


def test_quality_matches_a_calculation_by_hand() -> None:
    measured = quality(
        "set", "way", [make_answered(12.0), make_answered(50.0, 50.0, 12.0), make_answered(50.0)]
    )

    assert (measured.recall_1, measured.recall_5, measured.recall_10) == (0.333, 0.667, 0.667)
    assert measured.ndcg_10 == 0.5  # (1 + 1 / log2(4)) / 3
    assert measured.mrr_10 == 0.444  # (1 + 1/3) / 3


def test_duel_counts_the_questions_that_differ() -> None:
    first, second, unfound = make_answered(12.0), make_answered(50.0, 12.0), make_answered(50.0)
    ways = {"one": [first] * 6 + [second, unfound], "other": [second] * 6 + [first, unfound]}

    measured = duel("set", ways, "one", "other")

    assert (measured.questions, measured.better, measured.worse) == (8, 6, 1)
    assert measured.p == 0.125  # 2 * (1 + 7) / 2**7


def test_latency_is_in_milliseconds() -> None:
    assert latency("way", [make_answered(seconds=0.2)]).p50_ms == 200.0


def test_citation_error_is_the_distance_to_the_first_word() -> None:
    measured = citations(
        "set", "way", [make_answered(50.0, 12.0), make_answered(11.0), make_answered(talk="b")]
    )

    assert (measured.questions, measured.cited) == (3, 2)
    assert measured.median_seconds == 20.5  # of 40 and 1
    assert measured.within_2s == 0.5


def test_section_lasts_as_long_as_its_words() -> None:
    sections_ = [Section("t", "How?", "one two three four five"), Section("t", "Why?", "six seven")]

    [talk] = talks(sections_)

    assert [(label.start_seconds, label.end_seconds) for label in talk.labels] == [
        (0.0, 2.0),
        (2.0, pytest.approx(2.8)),
    ]
    assert talk.transcript.text == "one two three four five six seven"


def test_label_sets_have_the_documented_number_of_questions() -> None:
    questions = {name: [section for section in sections(name) if section.question] for name in SETS}

    assert {name: len(labelled) for name, labelled in questions.items()} == {
        "perl": 295,
        "python": 168,
    }
