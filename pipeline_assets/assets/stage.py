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
from playhead.postgres.pipeline.stage_results import NO_SET, Claim, Result, Standing, Wanted
from playhead.services.context import EmbeddingTarget, PipelineServices

Metadata = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Turn:
    """One try of one Dagster run at its recordings. ``last``: a failure now is final."""

    run_id: str
    last: bool
    log: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stage has to show for a recording. ``unchanged``: it was there already, and what
    there is to tell of it was told when it was made."""

    result: Result
    unchanged: bool
    metadata: Metadata = field(default_factory=dict)
    checks: tuple[Check, ...] = ()


@dataclass(slots=True)
class Work:
    """A recording in a run's hands. ``lanes``: the sets it is embedded for, the active one first;
    ``standing``: its current results, as far as this run knows; ``patient``: calls for it may
    wait for a batch."""

    services: PipelineServices
    recording: Recording
    turn: Turn
    lanes: Sequence[EmbeddingTarget]
    standing: Standing
    patient: bool = False

    def upstream(self, stage: Stage, set_id: int = 0) -> Result:
        """The current result of an earlier stage. Raises ``MissingUpstream``."""
        if result := self.standing.get((stage, set_id)):
            return result
        raise MissingUpstream(
            f"There is no {stage} yet.",
            remedy=f"Materialise {stage} first: playhead process {self.recording.id}",
        )


@dataclass(frozen=True, slots=True)
class Task:
    """A result to be made for a recording, for the sets of ``lanes`` where its stage has any."""

    work: Work
    recipe: Recipe
    inputs: Json
    lanes: Sequence[EmbeddingTarget] = ()

    @property
    def sets(self) -> tuple[int, ...]:
        return tuple(lane.embedding_set.id for lane in self.lanes) or NO_SET

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.work.recording, self.recipe, self.inputs, self.sets)

    @property
    def standing(self) -> Result | None:
        """The result that is current for all the sets already, made by this recipe from these
        inputs."""
        results = [self.work.standing.get((self.recipe.stage, set_id)) for set_id in self.sets]
        result = results[0]
        if result is None or any(other != result for other in results):
            return None
        made_from = result.recipe_hash, result.input_hash
        return result if made_from == (self.recipe.hash, content_hash(self.inputs)) else None

    @property
    def searched(self) -> bool:
        """Whether people miss the result while it is not there."""
        return not self.lanes or any(lane.active for lane in self.lanes)

    def found(self, result: Result) -> Outcome:
        self._keep(result)
        return Outcome(result, unchanged=True)

    def made(self, result: Result, metadata: Metadata, checks: tuple[Check, ...]) -> Outcome:
        self._keep(result)
        return Outcome(result, unchanged=False, metadata=metadata, checks=checks)

    def _keep(self, result: Result) -> None:
        for set_id in self.sets:
            self.work.standing[self.recipe.stage, set_id] = result


#: What became of a stage of a recording. The ledger has an error's reason by then.
Made = Outcome | PlayheadError


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
def claimed(task: Task, *, detail: str) -> Iterator[Claim]:
    """The ledger's claim; calls to providers inside are the recording's. A failure inside is stored
    for a person: final when another try cannot help or this was the last one, and the result is
    missed. What is parked is given back."""
    turn, ledger = task.work.turn, task.work.services.pipeline.results
    if standing := task.standing:
        yield Claim(standing.id, task.wanted, standing.attempt, standing)
        return
    final = turn.last and task.searched
    with ledger.claim(task.wanted, run_id=turn.run_id, detail=detail) as claim:
        try:
            with call_context(errand_for([task])):
                yield claim
        except (WorkerStopping, ClaimLost):
            raise
        except Parked as parked:
            ledger.park(claim, parked)
            raise
        except PlayheadError as error:
            hopeless = not error.retryable and task.searched
            ledger.fail(claim, error, final=final or hopeless)
            raise
        except Exception as error:
            unforeseen = Unforeseen.of(error, task.work.recording)
            ledger.fail(claim, unforeseen, final=final)
            raise unforeseen from error


def errand_for(tasks: Sequence[Task]) -> CallContext:
    """Of recordings of one organisation that a result is made for together, in equal shares."""
    recordings = [task.work.recording for task in tasks]
    weights = dict.fromkeys([recording.id for recording in recordings], 1.0)
    patient = tasks[0].work.patient
    return CallContext(recordings[0].org_id, tasks[0].recipe.stage, weights, patient)


def caught(make: Callable[..., T], *given: Any) -> T | PlayheadError:
    """What it gives, or its error. Raises ``Stopped``."""
    try:
        return make(*given)
    except WorkerStopping:
        raise
    except PlayheadError as error:
        return error


def engine_line(engine: Engine) -> str:
    return f"{engine.name} {engine.model}"


class MissingUpstream(ConfigurationError):
    """A stage was asked for before the one it is made from."""


class Unforeseen(TransientError):
    """An error nobody gave a class of its own; its name is in the message."""

    @classmethod
    def of(cls, error: Exception, recording: Recording) -> Unforeseen:
        return cls(
            f"{type(error).__name__}: {error}",
            remedy=f"The run's log has the details. To try again: playhead retry {recording.id}",
        )
