"""How Dagster runs the five stages: recording by recording, each through all its stages.

One step holds the five assets, so that in a run of a hundred recordings one can fail alone:
the good ones are materialised one by one as they are made, the bad ones are not, and the run
fails naming them (docs/decisions/0001-one-step-five-assets.md). Not here: what a stage makes.
"""

import gc
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import dagster as dg

from pipeline_assets.assets import chunks, document, embeddings, raw_media, transcript
from pipeline_assets.assets.checks import check_specs, evaluation
from pipeline_assets.assets.events import made_by, versions
from pipeline_assets.assets.executor import Hands
from pipeline_assets.assets.stage import Made, Outcome, Turn, Work
from pipeline_assets.policies import POOL, RECORDINGS_A_RUN, RETRY_POLICY
from pipeline_assets.runs import Asked
from playhead.core.errors import ClaimLost, Parked, PlayheadError, WorkerStopping
from playhead.core.records import STAGES, Recording, Stage
from playhead.services.context import PipelineServices

_STANDING_SECONDS = 10.0  # what stands of a run's recordings is looked up anew after this long

Context = dg.AssetExecutionContext | dg.OpExecutionContext


@dg.multi_asset(
    name="recordings",
    specs=[raw_media.SPEC, transcript.SPEC, document.SPEC, chunks.SPEC, embeddings.SPEC],
    check_specs=check_specs(),
    can_subset=True,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=RECORDINGS_A_RUN),
    retry_policy=RETRY_POLICY,
    pool=POOL,
)
def recordings(
    context: dg.AssetExecutionContext, config: Asked, playhead: dg.ResourceParam[PipelineServices]
) -> Iterator[dg.AssetMaterialization]:
    """Take each recording of the run through the stages that were asked for."""
    wanted = playhead.pipeline.recordings.get_many(config.only or context.partition_keys)
    stages = [stage for stage in STAGES if dg.AssetKey(stage) in context.selected_asset_keys]
    take_all(context, config, playhead, wanted, stages)
    yield from ()


def take_all(
    context: Context,
    config: Asked,
    services: PipelineServices,
    wanted: Sequence[Recording],
    stages: Sequence[Stage],
) -> None:
    """Take these recordings through the stages; those that fail are told of at the end, by a
    ``Failure``."""
    if not gc.get_freeze_count():
        # What is loaded by now stays: collecting garbage need not look at it each time. Once a
        # process, or what is garbage when the next run begins would stay for good.
        gc.collect()
        gc.freeze()
    turn = Turn(
        run_id=context.run.run_id,
        last=context.retry_number >= RETRY_POLICY.max_retries,
        log=context.log.info,
    )
    if context.retry_number:
        failed = {letter.id for letter in services.pipeline.recordings.dead_letters()}
        left_alone = failed | services.pipeline.recordings.parked()
        wanted = [recording for recording in wanted if recording.id not in left_alone]
    telling = _Telling(context)
    try:
        with Hands(telling.tell) as hands:
            for work in _works(services, wanted, turn, patient=_is_patient(config, services)):
                hands.take(work, _wanted(config, work, stages))
            hands.finish()
    except WorkerStopping:
        raise dg.Failure("Stopped; what is not done is handed back.", allow_retries=False) from None
    if telling.failures:
        raise _failure(telling.failures)


class _Telling:
    """What Dagster is told of each stage of each recording, once a run."""

    def __init__(self, context: Context) -> None:
        self.failures: list[tuple[Recording, PlayheadError]] = []
        self._context = context
        self._stopped: set[str] = set()
        self._told = _told_before(context) if context.retry_number else {}

    def tell(self, work: Work, stage: Stage, made: Made) -> None:
        if isinstance(made, Outcome):
            if work.recording.id not in self._told.get(dg.AssetKey(stage), ()):
                _tell(self._context, work.recording, stage, made)
        elif isinstance(made, ClaimLost):
            self._context.log.warning(str(made))
        elif isinstance(made, Parked):
            self._tell_parked(work.recording, stage, made)
        else:
            self.failures.append((work.recording, made))
            self._context.log_event(_observation(stage, work.recording, made))
            self._context.log.error(f"{work.recording.id}: {made} {made.remedy}")

    def _tell_parked(self, recording: Recording, stage: Stage, parked: Parked) -> None:
        """Not a failure: the run goes on, and the partition is made when its time has come. What
        waits for a person is an error all the same, once a run."""
        self._context.log_event(_observation(stage, recording, parked))
        stopped = parked.until is None and str(parked) not in self._stopped
        log = self._context.log.error if stopped else self._context.log.warning
        if stopped:
            self._stopped.add(str(parked))
        log(f"{recording.id} is laid aside: {parked} {parked.remedy}")


def _told_before(context: Context) -> Mapping[dg.AssetKey, AbstractSet[str | None]]:
    """Partitions by asset, in an earlier try of this run."""
    return context.instance.get_asset_partitions_for_run(
        context.run.run_id, dg.DagsterEventType.ASSET_MATERIALIZATION
    )


def _is_patient(config: Asked, services: PipelineServices) -> bool:
    return config.plan is not None and services.pipeline.plans.get(config.plan).patient


def _works(
    services: PipelineServices, wanted: Sequence[Recording], turn: Turn, *, patient: bool
) -> Iterator[Work]:
    """The recordings with what stands of each. What a plan began patiently goes on so."""
    lanes, left = services.embedding_targets(), deque(wanted)
    while left:
        standing = services.pipeline.results.standing(list(left))
        waiting = services.provider_use.batches.patient([recording.id for recording in left])
        looked = time.monotonic()
        while left and time.monotonic() - looked < _STANDING_SECONDS:
            recording = left.popleft()
            waits = patient or recording.id in waiting
            yield Work(services, recording, turn, lanes, standing[recording.id], waits)


def _wanted(config: Asked, work: Work, selected: Sequence[Stage]) -> Sequence[Stage]:
    """A run that only finishes recordings makes nothing again that stands, whichever engine made
    it: making anew is for plans, and for people. A cancelled plan wants nothing more."""
    if config.task == "finish":
        missing = STAGES[work.services.pipeline.recordings.stages_done(work.recording) :]
        return [stage for stage in selected if stage in missing]
    if (
        config.plan is not None
        and work.services.pipeline.plans.get(config.plan).state == "cancelled"
    ):
        return []
    return selected


def _tell(context: Context, recording: Recording, stage: Stage, outcome: Outcome) -> None:
    context.log_event(
        dg.AssetMaterialization(
            stage,
            partition=recording.id,
            metadata={"title": recording.title, **outcome.metadata, **_lineage(outcome)},
            tags=versions(
                outcome.result.recipe["code_version"],
                outcome.result.output_hash,
                outcome.result.inputs,
            ),
        )
    )
    if not isinstance(context, dg.AssetExecutionContext):
        return  # of an archived recording: this run knows no assets, and so no checks of any
    for check in outcome.checks:
        context.log_event(evaluation(check, recording.id))


def _observation(stage: Stage, recording: Recording, error: PlayheadError) -> dg.AssetObservation:
    """Why a partition is not made, where a person looks for it: among the partition's events."""
    return dg.AssetObservation(
        stage,
        partition=recording.id,
        description=str(error),
        metadata={
            "title": recording.title,
            "error": type(error).__name__,
            "remedy": error.remedy,
            "replay": f"playhead retry {recording.id}",
        },
    )


def _lineage(outcome: Outcome) -> dict[str, dg.MetadataValue]:
    result = outcome.result
    return {
        "unchanged": dg.MetadataValue.bool(outcome.unchanged),
        "seconds": dg.MetadataValue.float(round(result.seconds, 3)),
        "cost_usd": dg.MetadataValue.float(result.cost_usd),
        "result": dg.MetadataValue.int(result.id),
        "attempt": dg.MetadataValue.int(result.attempt),
        "made_by_run": made_by(result.run_id),
        "made_from": dg.MetadataValue.json(dict(result.inputs)),
        "recipe": dg.MetadataValue.json(dict(result.recipe)),
    }


def _failure(failures: list[tuple[Recording, PlayheadError]]) -> dg.Failure:
    """Fails the step; worth another try when any of the errors is. Recordings share this text, so
    no word of theirs is in it: what an error says in full stands with the partition, and goes with
    the recording when that is forgotten."""
    lines = [
        f"- `{recording.id}`: {type(error).__name__}. {error.remedy}"
        for recording, error in failures
    ]
    return dg.Failure(
        f"{len(failures)} recording(s) failed, the others are done. {lines[0]}",
        metadata={"failed": dg.MetadataValue.md("\n".join(lines))},
        allow_retries=any(error.retryable for _, error in failures),
    )
