"""Every word is found where it stands, and every passage knows its seconds."""

from __future__ import annotations

import dataclasses
import math
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.errors import InvalidResult
from resources.records import Segment, TimedSpan, Transcript, Word
from resources.transcripts.timing import (
    check_order,
    check_times,
    dominant_speaker,
    segment_spans,
    span_of,
    transcript_spans,
    word_spans,
)


def words_of(*spoken: str) -> tuple[Word, ...]:
    return tuple(Word(word, float(i), i + 0.5) for i, word in enumerate(spoken))


def placed(text: str, *spoken: str) -> list[tuple[int, str]]:
    """Which words were placed (by number), and on what text."""
    spans = word_spans(text, words_of(*spoken))
    return [(int(span.start_seconds), text[span.char_start : span.char_end]) for span in spans]


def transcript(text: str, *words: Word, segments: tuple[Segment, ...] = ()) -> Transcript:
    return Transcript(text, "en", 10.0, words, segments)


def test_a_word_missing_from_the_text_is_left_out_and_the_next_are_right() -> None:
    text = "cat sat on the mat"
    found = placed(text, "the", "cat", "sat", "on", "the", "mat")
    assert found == [(1, "cat"), (2, "sat"), (3, "on"), (4, "the"), (5, "mat")]
    assert word_spans(text, words_of("the", "cat", "sat"))[0].char_start == 0


def test_a_word_is_not_found_inside_another() -> None:
    assert placed("and then a man", "a", "and", "then", "a", "man") == [
        (1, "and"),
        (2, "then"),
        (3, "a"),
        (4, "man"),
    ]


def test_text_without_words_is_jumped_over_where_a_row_of_words_matches_again() -> None:
    found = placed(
        "one lost lost lost two three four five", *["one", "two", "three", "four", "five"]
    )
    assert [word for _, word in found] == ["one", "two", "three", "four", "five"]


def test_a_word_alone_after_a_gap_proves_nothing() -> None:
    assert placed("one lost two", "one", "two") == [(0, "one")]


def test_white_space_around_a_word_is_not_part_of_its_span() -> None:
    assert placed("Hello,\n  dear world.", " Hello,", " dear ", "\tworld.") == [
        (0, "Hello,"),
        (1, "dear"),
        (2, "world."),
    ]


def test_punctuation_that_belongs_to_no_word_is_passed_by() -> None:
    assert placed("“Hello” — (world)!", "Hello", "world") == [(0, "Hello"), (1, "world")]


def test_words_of_a_script_without_spaces_follow_each_other_directly() -> None:
    assert placed("今日は雨です", "今日", "は", "雨", "です") == [
        (0, "今日"),
        (1, "は"),
        (2, "雨"),
        (3, "です"),
    ]


def test_blank_words_have_no_place() -> None:
    assert placed("one two", "", "one", "  ", "two") == [(1, "one"), (3, "two")]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(min_size=1).filter(lambda word: word == word.strip()), max_size=30))
def test_words_joined_by_spaces_are_all_found_in_order(spoken: list[str]) -> None:
    spans = word_spans(" ".join(spoken), words_of(*spoken))
    starts = [sum(len(word) + 1 for word in spoken[:i]) for i in range(len(spoken))]
    assert [(s.char_start, s.char_end) for s in spans] == [
        (start, start + len(word)) for start, word in zip(starts, spoken, strict=True)
    ]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab c.", max_size=60), st.lists(st.text(alphabet="ab c.", max_size=4)))
def test_whatever_is_placed_stands_there_in_order(text: str, spoken: list[str]) -> None:
    spans = word_spans(text, words_of(*spoken))
    for span in spans:
        assert text[span.char_start : span.char_end] == spoken[int(span.start_seconds)].strip()
    assert all(a.char_end <= b.char_start for a, b in pairwise(spans))


def test_a_passage_was_said_from_its_first_word_to_its_last() -> None:
    spans = word_spans("one two three", words_of("one", "two", "three"))
    assert span_of(spans, 0, 13) == (0.0, 2.5)
    assert span_of(spans, 4, 7) == (1.0, 1.5)
    assert span_of(spans, 6, 9) == (1.0, 2.5)


def test_characters_nobody_said_have_no_time() -> None:
    spans = word_spans("# one two", words_of("one", "two"))
    assert span_of(spans, 0, 2) == (None, None)
    assert span_of(spans, 5, 6) == (None, None)
    assert span_of((), 0, 9) == (None, None)


def test_who_spoke_longest_is_the_speaker() -> None:
    spans = segment_spans(
        "Yes yes yes. No.",
        (Segment("Yes yes yes.", 0, 1, "Ann"), Segment("No.", 1, 9, "Bob")),
    )
    assert dominant_speaker(spans, 0, 16) == "Bob"
    assert dominant_speaker(spans, 0, 12) == "Ann"


def test_a_long_turn_counts_only_by_its_part_in_the_passage() -> None:
    spans = (TimedSpan(0, 100, 0, 50, "Ann"), TimedSpan(100, 110, 50, 55, "Bob"))
    assert dominant_speaker(spans, 95, 110) == "Bob"


def test_mostly_unknown_speech_has_no_speaker() -> None:
    spans = (TimedSpan(0, 10, 0, 5, None), TimedSpan(10, 20, 5, 6, "Bob"))
    assert dominant_speaker(spans, 0, 20) is None
    assert dominant_speaker((), 0, 20) is None


def test_words_know_the_speaker_of_their_segment() -> None:
    segments = (Segment("Hi Bob.", 0, 2, "Ann"), Segment("Hi.", 2, 3, "Bob"))
    spans = transcript_spans(
        transcript("Hi Bob. Hi.", *words_of("Hi", "Bob.", "Hi."), segments=segments)
    )
    assert [span.speaker for span in spans] == ["Ann", "Ann", "Bob"]


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet="ab .", max_size=60),
    st.lists(st.text(alphabet="ab ", max_size=3)),
    st.lists(
        st.tuples(st.text(alphabet="ab .", max_size=9), st.sampled_from(["Ann", "Bob", None]))
    ),
)
def test_each_word_has_the_speaker_who_dominates_its_characters(
    text: str, spoken: list[str], turns: list[tuple[str, str | None]]
) -> None:
    segments = tuple(Segment(said, i, i + 1, who) for i, (said, who) in enumerate(turns))
    turned = segment_spans(text, segments)
    for span in transcript_spans(transcript(text, *words_of(*spoken), segments=segments)):
        assert span.speaker == dominant_speaker(turned, span.char_start, span.char_end)


def test_segments_stand_in_where_the_engine_timed_no_words() -> None:
    segments = (Segment(" Hi Bob.", 0, 2, "Ann"), Segment(" Hi.", 2, 3, "Bob"))
    assert transcript_spans(transcript("Hi Bob. Hi.", segments=segments)) == (
        TimedSpan(0, 7, 0, 2, "Ann"),
        TimedSpan(8, 11, 2, 3, "Bob"),
    )


def test_spans_out_of_order_are_refused() -> None:
    check_order((TimedSpan(0, 5, 0, 1), TimedSpan(3, 5, 1, 2)))
    with pytest.raises(InvalidResult, match="out of order"):
        check_order((TimedSpan(0, 9, 0, 1), TimedSpan(3, 5, 1, 2)))


GOOD = transcript(
    "one two",
    Word("one", 0.0, 0.5),
    Word(" two", 0.48, 10.02),
    segments=(Segment("one two", 0.0, 10.0),),
)


def test_times_that_only_miss_by_a_rounding_are_good() -> None:
    check_times(GOOD)


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        (Word("two", 11.0, 12.0), "after the recording"),
        (Word("two", -1.0, 0.0), "back in time"),
        (Word("two", 3.0, 2.0), "ends before it starts"),
        (Word("two", math.nan, 2.0), "no finite times"),
        (Word("two", 3.0, math.inf), "no finite times"),
        (Word("three", 1.0, 2.0), "1 of 2 words are not in the text"),
    ],
)
def test_a_transcript_with_impossible_words_is_refused(word: Word, fault: str) -> None:
    with pytest.raises(InvalidResult, match=fault):
        check_times(dataclasses.replace(GOOD, words=(GOOD.words[0], word)))


def test_a_negative_first_time_is_refused() -> None:
    with pytest.raises(InvalidResult, match="back in time"):
        check_times(dataclasses.replace(GOOD, words=(Word("one", -0.2, 0.5),)))


def test_segments_that_go_back_in_time_are_refused() -> None:
    segments = (Segment("one", 5, 6), Segment("two", 1, 2))
    with pytest.raises(InvalidResult, match="segment 2"):
        check_times(dataclasses.replace(GOOD, segments=segments))


def test_a_four_hour_lecture_is_timed_in_seconds() -> None:
    spoken = [f"word{i % 5_000}" for i in range(40_000)]
    begin = time.process_time()
    spans = word_spans(" ".join(spoken), words_of(*spoken))
    for start in range(0, 300_000, 300):
        span_of(spans, start, start + 3_000)
    assert len(spans) == 40_000
    assert time.process_time() - begin < 3  # 0.3 s on an idle 2-core machine
