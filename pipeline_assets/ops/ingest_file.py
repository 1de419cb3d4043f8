"""Collecting one file of the inbox: by the warm worker, or by the sensor itself when it is small
and by a run of ``collect_file`` when copying it would outlast a sensor's tick."""

import dagster as dg

from pipeline_assets.policies import JOB_TAGS, RETRY_POLICY
from playhead.services.context import PipelineServices
from playhead.services.ingest import IngestResult

FILE_TAG = "playhead/inbox_file"


class InboxFile(dg.Config):
    """Which file."""

    name: str


def ingest_from_inbox(services: PipelineServices, name: str) -> IngestResult:
    """Store and register the file, then remove it from the inbox, unless somebody has changed or
    replaced it meanwhile. Two may take the same file at once. Raises ``OSError``, and what
    ``Inbox.taking`` and ``Intake.take_in`` raise."""
    with services.files.inbox.claim_file(name) as file:
        return services.ingest.add(file, org_id=services.settings.org, name=name)


@dg.op(out=dg.Out(dg.Nothing), retry_policy=RETRY_POLICY)
def ingest_file(
    context: dg.OpExecutionContext, config: InboxFile, playhead: dg.ResourceParam[PipelineServices]
) -> None:
    try:
        arrival = ingest_from_inbox(playhead, config.name)
    except FileNotFoundError:
        context.log.info(f"{config.name!r} was taken by an earlier run.")
        return
    context.log.info(f"{config.name!r} becomes recording {arrival.recording.id}")


@dg.job(executor_def=dg.in_process_executor, tags=JOB_TAGS)
def ingest_inbox_file() -> None:
    """Take one large file from the inbox."""
    ingest_file()
