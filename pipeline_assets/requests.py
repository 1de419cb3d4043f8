"""Which recordings share a run: a pure plan from what waits.

Both ways to work use it: the uploads sensor asks Dagster for these runs, ``process.py`` makes
them itself. Not here: what waits (the ledger says) and how a run works.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from pipeline_assets.policies import BYTES_A_RUN, RECORDINGS_A_RUN
from resources.records import Recording

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"

#: On runs that their maker repeats itself, so that Dagster does not start a process for it.
NOT_RETRIED = {"dagster/max_retries": "0"}

#: Runs that will still do something. Not NOT_STARTED: a `playhead process` killed while it makes
#: a run leaves that for ever.
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Recordings whose partitions are neighbours, in the order of their partitions."""

    ids: tuple[str, ...]

    @property
    def tags(self) -> Mapping[str, str]:
        """How Dagster names the run's partitions."""
        if len(self.ids) == 1:
            return {PARTITION: self.ids[0]}
        return {RANGE_START: self.ids[0], RANGE_END: self.ids[-1]}


def new_keys(waiting: Sequence[Recording], keys: Sequence[str]) -> list[str]:
    """Partition keys to add, oldest recording first."""
    known = set(keys)
    return sorted(recording.id for recording in waiting if recording.id not in known)


def plan_runs(waiting: Sequence[Recording], keys: Sequence[str]) -> list[RunPlan]:
    """Runs over ``waiting``, most urgent first. ``keys``: all partition keys in Dagster's order,
    those of ``waiting`` among them. A run takes neighbours only, since Dagster names a run's
    partitions by a range."""
    place = {key: index for index, key in enumerate(keys)}
    ordered = sorted(waiting, key=lambda recording: place[recording.id])
    groups = list(_groups(ordered, place))
    urgency = {recording.id: index for index, recording in enumerate(waiting)}
    groups.sort(key=lambda group: min(urgency[identity] for identity in group))
    return [RunPlan(group) for group in groups]


def covered(tags: Mapping[str, str], keys: Sequence[str]) -> set[str]:
    """The partition keys that a run with these tags works on."""
    if PARTITION in tags:
        return {tags[PARTITION]}
    if RANGE_START in tags and tags[RANGE_START] in keys and tags[RANGE_END] in keys:
        return set(keys[keys.index(tags[RANGE_START]) : keys.index(tags[RANGE_END]) + 1])
    return set()


def _groups(ordered: Sequence[Recording], place: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    group: list[Recording] = []
    for recording in ordered:
        if group and not _fits(group, recording, place):
            yield tuple(member.id for member in group)
            group = []
        group.append(recording)
    if group:
        yield tuple(member.id for member in group)


def _fits(group: Sequence[Recording], recording: Recording, place: Mapping[str, int]) -> bool:
    neighbours = place[recording.id] == place[group[-1].id] + 1
    size = sum(member.size_bytes for member in group) + recording.size_bytes
    return neighbours and len(group) < RECORDINGS_A_RUN and size <= BYTES_A_RUN
