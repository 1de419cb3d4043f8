"""Times and speakers of character ranges."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playhead.core.errors import InvalidEngineOutput
from playhead.core.records import TimedSpan, Word
from playhead.transcripts.timeline import Timeline
from playhead.transcripts.word_positions import word_timeline
from tests.support.factories import timeline_spans


def make_timeline(*words_: str) -> Timeline:
    """Return a timeline of words joined by spaces, half a second each at every full second."""
    timed = [Word(word, float(i), i + 0.5) for i, word in enumerate(words_)]
    return word_timeline(" ".join(words_), timed)


EMPTY = Timeline.of(())


def test_range_lasts_from_its_first_word_to_its_last() -> None:
    timeline = make_timeline("one", "two", "three")
    assert timeline.seconds([(0, 13), (4, 7), (6, 9)]) == [(0.0, 2.5), (1.0, 1.5), (1.0, 2.5)]


def test_characters_outside_words_have_no_time() -> None:
    timeline = make_timeline("one", "two")
    assert timeline.seconds([(3, 4), (0, 3), (7, 9)]) == [(None, None), (0.0, 0.5), (None, None)]
    assert EMPTY.seconds([(0, 9)]) == [(None, None)]
    assert timeline.seconds([]) == []


def test_overlapping_words_count_from_earliest_to_latest() -> None:
    timeline = Timeline.of([TimedSpan(0, 3, 1.02, 9.0), TimedSpan(4, 7, 1.0, 8.96)])
    assert timeline.seconds([(0, 7)]) == [(1.0, 9.0)]


def test_speaker_is_the_longest_one() -> None:
    timeline = Timeline.of([TimedSpan(0, 11, 0, 1, "Ann"), TimedSpan(12, 15, 1, 9, "Bob")])
    assert timeline.speakers([(0, 16), (0, 12)]) == ["Bob", "Ann"]


def test_speaker_is_the_first_of_two_equally_long() -> None:
    spans = [TimedSpan(0, 2, 0, 1, "Zoe"), TimedSpan(2, 4, 1, 2, "Ann"), TimedSpan(4, 6, 2, 3)]
    assert Timeline.of(spans).speakers([(0, 6), (2, 6)]) == ["Zoe", "Ann"]


def test_long_turn_counts_only_within_the_range() -> None:
    spans = [TimedSpan(0, 100, 0, 50, "Ann"), TimedSpan(100, 110, 50, 55, "Bob")]
    assert Timeline.of(spans).speakers([(95, 110)]) == ["Bob"]


def test_mostly_unknown_speech_has_no_speaker() -> None:
    timeline = Timeline.of([TimedSpan(0, 10, 0, 5, None), TimedSpan(10, 20, 5, 6, "Bob")])
    assert timeline.speakers([(0, 20), (10, 20), (20, 30)]) == [None, "Bob", None]
    assert EMPTY.speakers([(0, 20)]) == [None]


def test_unordered_spans_are_rejected() -> None:
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
def test_timeline_is_packed_without_loss(spans: list[TimedSpan]) -> None:
    timeline = Timeline.of(spans)
    assert timeline_spans(Timeline.unpack(timeline.pack(), timeline.names)) == tuple(spans)


def test_four_hour_timeline_is_queried_in_seconds() -> None:
    words_ = [f"word{i % 5_000}" for i in range(40_000)]
    begin = time.thread_time()
    timeline = make_timeline(*words_)
    timeline.seconds([(start, start + 3_000) for start in range(0, 300_000, 300)])
    assert len(timeline) == 40_000
    assert time.thread_time() - begin < 3  # 0.2 s on an idle 2-core machine
