"""Run tags: Dagster's own, imported in this one place because they are not public, and ours."""

from __future__ import annotations

from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    AUTO_RETRY_RUN_ID_TAG,
    BACKFILL_ID_TAG,
    MAX_RETRIES_TAG,
    MAX_RUNTIME_SECONDS_TAG,
    PARTITION_NAME_TAG,
    PRIORITY_TAG,
    RUN_FAILURE_REASON_TAG,
    USER_TAG,
    WILL_RETRY_TAG,
)

__all__ = [
    "ASSET_PARTITION_RANGE_END_TAG",
    "ASSET_PARTITION_RANGE_START_TAG",
    "AUTO_RETRY_RUN_ID_TAG",
    "BACKFILL_ID_TAG",
    "HEARTBEAT_TAG",
    "LAUNCHED_BY_WORKER",
    "MAX_RUNTIME_SECONDS_TAG",
    "NO_RUN_RETRIES",
    "PARTITION_NAME_TAG",
    "PRIORITY_TAG",
    "RUN_FAILURE_REASON_TAG",
    "WILL_RETRY_TAG",
]

#: The process of a run with this tag sends a heartbeat for it.
HEARTBEAT_TAG = "playhead/heartbeat"

#: Tags of runs that their creator retries itself, so that Dagster does not.
NO_RUN_RETRIES = {MAX_RETRIES_TAG: "0"}

#: Tags of runs that a worker creates: the UI shows the value as "Launched by".
LAUNCHED_BY_WORKER = {USER_TAG: "playhead worker"}
