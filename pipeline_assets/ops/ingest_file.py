"""Ingest one file from the inbox.

The warm worker and the inbox sensor ingest files directly. For a file so large that copying it
would outlast a sensor's tick, the sensor requests a run of ``ingest_inbox_file``.
"""

import dagster as dg

from pipeline_assets.policies import JOB_TAGS, RETRY_POLICY
from playhead.services.context import PipelineServices
from playhead.services.ingest import IngestResult

FILE_TAG = "playhead/inbox_file"


class InboxFile(dg.Config):
    """The name of the inbox file to ingest."""

    name: str


def ingest_from_inbox(services: PipelineServices, name: str) -> IngestResult:
    """Store and register an inbox file, then remove it from the inbox.

    The file stays if it was changed or replaced meanwhile. Two processes may ingest the same file
    at the same time. Raises ``OSError``, and the errors of ``Inbox.claim_file`` and ``Ingest.add``.
    """
    with services.files.inbox.claim_file(name) as file:
        return services.ingest.add(file, org_id=services.settings.org, name=name)


@dg.op(out=dg.Out(dg.Nothing), retry_policy=RETRY_POLICY)
def ingest_file(
    context: dg.OpExecutionContext, config: InboxFile, playhead: dg.ResourceParam[PipelineServices]
) -> None:
    try:
        arrival = ingest_from_inbox(playhead, config.name)
    except FileNotFoundError:
        context.log.info(f"{config.name!r} was ingested by an earlier run.")
        return
    context.log.info(f"{config.name!r} was added as recording {arrival.recording.id}")


@dg.job(executor_def=dg.in_process_executor, tags=JOB_TAGS)
def ingest_inbox_file() -> None:
    """Ingest one large file from the inbox."""
    ingest_file()
