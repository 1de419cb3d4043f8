"""The schedules: what happens by the clock. Not here: what happens by event (``sensors``)."""

from __future__ import annotations

import dagster as dg

from pipeline_assets.jobs import reconcile_recordings, report_backlog

nightly_reconcile = dg.ScheduleDefinition(
    name="nightly_reconcile",
    job=reconcile_recordings,
    cron_schedule="17 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

hourly_backlog = dg.ScheduleDefinition(
    name="hourly_backlog",
    job=report_backlog,
    cron_schedule="5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
