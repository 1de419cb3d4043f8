"""The one partition set: a key a recording, its id. Keys are added when runs are requested;
archiving a recording takes its key away and leaves its rows."""

from __future__ import annotations

import dagster as dg

PARTITION_SET = "recordings"
recordings_partitions = dg.DynamicPartitionsDefinition(name=PARTITION_SET)
