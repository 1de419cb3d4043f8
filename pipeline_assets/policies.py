"""Policy constants of the pipeline, each with its reason.

Retries inside a provider call belong to the provider client; values that a user sets are in
``playhead/core/settings.py``.
"""

from __future__ import annotations

import dagster as dg

from pipeline_assets.tags import HEARTBEAT_TAG, MAX_RUNTIME_SECONDS_TAG

#: Delays of minutes, not seconds: adapters retry errors that pass within seconds. Permanent errors
#: are not retried.
RETRY_POLICY = dg.RetryPolicy(
    max_retries=2, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)

#: Maximum recordings per run. A process start takes 3 CPU seconds, little when shared by a hundred;
#: for larger runs the daemon takes long to create the run: 37 s for 200 on a prototype without a
#: pool.
RECORDINGS_PER_RUN = 100

#: Maximum partitions in a run's range, including those that the run skips.
MAX_RANGE_PER_RUN = 1000

#: Maximum recordings of plans in progress, so that new recordings do not wait long.
PLANNED_RECORDINGS = 400
LOW_PRIORITY = "-10"

#: Maximum bytes of media in a run of several recordings, so that long recordings are spread over
#: runs and the first is ready early. About an hour of compressed speech.
BYTES_PER_RUN = 64 * 1024 * 1024

#: A longer run is stopped: a code server killed with its worker leaves a run that stays started.
#: A recording of 10 hours takes 4 hours, at 0.4 s per second of media.
MAX_RUNTIME_SECONDS = 8 * 3600
JOB_TAGS = {MAX_RUNTIME_SECONDS_TAG: str(MAX_RUNTIME_SECONDS), HEARTBEAT_TAG: "true"}

#: While a warm worker is alive, sensors leave newer recordings and files to it. If it is busy with
#: a long recording, others may wait longer than this; then a second run helps.
SENSOR_GRACE_SECONDS = 120.0

#: A run processes one recording at a time; the pool (``dagster.yaml``) limits the number of runs,
#: because local models use every core they get.
POOL = "recordings"

#: Dagster's events and runs older than this are pruned: a month to investigate failures. The
#: events that show a partition as materialised are never pruned.
HISTORY_DAYS = 30

#: Per transaction. A run of a hundred recordings has 1,800 events, so about 90,000 rows.
RUNS_PER_BATCH = 50
CHECKS_PER_BATCH = 100_000

#: Maximum time of pruning per night; the rest waits for the next night.
MAX_PRUNING_SECONDS = 1800

GROUP = "recordings"
OWNERS = ["team:playhead"]
