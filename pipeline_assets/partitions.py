"""The only partition set: one key per recording (``playhead/core/partition_keys.py``).

Keys are added when runs are requested. Archiving a recording removes its key and leaves its rows.
"""

from __future__ import annotations

import dagster as dg

PARTITION_SET = "recordings"
recordings_partitions = dg.DynamicPartitionsDefinition(name=PARTITION_SET)
