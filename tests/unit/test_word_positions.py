"""Positions of timed words in a text, and checks of their times."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playhead.core.errors import InvalidEngineOutput
from playhead.core.records import Segment, TimedSpan, Transcript, Word
from playhead.transcripts.word_positions import (
    check_times,
    locate_words,
    segment_timeline,
    timed_text,
    word_timeline,
)
from tests.support.factories import timeline_spans


def make_words(*words_: str) -> tuple[Word, ...]:
    return tuple(Word(word, float(i), i + 0.5) for i, word in enumerate(words_))


def locate(text: str, *words_: str) -> list[tuple[int, str]]:
    """Return the located words by number, and the text at their positions."""
    spans = timeline_spans(word_timeline(text, make_words(*words_)))
    return [(int(span.start_seconds), text[span.char_start : span.char_end]) for span in spans]


def make_transcript(text: str, *words: Word, segments: tuple[Segment, ...] = ()) -> Transcript:
    return Transcript(text, "en", 10.0, words, segments)


def test_word_missing_from_the_text_is_skipped() -> None:
    text = "cat sat on the mat"
    found = locate(text, "the", "cat", "sat", "on", "the", "mat")
    assert found == [(1, "cat"), (2, "sat"), (3, "on"), (4, "the"), (5, "mat")]
    assert word_timeline(text, make_words("the", "cat", "sat")).char_starts[0] == 0


def test_word_is_not_found_inside_another() -> None:
    assert locate("and then a man", "a", "and", "then", "a", "man") == [
        (1, "and"),
        (2, "then"),
        (3, "a"),
        (4, "man"),
    ]


def test_text_without_words_is_skipped_where_several_words_match_again() -> None:
    found = locate(
        "one lost lost lost two three four five", *["one", "two", "three", "four", "five"]
    )
    assert [word for _, word in found] == ["one", "two", "three", "four", "five"]


def test_single_word_after_a_gap_is_not_located() -> None:
    assert locate("one lost two", "one", "two") == [(0, "one")]


def test_white_space_around_a_word_is_outside_its_span() -> None:
    assert locate("Hello,\n  dear world.", " Hello,", " dear ", "\tworld.") == [
        (0, "Hello,"),
        (1, "dear"),
        (2, "world."),
    ]


def test_punctuation_outside_words_is_skipped() -> None:
    assert locate("“Hello” — (world)!", "Hello", "world") == [(0, "Hello"), (1, "world")]


def test_words_of_an_unspaced_script_are_adjacent() -> None:
    assert locate("今日は雨です", "今日", "は", "雨", "です") == [
        (0, "今日"),
        (1, "は"),
        (2, "雨"),
        (3, "です"),
    ]


def test_blank_words_are_not_located() -> None:
    assert locate("one two", "", "one", "  ", "two") == [(1, "one"), (3, "two")]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(min_size=1).filter(lambda word: word == word.strip()), max_size=30))
def test_words_joined_by_spaces_are_all_located(words_: list[str]) -> None:
    starts = [sum(len(word) + 1 for word in words_[:i]) for i in range(len(words_))]
    assert list(locate_words(" ".join(words_), words_).values()) == [
        (start, start + len(word)) for start, word in zip(starts, words_, strict=True)
    ]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab c.", max_size=60), st.lists(st.text(alphabet="ab c.", max_size=4)))
def test_located_words_match_the_text_in_order(text: str, words_: list[str]) -> None:
    found = locate_words(text, words_)
    for number, (start, end) in found.items():
        assert text[start:end] == words_[number].strip()
    assert all(a[1] <= b[0] for a, b in pairwise(found.values()))
    assert list(found) == sorted(found)


def test_words_have_the_speaker_of_their_segment() -> None:
    segments = (Segment("Hi Bob.", 0, 2, "Ann"), Segment("Hi.", 2, 3, "Bob"))
    timed = make_transcript("Hi Bob. Hi.", *make_words("Hi", "Bob.", "Hi."), segments=segments)
    assert [span.speaker for span in timeline_spans(timed_text(timed).timeline)] == [
        "Ann",
        "Ann",
        "Bob",
    ]


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet="ab .", max_size=60),
    st.lists(st.text(alphabet="ab ", max_size=3)),
    st.lists(
        st.tuples(st.text(alphabet="ab .", max_size=9), st.sampled_from(["Ann", "Bob", None]))
    ),
)
def test_word_has_the_speaker_of_most_of_its_characters(
    text: str, words_: list[str], turns: list[tuple[str, str | None]]
) -> None:
    segments = tuple(Segment(text_, i, i + 1, speaker) for i, (text_, speaker) in enumerate(turns))
    words = make_words(*words_)
    timeline = timed_text(make_transcript(text, *words, segments=segments)).timeline
    if word_timeline(text, words):
        ranges = [(span.char_start, span.char_end) for span in timeline_spans(timeline)]
        expected = segment_timeline(text, segments).speakers(ranges)
        assert [span.speaker for span in timeline_spans(timeline)] == expected


def test_segments_are_used_if_the_engine_timed_no_words() -> None:
    segments = (Segment(" Hi Bob.", 0, 2, "Ann"), Segment(" Hi.", 2, 3, "Bob"))
    timed = timed_text(make_transcript("Hi Bob. Hi.", segments=segments))
    assert timeline_spans(timed.timeline) == (
        TimedSpan(0, 7, 0, 2, "Ann"),
        TimedSpan(8, 11, 2, 3, "Bob"),
    )
    assert timed.breaks == [0, 8]


GOOD = make_transcript(
    "one two",
    Word("one", 0.0, 0.5),
    Word(" two", 0.48, 10.02),
    segments=(Segment("one two", 0.0, 10.0),),
)


def test_times_that_miss_by_rounding_are_valid() -> None:
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
def test_transcript_with_impossible_words_is_rejected(word: Word, fault: str) -> None:
    with pytest.raises(InvalidEngineOutput, match=fault):
        check_times(dataclasses.replace(GOOD, words=(GOOD.words[0], word)))


def test_negative_first_time_is_rejected() -> None:
    with pytest.raises(InvalidEngineOutput, match="back in time"):
        check_times(dataclasses.replace(GOOD, words=(Word("one", -0.2, 0.5),)))


def test_segments_that_go_back_in_time_are_rejected() -> None:
    segments = (Segment("one", 5, 6), Segment("two", 1, 2))
    with pytest.raises(InvalidEngineOutput, match="segment 2"):
        check_times(dataclasses.replace(GOOD, segments=segments))
