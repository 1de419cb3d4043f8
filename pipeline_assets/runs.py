"""Group pending recordings into runs.

Pure functions, used by the sensor that requests runs from Dagster
(``sensors/pending_recordings.py``) and by the in-process runner.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import dagster as dg

from pipeline_assets.policies import (
    BYTES_PER_RUN,
    LOW_PRIORITY,
    MAX_RANGE_PER_RUN,
    RECORDINGS_PER_RUN,
)
from pipeline_assets.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    HEARTBEAT_TAG,
    PARTITION_NAME_TAG,
    PRIORITY_TAG,
)
from playhead.core.records import STAGES, Recording
from playhead.postgres.pipeline.plans import Plan

INGEST_RECORDING = "ingest_recording"
REBUILD_ARCHIVED = "rebuild_archived"

#: Statuses of runs that are not finished. NOT_STARTED is excluded: a `playhead process` killed
#: while it creates a run leaves it in that status permanently.
IN_PROGRESS_STATUSES = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


class RunConfig(dg.Config):
    """Config of a run that Playhead requested.

    Runs that a person starts in the UI use the defaults: the selected stages of the selected
    partitions.

    - ``only``: the recordings to process, out of those in the run's range of partitions.
    - ``task``: ``finish`` creates only missing results, whichever engine created the others;
      ``plan`` rebuilds what a plan covers.
    - ``plan``: the plan's id.
    """

    only: list[str] | None = None
    task: Literal["make", "finish", "plan"] = "make"
    plan: int | None = None


@dataclass(frozen=True, slots=True)
class RunSpec:
    """Recordings that share a run, in the order of their partitions.

    Archived recordings have no partitions.
    """

    recordings: tuple[Recording, ...]
    plan: Plan | None = None
    archived: bool = False

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(recording.id for recording in self.recordings)

    @property
    def job(self) -> str:
        return REBUILD_ARCHIVED if self.archived else INGEST_RECORDING

    @property
    def tags(self) -> Mapping[str, str]:
        """Return the tags that name the run's partitions.

        Several partitions are named by a range, which may include partitions of other recordings.
        """
        urgency = {} if self.plan is None else {PRIORITY_TAG: LOW_PRIORITY}
        if self.archived:
            return urgency
        first, last = self.recordings[0].partition_key, self.recordings[-1].partition_key
        if len(self.recordings) == 1:
            return {PARTITION_NAME_TAG: first} | urgency
        return {
            ASSET_PARTITION_RANGE_START_TAG: first,
            ASSET_PARTITION_RANGE_END_TAG: last,
        } | urgency

    @property
    def run_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"only": list(self.ids), "task": "finish"}
        if self.plan is not None:
            config |= {"task": "plan", "plan": self.plan.id}
        return {
            "ops": {
                "rebuild_archived_recordings" if self.archived else "recordings": {"config": config}
            }
        }

    @property
    def assets(self) -> list[dg.AssetKey] | None:
        """Return the assets to materialise, or None for all of them."""
        return (
            None
            if self.plan is None or self.archived
            else [dg.AssetKey(stage) for stage in self.plan.stages]
        )


def missing_partition_keys(waiting: Sequence[Recording], keys: Sequence[str]) -> list[str]:
    """Return the partition keys to add, oldest recording first."""
    known = set(keys)
    missing = [recording for recording in waiting if recording.partition_key not in known]
    return [recording.partition_key for recording in sorted(missing, key=lambda new: new.id)]


def group_into_runs(
    waiting: Sequence[Recording], keys: Sequence[str], plan: Plan | None = None
) -> list[RunSpec]:
    """Group pending recordings into runs, most urgent first.

    ``keys`` holds all partition keys in Dagster's order, including those of ``waiting``. Dagster
    names a run's partitions by a range, so a run takes recordings whose keys are close together.
    ``plan`` is set if the runs belong to a plan.
    """
    place = {key: index for index, key in enumerate(keys)}
    ordered = sorted(waiting, key=lambda recording: place[recording.partition_key])
    groups = list(_group(ordered, place))
    urgency = {recording.id: index for index, recording in enumerate(waiting)}
    groups.sort(key=lambda group: min(urgency[recording.id] for recording in group))
    return [RunSpec(group, plan) for group in groups]


def partition_keys_of(tags: Mapping[str, str], keys: Sequence[str]) -> set[str]:
    """Return the partition keys that a run with these tags processes."""
    if PARTITION_NAME_TAG in tags:
        return {tags[PARTITION_NAME_TAG]}
    if (
        ASSET_PARTITION_RANGE_START_TAG in tags
        and tags[ASSET_PARTITION_RANGE_START_TAG] in keys
        and tags[ASSET_PARTITION_RANGE_END_TAG] in keys
    ):
        return set(
            keys[
                keys.index(tags[ASSET_PARTITION_RANGE_START_TAG]) : keys.index(
                    tags[ASSET_PARTITION_RANGE_END_TAG]
                )
                + 1
            ]
        )
    return set()


def _group(
    ordered: Sequence[Recording], place: Mapping[str, int]
) -> Iterator[tuple[Recording, ...]]:
    group: list[Recording] = []
    for recording in ordered:
        if group and not _fits(group, recording, place):
            yield tuple(group)
            group = []
        group.append(recording)
    if group:
        yield tuple(group)


def _fits(group: Sequence[Recording], recording: Recording, place: Mapping[str, int]) -> bool:
    span = place[recording.partition_key] - place[group[0].partition_key] + 1
    size = sum(member.size_bytes for member in group) + recording.size_bytes
    return span <= MAX_RANGE_PER_RUN and len(group) < RECORDINGS_PER_RUN and size <= BYTES_PER_RUN


_STAGE_ASSETS = frozenset(dg.AssetKey(stage) for stage in STAGES)


def works_on_recordings(run: dg.DagsterRun) -> bool:
    """Return True if the run processes recordings.

    True for runs of our job, and for those that Dagster creates for backfills and for manual
    materialisations in the UI.
    """
    return run.job_name == INGEST_RECORDING or not _STAGE_ASSETS.isdisjoint(
        run.asset_selection or ()
    )


def sends_heartbeat(run: dg.DagsterRun) -> bool:
    """Return True if the run's process sends a heartbeat for it.

    All runs that use our services do.
    """
    return HEARTBEAT_TAG in run.tags or works_on_recordings(run)
