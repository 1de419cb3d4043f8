"""Grouping of pending recordings into runs that Dagster can name by a partition range."""

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
def pending_and_keys(draw: st.DrawFn) -> tuple[list[Recording], list[str]]:
    """Draw recordings by urgency, and all partition keys in any order."""
    sizes = draw(st.lists(SIZES, max_size=30))
    pending = [factories.make_recording(size_bytes=size) for size in sizes]
    others = [factories.make_recording().id for _ in range(draw(st.integers(0, 10)))]
    keys = draw(st.permutations([*(recording.id for recording in pending), *others]))
    return pending, keys


def make_numbered(count: int, size_bytes: int = 1) -> list[Recording]:
    return [
        factories.make_recording(id=f"{number:05}", size_bytes=size_bytes)
        for number in range(count)
    ]


def keys_of(recordings: list[Recording]) -> list[str]:
    return [recording.id for recording in recordings]


@given(pending_and_keys())
def test_run_grouping_puts_each_pending_recording_in_one_run(
    given: tuple[list[Recording], list[str]],
) -> None:
    pending, keys = given
    planned = [identity for run in group_into_runs(pending, keys) for identity in run.ids]
    assert sorted(planned) == sorted(recording.id for recording in pending)


@given(pending_and_keys())
def test_run_spans_its_own_recordings_and_no_other_pending_one(
    given: tuple[list[Recording], list[str]],
) -> None:
    pending, keys = given
    for run in group_into_runs(pending, keys):
        spanned = partition_keys_of(run.tags, keys)
        assert spanned & {recording.id for recording in pending} == set(run.ids)
        assert run.run_config["ops"]["recordings"]["config"]["only"] == list(run.ids)


def test_recordings_far_apart_do_not_share_a_run() -> None:
    recordings = make_numbered(2 * MAX_RANGE_PER_RUN)
    first, last = recordings[0], recordings[-1]
    runs = group_into_runs([first, last], keys_of(recordings))
    assert [run.ids for run in runs] == [(first.id,), (last.id,)]


@given(pending_and_keys())
def test_run_of_several_recordings_stays_within_the_limits(
    given: tuple[list[Recording], list[str]],
) -> None:
    pending, keys = given
    sizes = {recording.id: recording.size_bytes for recording in pending}
    for run in group_into_runs(pending, keys):
        assert 1 <= len(run.ids) <= RECORDINGS_PER_RUN
        assert (
            len(run.ids) == 1
            or sum(sizes[recording_id] for recording_id in run.ids) <= BYTES_PER_RUN
        )


@given(pending_and_keys())
def test_run_with_the_most_urgent_recording_is_first(
    given: tuple[list[Recording], list[str]],
) -> None:
    pending, keys = given
    urgency = {recording.id: place for place, recording in enumerate(pending)}
    first_ranks = [
        min(urgency[recording_id] for recording_id in run.ids)
        for run in group_into_runs(pending, keys)
    ]
    assert first_ranks == sorted(first_ranks)


@given(pending_and_keys())
def test_adjacent_runs_could_not_have_been_joined(given: tuple[list[Recording], list[str]]) -> None:
    pending, keys = given
    sizes = {recording.id: recording.size_bytes for recording in pending}
    runs = sorted(group_into_runs(pending, keys), key=lambda plan: keys.index(plan.ids[0]))
    for run, following in pairwise(runs):
        adjacent = keys.index(run.ids[-1]) + 1 == keys.index(following.ids[0])
        size = sum(sizes[identity] for identity in run.ids) + sizes[following.ids[0]]
        assert not adjacent or len(run.ids) == RECORDINGS_PER_RUN or size > BYTES_PER_RUN


def test_thousand_small_recordings_need_the_minimum_of_runs() -> None:
    pending = make_numbered(1000)
    runs = group_into_runs(pending, keys_of(pending))
    assert [len(run.ids) for run in runs] == [RECORDINGS_PER_RUN] * (1000 // RECORDINGS_PER_RUN)


def test_large_recording_does_not_stop_its_neighbours_from_sharing_a_run() -> None:
    small = make_numbered(5)
    large = factories.make_recording(id="00002", size_bytes=2 * BYTES_PER_RUN)
    pending = [*small[:2], large, *small[3:]]
    runs = group_into_runs(pending, keys_of(pending))
    assert [run.ids for run in runs] == [("00000", "00001"), ("00002",), ("00003", "00004")]


def test_no_pending_recording_needs_no_run() -> None:
    assert group_into_runs([], ["00001"]) == []


def test_missing_partition_keys_are_sorted_by_age() -> None:
    pending = make_numbered(4)
    assert missing_partition_keys(pending[::-1], ["00001", "other"]) == ["00000", "00002", "00003"]


def test_run_of_one_recording_is_named_by_its_partition() -> None:
    assert RunSpec(tuple(make_numbered(2)[1:])).tags == {"dagster/partition": "00001"}


def test_run_whose_range_lost_an_end_covers_nothing() -> None:
    tags = RunSpec(tuple(make_numbered(4)[1:])).tags
    assert partition_keys_of(tags, ["00001", "00002"]) == set()
    assert partition_keys_of({}, ["00001"]) == set()
