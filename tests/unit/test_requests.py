"""Every recording that waits is in exactly one run, and runs are what Dagster can name."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline_assets.policies import BYTES_PER_RUN, MAX_RANGE_PER_RUN, RECORDINGS_PER_RUN
from pipeline_assets.runs import RunSpec, group_into_runs, missing_partition_keys, partition_keys_of
from playhead.core.records import Recording
from tests.support import factories

SIZES = st.one_of(
    st.integers(0, 1000),
    st.integers(BYTES_PER_RUN // 4, BYTES_PER_RUN + 1),
    st.just(3 * BYTES_PER_RUN),
)


@st.composite
def waiting_and_keys(draw: st.DrawFn) -> tuple[list[Recording], list[str]]:
    """Recordings by urgency, and all partition keys: theirs and others', in any order."""
    sizes = draw(st.lists(SIZES, max_size=30))
    waiting = [factories.recording(size_bytes=size) for size in sizes]
    others = [factories.recording().id for _ in range(draw(st.integers(0, 10)))]
    keys = draw(st.permutations([*(recording.id for recording in waiting), *others]))
    return waiting, keys


def numbered(count: int, size_bytes: int = 1) -> list[Recording]:
    return [
        factories.recording(id=f"{number:05}", size_bytes=size_bytes) for number in range(count)
    ]


def keys_of(recordings: list[Recording]) -> list[str]:
    return [recording.id for recording in recordings]


@given(waiting_and_keys())
def test_every_waiting_recording_is_in_exactly_one_run(
    given: tuple[list[Recording], list[str]],
) -> None:
    waiting, keys = given
    planned = [identity for plan in group_into_runs(waiting, keys) for identity in plan.ids]
    assert sorted(planned) == sorted(recording.id for recording in waiting)


@given(waiting_and_keys())
def test_a_run_spans_its_recordings_and_none_that_waits_for_another_run(
    given: tuple[list[Recording], list[str]],
) -> None:
    waiting, keys = given
    for plan in group_into_runs(waiting, keys):
        spanned = partition_keys_of(plan.tags, keys)
        assert spanned & {recording.id for recording in waiting} == set(plan.ids)
        assert plan.run_config["ops"]["recordings"]["config"]["only"] == list(plan.ids)


def test_recordings_far_apart_do_not_share_a_run() -> None:
    everything = numbered(2 * MAX_RANGE_PER_RUN)
    first, last = everything[0], everything[-1]
    plans = group_into_runs([first, last], keys_of(everything))
    assert [plan.ids for plan in plans] == [(first.id,), (last.id,)]


@given(waiting_and_keys())
def test_a_run_of_several_keeps_the_limits_and_only_a_run_of_one_may_be_larger(
    given: tuple[list[Recording], list[str]],
) -> None:
    waiting, keys = given
    sizes = {recording.id: recording.size_bytes for recording in waiting}
    for plan in group_into_runs(waiting, keys):
        assert 1 <= len(plan.ids) <= RECORDINGS_PER_RUN
        assert len(plan.ids) == 1 or sum(sizes[one] for one in plan.ids) <= BYTES_PER_RUN


@given(waiting_and_keys())
def test_the_run_with_the_most_urgent_recording_comes_first(
    given: tuple[list[Recording], list[str]],
) -> None:
    waiting, keys = given
    urgency = {recording.id: place for place, recording in enumerate(waiting)}
    firsts = [min(urgency[one] for one in plan.ids) for plan in group_into_runs(waiting, keys)]
    assert firsts == sorted(firsts)


@given(waiting_and_keys())
def test_no_two_runs_could_have_been_one(given: tuple[list[Recording], list[str]]) -> None:
    waiting, keys = given
    sizes = {recording.id: recording.size_bytes for recording in waiting}
    runs = sorted(group_into_runs(waiting, keys), key=lambda plan: keys.index(plan.ids[0]))
    for one, next_one in pairwise(runs):
        neighbours = keys.index(one.ids[-1]) + 1 == keys.index(next_one.ids[0])
        size = sum(sizes[identity] for identity in one.ids) + sizes[next_one.ids[0]]
        assert not neighbours or len(one.ids) == RECORDINGS_PER_RUN or size > BYTES_PER_RUN


def test_a_thousand_small_recordings_share_as_few_runs_as_the_limit_allows() -> None:
    waiting = numbered(1000)
    plans = group_into_runs(waiting, keys_of(waiting))
    assert [len(plan.ids) for plan in plans] == [RECORDINGS_PER_RUN] * (1000 // RECORDINGS_PER_RUN)


def test_one_recording_too_large_to_share_does_not_stop_its_neighbours_from_sharing() -> None:
    small = numbered(5)
    large = factories.recording(id="00002", size_bytes=2 * BYTES_PER_RUN)
    waiting = [*small[:2], large, *small[3:]]
    plans = group_into_runs(waiting, keys_of(waiting))
    assert [plan.ids for plan in plans] == [("00000", "00001"), ("00002",), ("00003", "00004")]


def test_nothing_waiting_asks_for_nothing() -> None:
    assert group_into_runs([], ["00001"]) == []


def test_new_keys_are_those_without_a_partition_oldest_first() -> None:
    waiting = numbered(4)
    assert missing_partition_keys(waiting[::-1], ["00001", "other"]) == ["00000", "00002", "00003"]


def test_a_run_of_one_is_named_by_its_partition_alone() -> None:
    assert RunSpec(("00001",)).tags == {"dagster/partition": "00001"}


def test_a_run_whose_range_has_lost_an_end_covers_nothing() -> None:
    tags = RunSpec(("00001", "00002", "00003")).tags
    assert partition_keys_of(tags, ["00001", "00002"]) == set()
    assert partition_keys_of({}, ["00001"]) == set()
