"""What the five stages share: how a stage asks the ledger, tells of its progress, and reports.

Not here: what a stage makes (a file each beside this one) and how Dagster runs them
(``recordings.py``).
"""

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
    """One try of one Dagster run at its recordings. ``last``: a failure now is final."""

    run_id: str
    is_final: bool
    log: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage has to show for a recording. ``unchanged``: it was there already, and what
    there is to tell of it was told when it was made."""

    result: Result
    unchanged: bool
    metadata: Metadata = field(default_factory=dict)
    checks: tuple[Check, ...] = ()


@dataclass(slots=True)
class RecordingContext:
    """A recording in a run's hands. ``lanes``: the sets it is embedded for, the active one first;
    ``standing``: its current results, as far as this run knows; ``patient``: calls for it may
    wait for a batch."""

    services: PipelineServices
    recording: Recording
    attempt: RunAttempt
    targets: Sequence[EmbeddingTarget]
    current_results: CurrentResults
    batch: bool = False

    def upstream(self, stage: Stage, set_id: int = 0) -> Result:
        """The current result of an earlier stage. Raises ``MissingUpstream``."""
        if result := self.current_results.get((stage, set_id)):
            return result
        raise MissingUpstream(
            f"There is no {stage} yet.",
            remedy=f"Materialise {stage} first: playhead process {self.recording.id}",
        )


@dataclass(frozen=True, slots=True)
class StageTask:
    """A result to be made for a recording, for the sets of ``lanes`` where its stage has any."""

    context: RecordingContext
    recipe: Recipe
    inputs: Json
    targets: Sequence[EmbeddingTarget] = ()

    @property
    def sets(self) -> tuple[int, ...]:
        return tuple(lane.embedding_set.id for lane in self.targets) or NO_SET

    @property
    def key(self) -> ResultKey:
        return ResultKey(self.context.recording, self.recipe, self.inputs, self.sets)

    @property
    def current(self) -> Result | None:
        """The result that is current for all the sets already, made by this recipe from these
        inputs."""
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
        """Whether people miss the result while it is not there."""
        return not self.targets or any(lane.active for lane in self.targets)

    def unchanged(self, result: Result) -> StageResult:
        self._remember(result)
        return StageResult(result, unchanged=True)

    def created(self, result: Result, metadata: Metadata, checks: tuple[Check, ...]) -> StageResult:
        self._remember(result)
        return StageResult(result, unchanged=False, metadata=metadata, checks=checks)

    def _remember(self, result: Result) -> None:
        for set_id in self.sets:
            self.context.current_results[self.recipe.stage, set_id] = result


#: What became of a stage of a recording. The ledger has an error's reason by then.
StageOutcome = StageResult | PlayheadError


def stage_spec(
    stage: Stage, *, after: tuple[Stage, ...], code_version: str, kinds: set[str], description: str
) -> dg.AssetSpec:
    """The Dagster face of a stage: partitioned by recording, skippable since a recording may
    fail alone inside a shared run."""
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
    """The ledger's claim; calls to providers inside are the recording's. A failure inside is stored
    for a person: final when another try cannot help or this was the last one, and the result is
    missed. What is parked is given back."""
    turn, ledger = task.context.attempt, task.context.services.pipeline.results
    if standing := task.current:
        yield Claim(standing.id, task.key, standing.attempt, standing)
        return
    final = turn.is_final and task.is_user_visible
    with ledger.claim(task.key, run_id=turn.run_id, detail=detail) as claim:
        try:
            with call_context(call_context_for([task])):
                yield claim
        except (WorkerStopping, ClaimLost):
            raise
        except Parked as parked:
            ledger.park(claim, parked)
            raise
        except PlayheadError as error:
            hopeless = not error.retryable and task.is_user_visible
            ledger.fail(claim, error, final=final or hopeless)
            raise
        except Exception as error:
            unforeseen = UnexpectedError.of(error, task.context.recording)
            ledger.fail(claim, unforeseen, final=final)
            raise unforeseen from error


def call_context_for(tasks: Sequence[StageTask]) -> CallContext:
    """Of recordings of one organisation that a result is made for together, in equal shares."""
    recordings = [task.context.recording for task in tasks]
    weights = dict.fromkeys([recording.id for recording in recordings], 1.0)
    patient = tasks[0].context.batch
    return CallContext(recordings[0].org_id, tasks[0].recipe.stage, weights, patient)


def capture_error(make: Callable[..., T], *given: Any) -> T | PlayheadError:
    """What it gives, or its error. Raises ``Stopped``."""
    try:
        return make(*given)
    except WorkerStopping:
        raise
    except PlayheadError as error:
        return error


def format_engine(engine: Engine) -> str:
    return f"{engine.name} {engine.model}"


class MissingUpstream(ConfigurationError):
    """A stage was asked for before the one it is made from."""


class UnexpectedError(TransientError):
    """An error nobody gave a class of its own; its name is in the message."""

    @classmethod
    def of(cls, error: Exception, recording: Recording) -> UnexpectedError:
        return cls(
            f"{type(error).__name__}: {error}",
            remedy=f"The run's log has the details. To try again: playhead retry {recording.id}",
        )
