"""Every passage knows its seconds and its speaker."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playhead.core.errors import InvalidEngineOutput
from playhead.core.records import TimedSpan, Word
from playhead.transcripts.timeline import Timeline
from playhead.transcripts.word_positions import word_timeline
from tests.support.factories import spans_of


def words(*said: str) -> Timeline:
    """Joined by spaces, half a second each at every full second."""
    timed = [Word(word, float(i), i + 0.5) for i, word in enumerate(said)]
    return word_timeline(" ".join(said), timed)


NOBODY_SPEAKS = Timeline.of(())


def test_a_passage_was_said_from_its_first_word_to_its_last() -> None:
    timeline = words("one", "two", "three")
    assert timeline.seconds([(0, 13), (4, 7), (6, 9)]) == [(0.0, 2.5), (1.0, 1.5), (1.0, 2.5)]


def test_characters_nobody_said_have_no_time() -> None:
    timeline = words("one", "two")
    assert timeline.seconds([(3, 4), (0, 3), (7, 9)]) == [(None, None), (0.0, 0.5), (None, None)]
    assert NOBODY_SPEAKS.seconds([(0, 9)]) == [(None, None)]
    assert timeline.seconds([]) == []


def test_words_that_overlap_in_time_count_from_the_earliest_to_the_latest() -> None:
    timeline = Timeline.of([TimedSpan(0, 3, 1.02, 9.0), TimedSpan(4, 7, 1.0, 8.96)])
    assert timeline.seconds([(0, 7)]) == [(1.0, 9.0)]


def test_who_spoke_longest_is_the_speaker() -> None:
    timeline = Timeline.of([TimedSpan(0, 11, 0, 1, "Ann"), TimedSpan(12, 15, 1, 9, "Bob")])
    assert timeline.speakers([(0, 16), (0, 12)]) == ["Bob", "Ann"]


def test_of_two_who_spoke_as_long_the_first_is_the_speaker() -> None:
    spans = [TimedSpan(0, 2, 0, 1, "Zoe"), TimedSpan(2, 4, 1, 2, "Ann"), TimedSpan(4, 6, 2, 3)]
    assert Timeline.of(spans).speakers([(0, 6), (2, 6)]) == ["Zoe", "Ann"]


def test_a_long_turn_counts_only_by_its_part_in_the_passage() -> None:
    spans = [TimedSpan(0, 100, 0, 50, "Ann"), TimedSpan(100, 110, 50, 55, "Bob")]
    assert Timeline.of(spans).speakers([(95, 110)]) == ["Bob"]


def test_mostly_unknown_speech_has_no_speaker() -> None:
    timeline = Timeline.of([TimedSpan(0, 10, 0, 5, None), TimedSpan(10, 20, 5, 6, "Bob")])
    assert timeline.speakers([(0, 20), (10, 20), (20, 30)]) == [None, "Bob", None]
    assert NOBODY_SPEAKS.speakers([(0, 20)]) == [None]


def test_spans_out_of_order_are_refused() -> None:
    Timeline.of((TimedSpan(0, 5, 0, 1), TimedSpan(3, 5, 1, 2))).check_order()
    with pytest.raises(InvalidEngineOutput, match="characters 0 to 9 come before 3 to 5"):
        Timeline.of((TimedSpan(0, 9, 0, 1), TimedSpan(3, 5, 1, 2))).check_order()


_TIMES = st.floats(0, 1e6)
_SPANS = st.builds(
    TimedSpan,
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**31 - 1),
    _TIMES,
    _TIMES,
    st.sampled_from([None, "Ann", "Bob", "\N{SNOWMAN}"]),
)


@settings(deadline=None)
@given(st.lists(_SPANS, max_size=20))
def test_a_timeline_comes_out_of_its_bytes_as_it_was_to_the_bit(spans: list[TimedSpan]) -> None:
    timeline = Timeline.of(spans)
    assert spans_of(Timeline.unpack(timeline.pack(), timeline.names)) == tuple(spans)


def test_a_four_hour_lecture_is_timed_in_seconds() -> None:
    said = [f"word{i % 5_000}" for i in range(40_000)]
    begin = time.thread_time()
    timeline = words(*said)
    timeline.seconds([(start, start + 3_000) for start in range(0, 300_000, 300)])
    assert len(timeline) == 40_000
    assert time.thread_time() - begin < 3  # 0.2 s on an idle 2-core machine
