"""Policy constants of the pipeline, each with its reason.

Retries inside a provider call belong to the provider client; values that a user sets are in
``playhead/core/settings.py``.
"""

from __future__ import annotations

import dagster as dg

#: Minutes, not seconds: what can be mended in seconds the adapters mend themselves. Permanent
#: errors are not retried at all.
RETRY_POLICY = dg.RetryPolicy(
    max_retries=2, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)

#: Recordings that share a run. A process start costs 3 CPU seconds, which a hundred share well;
#: beyond, the daemon takes long to create the run: 37 s for 200 on a prototype without a pool.
RECORDINGS_PER_RUN = 100

#: Partitions that a run's range may span, those between that it leaves alone among them.
MAX_RANGE_PER_RUN = 1000

#: Recordings that a plan is ahead of the workers with: what is new comes in between soon.
PLANNED_RECORDINGS = 400
LOW_PRIORITY = "-10"

#: And no more media than this in a run of several, so that long recordings spread over runs
#: and the first of many is ready early. About an hour of compressed speech.
BYTES_PER_RUN = 64 * 1024 * 1024

#: A run that takes longer is stopped: a code server killed with its worker leaves a run that
#: says "started" for ever. A recording of 10 hours at 0.4 s a second takes 4.
MAX_RUNTIME_SECONDS = 8 * 3600
#: On runs of our jobs, whose process sends a heartbeat for the run.
HEARTBEAT_TAG = "playhead/heartbeat"
JOB_TAGS = {"dagster/max_runtime": str(MAX_RUNTIME_SECONDS), HEARTBEAT_TAG: "true"}

#: While a warm worker attends, sensors leave it what came within this time. A worker that is
#: busy with a long recording may keep others waiting longer: then a second run helps.
SENSOR_GRACE_SECONDS = 120.0

#: A run listens to one recording at a time; how many runs there are is the pool's limit
#: (``dagster.yaml``): local models use every core they get.
POOL = "recordings"

#: Dagster's events and runs older than this are pruned: a month to look into what went wrong.
#: What shows a partition as materialised stays for ever.
HISTORY_DAYS = 30

#: In one transaction. A run of a hundred recordings has 1,800 events, so about 90,000 rows.
RUNS_PER_BATCH = 50
CHECKS_PER_BATCH = 100_000

#: A night's pruning; the rest waits for the next.
MAX_PRUNING_SECONDS = 1800

GROUP = "recordings"
OWNERS = ["team:playhead"]
