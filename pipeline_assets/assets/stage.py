"""Shared code of the five stages: tasks, claims, progress and outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import dagster as dg

from pipeline_assets.assets.checks import Check
from pipeline_assets.partitions import recordings_partitions
from pipeline_assets.policies import GROUP, OWNERS
from playhead.core.call_context import CallContext, call_context
from playhead.core.errors import (
    ClaimLost,
    ConfigurationError,
    Parked,
    PlayheadError,
    TransientError,
    WorkerStopping,
)
from playhead.core.records import Engine, Json, Recipe, Recording, Stage, content_hash
from playhead.postgres.pipeline.stage_results import (
    NO_SET,
    Claim,
    CurrentResults,
    Result,
    ResultKey,
)
from playhead.services.context import EmbeddingTarget, PipelineServices

Metadata = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunAttempt:
    """One attempt of a Dagster run. ``is_final``: a failure in this attempt is final."""

    run_id: str
    is_final: bool
    log: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StageResult:
    """The result of a stage for a recording.

    ``unchanged``: the result existed already; its metadata and checks were reported when it was
    created.
    """

    result: Result
    unchanged: bool
    metadata: Metadata = field(default_factory=dict)
    checks: tuple[Check, ...] = ()


@dataclass(slots=True)
class RecordingContext:
    """A recording that a run is processing.

    ``targets``: the embedding sets it is embedded for, the active one first. ``current_results``:
    its current results, as far as this run knows; updated as stages finish. ``batch``: provider
    calls for it may wait for a batch.
    """

    services: PipelineServices
    recording: Recording
    attempt: RunAttempt
    targets: Sequence[EmbeddingTarget]
    current_results: CurrentResults
    batch: bool = False

    def upstream(self, stage: Stage, set_id: int = 0) -> Result:
        """Return the current result of an earlier stage.

        Raises ``MissingUpstream`` if there is none.
        """
        if result := self.current_results.get((stage, set_id)):
            return result
        raise MissingUpstream(
            f"The recording has no {stage} yet.",
            remedy=f"Materialize {stage} first: playhead process {self.recording.id}",
        )


@dataclass(frozen=True, slots=True)
class StageTask:
    """A result to create for a recording.

    ``targets``: the embedding sets it is created for; empty for stages without sets.
    """

    context: RecordingContext
    recipe: Recipe
    inputs: Json
    targets: Sequence[EmbeddingTarget] = ()

    @property
    def sets(self) -> tuple[int, ...]:
        return tuple(target.embedding_set.id for target in self.targets) or NO_SET

    @property
    def key(self) -> ResultKey:
        return ResultKey(self.context.recording, self.recipe, self.inputs, self.sets)

    @property
    def current(self) -> Result | None:
        """Return the result that is already current for all sets, or None.

        It must have been created by this recipe from these inputs.
        """
        results = [
            self.context.current_results.get((self.recipe.stage, set_id)) for set_id in self.sets
        ]
        result = results[0]
        if result is None or any(other != result for other in results):
            return None
        made_from = result.recipe_hash, result.input_hash
        return result if made_from == (self.recipe.hash, content_hash(self.inputs)) else None

    @property
    def is_user_visible(self) -> bool:
        """Return True if users notice that the result is missing."""
        return not self.targets or any(target.active for target in self.targets)

    def unchanged(self, result: Result) -> StageResult:
        self._remember(result)
        return StageResult(result, unchanged=True)

    def created(self, result: Result, metadata: Metadata, checks: tuple[Check, ...]) -> StageResult:
        self._remember(result)
        return StageResult(result, unchanged=False, metadata=metadata, checks=checks)

    def _remember(self, result: Result) -> None:
        for set_id in self.sets:
            self.context.current_results[self.recipe.stage, set_id] = result


#: The outcome of a stage for a recording. An error has been stored by then.
StageOutcome = StageResult | PlayheadError


def stage_spec(
    stage: Stage, *, after: tuple[Stage, ...], code_version: str, kinds: set[str], description: str
) -> dg.AssetSpec:
    """Return the Dagster asset spec of a stage.

    It is partitioned by recording, and skippable because one recording may fail alone in a shared
    run.
    """
    return dg.AssetSpec(
        stage,
        deps=list(after),
        skippable=True,
        code_version=code_version,
        kinds=kinds,
        group_name=GROUP,
        owners=OWNERS,
        description=description,
        partitions_def=recordings_partitions,
    )


@contextmanager
def claim_task(task: StageTask, *, detail: str) -> Iterator[Claim]:
    """Claim the task's result and run the block in the recording's call context.

    Provider calls in the block are charged to the recording. An error is stored with the result; it
    is final if it is not retryable or this is the last attempt, and users notice that the result is
    missing. ``Parked`` returns the claim.
    """
    attempt, results = task.context.attempt, task.context.services.pipeline.results
    if current := task.current:
        yield Claim(current.id, task.key, current.attempt, current)
        return
    final = attempt.is_final and task.is_user_visible
    with results.claim(task.key, run_id=attempt.run_id, detail=detail) as claim:
        try:
            with call_context(call_context_for([task])):
                yield claim
        except (WorkerStopping, ClaimLost):
            raise
        except Parked as parked:
            results.park(claim, parked)
            raise
        except PlayheadError as error:
            permanent = not error.retryable and task.is_user_visible
            results.fail(claim, error, final=final or permanent)
            raise
        except Exception as error:
            unexpected = UnexpectedError.of(error, task.context.recording)
            results.fail(claim, unexpected, final=final)
            raise unexpected from error


def call_context_for(tasks: Sequence[StageTask]) -> CallContext:
    """Return the call context of tasks that run together.

    All recordings belong to one organisation and get equal shares of the cost.
    """
    recordings = [task.context.recording for task in tasks]
    weights = dict.fromkeys([recording.id for recording in recordings], 1.0)
    batch = tasks[0].context.batch
    return CallContext(recordings[0].org_id, tasks[0].recipe.stage, weights, batch)


def capture_error(make: Callable[..., T], *args: Any) -> T | PlayheadError:
    """Call ``make`` and return its value, or the ``PlayheadError`` that it raised.

    Raises ``WorkerStopping``.
    """
    try:
        return make(*args)
    except WorkerStopping:
        raise
    except PlayheadError as error:
        return error


def format_engine(engine: Engine) -> str:
    return f"{engine.name} {engine.model}"


class MissingUpstream(ConfigurationError):
    """A stage was requested before the stage it depends on has a result."""


class UnexpectedError(TransientError):
    """An exception that is not a ``PlayheadError``; its type is named in the message."""

    @classmethod
    def of(cls, error: Exception, recording: Recording) -> UnexpectedError:
        return cls(
            f"{type(error).__name__}: {error}",
            remedy=f"See the run's log for details. To retry: playhead retry {recording.id}",
        )
