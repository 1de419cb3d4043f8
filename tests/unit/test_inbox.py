"""A file is taken when it is whole: soon where its writer closed it, later where nobody told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from playhead.inbox.protocol import CLOSED_SECONDS, STABLE_SECONDS, Listing, StabilityTracker

BEGUN: Listing = {"talk.wav": (10, 1)}
GROWN: Listing = {"talk.wav": (20, 2)}


def test_a_closed_file_is_whole_after_a_moment() -> None:
    settling = StabilityTracker()
    settling.closed("talk.wav", 0.0)
    assert settling.settled(BEGUN, 0.0) == []
    assert settling.wait(0.0) == CLOSED_SECONDS
    assert settling.settled(BEGUN, CLOSED_SECONDS) == ["talk.wav"]


def test_a_closed_file_that_goes_on_growing_is_not_whole() -> None:
    settling = StabilityTracker()
    settling.closed("talk.wav", 0.0)
    settling.settled(BEGUN, 0.0)
    assert settling.settled(GROWN, CLOSED_SECONDS) == []
    assert settling.settled(GROWN, 2 * CLOSED_SECONDS) == []
    assert settling.settled(GROWN, CLOSED_SECONDS + STABLE_SECONDS) == ["talk.wav"]


def test_a_file_nobody_told_of_is_whole_once_it_was_quiet_for_long() -> None:
    settling = StabilityTracker()
    assert settling.settled(BEGUN, 0.0) == []
    assert settling.settled(GROWN, 4.0) == []
    assert settling.settled(GROWN, 4.0 + STABLE_SECONDS - 0.1) == []
    assert settling.settled(GROWN, 4.0 + STABLE_SECONDS) == ["talk.wav"]


def test_a_file_that_could_not_be_taken_is_named_again_but_not_at_once() -> None:
    settling = StabilityTracker()
    settling.closed("talk.wav", 0.0)
    settling.settled(BEGUN, 0.0)
    assert settling.settled(BEGUN, 1.0) == ["talk.wav"]
    assert settling.settled(BEGUN, 2.0) == []
    assert settling.settled(BEGUN, 1.0 + STABLE_SECONDS) == ["talk.wav"]


def test_another_file_of_the_same_name_begins_anew() -> None:
    settling = StabilityTracker()
    settling.settled(BEGUN, 0.0)
    settling.settled({}, 1.0)
    assert settling.settled(GROWN, STABLE_SECONDS) == []


@given(st.lists(st.tuples(st.floats(0.01, 9.0), st.integers(0, 3), st.booleans()), max_size=30))
def test_no_file_is_named_that_changed_within_a_moment(
    steps: list[tuple[float, int, bool]],
) -> None:
    settling, now, changed, size = StabilityTracker(), 0.0, 0.0, 0
    for passed, looked, closed in steps:
        now += passed
        if looked != size:
            size, changed = looked, now
        if closed:
            settling.closed("talk.wav", now)
        named = settling.settled({"talk.wav": (size, 0)}, now)
        assert not named or now - changed >= CLOSED_SECONDS
        assert settling.wait(now) <= STABLE_SECONDS
