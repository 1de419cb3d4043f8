"""The multi-asset that runs the five stages, one recording after the other.

One step holds the five assets, so that one recording can fail alone in a run of a hundred: the good
ones are materialised one by one, the bad ones are not, and the run fails and names them
(docs/decisions/0001-multi-asset-step.md).
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import dagster as dg

from pipeline_assets.assets import chunks, document, embeddings, raw_media, transcript
from pipeline_assets.assets.checks import check_evaluation, check_specs
from pipeline_assets.assets.events import data_version_tags, lineage_entry, run_link
from pipeline_assets.assets.executor import StageExecutor
from pipeline_assets.assets.stage import RecordingContext, RunAttempt, StageOutcome, StageResult
from pipeline_assets.policies import POOL, RECORDINGS_PER_RUN, RETRY_POLICY
from pipeline_assets.runs import RunConfig
from playhead.core.errors import ClaimLost, Parked, PlayheadError, WorkerStopping
from playhead.core.records import STAGES, Recording, Stage
from playhead.services.context import PipelineServices

_RESULTS_TTL_SECONDS = 10.0  # current results are read again after this time

Context = dg.AssetExecutionContext | dg.OpExecutionContext


@dg.multi_asset(
    name="recordings",
    specs=[raw_media.SPEC, transcript.SPEC, document.SPEC, chunks.SPEC, embeddings.SPEC],
    check_specs=check_specs(),
    can_subset=True,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=RECORDINGS_PER_RUN),
    retry_policy=RETRY_POLICY,
    pool=POOL,
)
def recordings(
    context: dg.AssetExecutionContext,
    config: RunConfig,
    playhead: dg.ResourceParam[PipelineServices],
) -> Iterator[dg.AssetMaterialization]:
    """Run each recording of the run through the selected stages."""
    store = playhead.pipeline.recordings
    selected = (
        store.get_many(config.only)
        if config.only
        else store.by_partition_keys(context.partition_keys)
    )
    stages = [stage for stage in STAGES if dg.AssetKey(stage) in context.selected_asset_keys]
    process_recordings(context, config, playhead, selected, stages)
    yield from ()  # Dagster wants a generator; the events are logged inside


def process_recordings(
    context: Context,
    config: RunConfig,
    services: PipelineServices,
    recordings: Sequence[Recording],
    stages: Sequence[Stage],
) -> None:
    """Run recordings through the stages.

    Raises ``Failure`` at the end if any of them failed.
    """
    attempt = RunAttempt(
        run_id=context.run.run_id,
        is_final=context.retry_number >= RETRY_POLICY.max_retries,
        log=context.log.info,
    )
    if context.retry_number:
        failed = {letter.id for letter in services.pipeline.recordings.dead_letters()}
        excluded = failed | services.pipeline.recordings.parked()
        recordings = [recording for recording in recordings if recording.id not in excluded]
    reporter = EventReporter(context)
    try:
        with StageExecutor(reporter.report) as executor:
            for work in _recording_contexts(
                services, recordings, attempt, batch=_uses_batches(config, services)
            ):
                executor.run(work, _stages_to_run(config, work, stages))
            executor.finish()
    except WorkerStopping:
        raise dg.Failure("Stopped; unfinished work was released.", allow_retries=False) from None
    if reporter.failures:
        raise _failure(reporter.failures)


class EventReporter:
    """Reports the outcome of each stage of each recording to Dagster, once per run."""

    def __init__(self, context: Context) -> None:
        self.failures: list[tuple[Recording, PlayheadError]] = []
        self._context = context
        self._stopped: set[str] = set()
        self._reported = _already_reported(context) if context.retry_number else {}

    def report(self, work: RecordingContext, stage: Stage, outcome: StageOutcome) -> None:
        if isinstance(outcome, StageResult):
            if work.recording.partition_key not in self._reported.get(dg.AssetKey(stage), ()):
                _log_materialization(self._context, work.recording, stage, outcome)
        elif isinstance(outcome, ClaimLost):
            self._context.log.warning(str(outcome))
        elif isinstance(outcome, Parked):
            self._report_parked(work.recording, stage, outcome)
        else:
            self.failures.append((work.recording, outcome))
            self._context.log_event(_observation(stage, work.recording, outcome))
            self._context.log.error(f"{work.recording.id}: {outcome} {outcome.remedy}")

    def _report_parked(self, recording: Recording, stage: Stage, parked: Parked) -> None:
        """Log that a recording is parked and add an observation with the reason.

        Parking is not a failure: the run goes on and the partition is materialised later. A parked
        recording that needs a person is logged as an error, each reason once per run.
        """
        self._context.log_event(_observation(stage, recording, parked))
        is_new = parked.until is None and str(parked) not in self._stopped
        log = self._context.log.error if is_new else self._context.log.warning
        if is_new:
            self._stopped.add(str(parked))
        log(f"{recording.id} is parked: {parked} {parked.remedy}")


def _already_reported(context: Context) -> Mapping[dg.AssetKey, AbstractSet[str | None]]:
    """Return the partitions per asset that an earlier attempt of this run materialised."""
    return context.instance.get_asset_partitions_for_run(
        context.run.run_id, dg.DagsterEventType.ASSET_MATERIALIZATION
    )


def _uses_batches(config: RunConfig, services: PipelineServices) -> bool:
    return config.plan is not None and services.pipeline.plans.get(config.plan).batch


def _recording_contexts(
    services: PipelineServices, recordings: Sequence[Recording], attempt: RunAttempt, *, batch: bool
) -> Iterator[RecordingContext]:
    """Yield the recordings with their current results.

    A recording that has calls in a provider batch stays in batch mode.
    """
    targets, remaining = services.embedding_targets(), deque(recordings)
    while remaining:
        current = services.pipeline.results.current_results(list(remaining))
        waiting = services.provider_use.batches.recordings_in_batch_mode(
            [recording.id for recording in remaining]
        )
        read_at = time.monotonic()
        while remaining and time.monotonic() - read_at < _RESULTS_TTL_SECONDS:
            recording = remaining.popleft()
            in_batch = batch or recording.id in waiting
            yield RecordingContext(
                services, recording, attempt, targets, current[recording.id], in_batch
            )


def _stages_to_run(
    config: RunConfig, work: RecordingContext, selected: Sequence[Stage]
) -> Sequence[Stage]:
    """Return the stages that this run executes for a recording.

    A run with the task ``finish`` skips every stage that has a result, whichever engine created it:
    rebuilding needs a plan or a person. A cancelled plan runs no stages.
    """
    if config.task == "finish":
        missing = STAGES[work.services.pipeline.recordings.stages_done(work.recording) :]
        return [stage for stage in selected if stage in missing]
    if (
        config.plan is not None
        and work.services.pipeline.plans.get(config.plan).state == "cancelled"
    ):
        return []
    return selected


def _log_materialization(
    context: Context, recording: Recording, stage: Stage, outcome: StageResult
) -> None:
    context.log_event(
        dg.AssetMaterialization(
            stage,
            partition=recording.partition_key,
            metadata={"title": recording.title, **outcome.metadata, **_lineage(outcome)},
            tags=data_version_tags(
                outcome.result.recipe["code_version"],
                outcome.result.output_hash,
                outcome.result.inputs,
            ),
        )
    )
    if not isinstance(context, dg.AssetExecutionContext):
        return  # a run of archived recordings has no assets and no checks
    for check in outcome.checks:
        context.log_event(check_evaluation(check, recording.partition_key))


def _observation(stage: Stage, recording: Recording, error: PlayheadError) -> dg.AssetObservation:
    """Return an observation that shows why the partition was not materialised."""
    return dg.AssetObservation(
        stage,
        partition=recording.partition_key,
        description=str(error),
        metadata={
            "title": recording.title,
            "error": type(error).__name__,
            "remedy": error.remedy,
            "retry": f"playhead retry {recording.id}",
        },
    )


def _lineage(outcome: StageResult) -> dict[str, dg.MetadataValue]:
    result = outcome.result
    return {
        "unchanged": dg.MetadataValue.bool(outcome.unchanged),
        "runtime_seconds": dg.MetadataValue.float(round(result.seconds, 3)),
        "cost_usd": dg.MetadataValue.float(result.cost_usd),
        "run": run_link(result.run_id),
        "lineage": lineage_entry(result.id, result.attempt, result.inputs, result.recipe),
    }


def _failure(failures: list[tuple[Recording, PlayheadError]]) -> dg.Failure:
    """Return the step's failure; it allows retries if any of the errors is retryable.

    The text is shared by all recordings and therefore contains nothing from them. The full error is
    stored with the partition and is deleted with the recording.
    """
    lines = [
        f"- `{recording.id}`: {type(error).__name__}. {error.remedy}"
        for recording, error in failures
    ]
    return dg.Failure(
        f"{len(failures)} recording(s) failed, the others are done. {lines[0]}",
        metadata={"failed": dg.MetadataValue.md("\n".join(lines))},
        allow_retries=any(error.retryable for _, error in failures),
    )
