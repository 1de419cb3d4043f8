"""When an inbox file is complete: soon after its writer closed it, else after a quiet time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from playhead.inbox.protocol import CLOSED_SECONDS, STABLE_SECONDS, Listing, StabilityTracker

FIRST: Listing = {"talk.wav": (10, 1)}
GROWN: Listing = {"talk.wav": (20, 2)}


def test_closed_file_is_stable_after_a_moment() -> None:
    tracker = StabilityTracker()
    tracker.closed("talk.wav", 0.0)
    assert tracker.complete(FIRST, 0.0) == []
    assert tracker.wait(0.0) == CLOSED_SECONDS
    assert tracker.complete(FIRST, CLOSED_SECONDS) == ["talk.wav"]


def test_closed_file_that_keeps_growing_is_not_stable() -> None:
    tracker = StabilityTracker()
    tracker.closed("talk.wav", 0.0)
    tracker.complete(FIRST, 0.0)
    assert tracker.complete(GROWN, CLOSED_SECONDS) == []
    assert tracker.complete(GROWN, 2 * CLOSED_SECONDS) == []
    assert tracker.complete(GROWN, CLOSED_SECONDS + STABLE_SECONDS) == ["talk.wav"]


def test_file_without_close_event_is_stable_after_a_longer_time() -> None:
    tracker = StabilityTracker()
    assert tracker.complete(FIRST, 0.0) == []
    assert tracker.complete(GROWN, 4.0) == []
    assert tracker.complete(GROWN, 4.0 + STABLE_SECONDS - 0.1) == []
    assert tracker.complete(GROWN, 4.0 + STABLE_SECONDS) == ["talk.wav"]


def test_file_that_could_not_be_taken_is_returned_again_later() -> None:
    tracker = StabilityTracker()
    tracker.closed("talk.wav", 0.0)
    tracker.complete(FIRST, 0.0)
    assert tracker.complete(FIRST, 1.0) == ["talk.wav"]
    assert tracker.complete(FIRST, 2.0) == []
    assert tracker.complete(FIRST, 1.0 + STABLE_SECONDS) == ["talk.wav"]


def test_new_file_of_the_same_name_starts_over() -> None:
    tracker = StabilityTracker()
    tracker.complete(FIRST, 0.0)
    tracker.complete({}, 1.0)
    assert tracker.complete(GROWN, STABLE_SECONDS) == []


@given(st.lists(st.tuples(st.floats(0.01, 9.0), st.integers(0, 3), st.booleans()), max_size=30))
def test_file_that_changed_within_a_moment_is_never_stable(
    steps: list[tuple[float, int, bool]],
) -> None:
    tracker, now, changed, size = StabilityTracker(), 0.0, 0.0, 0
    for seconds, observed_size, closed in steps:
        now += seconds
        if observed_size != size:
            size, changed = observed_size, now
        if closed:
            tracker.closed("talk.wav", now)
        stable = tracker.complete({"talk.wav": (size, 0)}, now)
        assert not stable or now - changed >= CLOSED_SECONDS
        assert tracker.wait(now) <= STABLE_SECONDS
