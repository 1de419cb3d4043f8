"""What the five stages share: how a stage asks the ledger, tells of its progress, and reports.

Not here: what a stage makes (a file each beside this one) and how Dagster runs them
(``recordings.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import dagster as dg

from pipeline_assets.checks import Check
from pipeline_assets.partitions import recordings_partitions
from pipeline_assets.policies import GROUP, OWNERS
from resources.errors import (
    ClaimLost,
    ConfigurationError,
    PlayheadError,
    Stopped,
    TransientError,
)
from resources.postgres.ledger import NO_SET, Claim, Result, Standing
from resources.records import Engine, Json, Recipe, Recording, Stage, content_hash
from resources.workbench import Lane, Workbench

Metadata = dict[str, Any]


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
    ``standing``: its current results, as far as this run knows."""

    bench: Workbench
    recording: Recording
    turn: Turn
    lanes: Sequence[Lane]
    standing: Standing

    def upstream(self, stage: Stage, set_id: int = 0) -> Result:
        """The current result of an earlier stage. Raises ``MissingUpstream``."""
        if result := self.standing.get((stage, set_id)):
            return result
        raise MissingUpstream(
            f"There is no {stage} yet.",
            remedy=f"Materialise {stage} first: playhead process {self.recording.id}",
        )

    def found(self, claim: Claim, result: Result) -> Outcome:
        self._keep(claim, result)
        return Outcome(result, unchanged=True)

    def made(
        self, claim: Claim, result: Result, metadata: Metadata, checks: tuple[Check, ...]
    ) -> Outcome:
        self._keep(claim, result)
        return Outcome(result, unchanged=False, metadata=metadata, checks=checks)

    def _keep(self, claim: Claim, result: Result) -> None:
        for set_id in claim.sets:
            self.standing[claim.stage, set_id] = result


class MakeStage(Protocol):
    """A stage at work. Raises ``PlayheadError``; the ledger has the reason by then."""

    def __call__(self, work: Work) -> Outcome: ...


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
def claimed(
    work: Work,
    recipe: Recipe,
    inputs: Json,
    *,
    detail: str,
    lanes: Sequence[Lane] = (),
) -> Iterator[Claim]:
    """The ledger's claim, for the sets of ``lanes`` where the stage has any. A failure inside is
    stored for a person: final when another try cannot help or this was the last one, and the
    set is searched."""
    sets = [lane.set.id for lane in lanes] or list(NO_SET)
    if standing := _standing(work, recipe, inputs, sets):
        yield Claim(standing.id, work.recording, recipe, inputs, sets, standing.attempt, standing)
        return
    ledger, run_id = work.bench.ledger, work.turn.run_id
    final = work.turn.last and _searched(lanes)
    with ledger.claim(
        work.recording, recipe, inputs, run_id=run_id, detail=detail, sets=sets
    ) as claim:
        try:
            yield claim
        except (Stopped, ClaimLost):
            raise
        except PlayheadError as error:
            hopeless = not error.retryable and _searched(lanes)
            ledger.fail(claim, error, final=final or hopeless)
            raise
        except Exception as error:
            unforeseen = Unforeseen.of(error, work.recording)
            ledger.fail(claim, unforeseen, final=final)
            raise unforeseen from error


def in_every_lane(
    work: Work, lanes: Sequence[Sequence[Lane]], make: Callable[[Sequence[Lane]], Outcome]
) -> Outcome:
    """``make`` for each group of lanes, the active set's first; its outcome. What fails for a set
    that nobody searches yet is kept in the ledger and does not stop the recording."""
    first, *others = lanes
    outcome = make(first)
    for group in others:
        try:
            make(group)
        except Stopped:
            raise
        except PlayheadError as error:
            names = ", ".join(f"set {lane.set.id}" for lane in group)
            work.turn.log(f"{work.recording.id}, {names}: {error} {error.remedy}")
    return outcome


def _standing(work: Work, recipe: Recipe, inputs: Json, sets: Sequence[int]) -> Result | None:
    """The result that is current for all the sets already, made by this recipe from these
    inputs."""
    result, *others = [work.standing.get((recipe.stage, set_id)) for set_id in sets]
    if result is None or any(other != result for other in others):
        return None
    same = result.recipe_hash == recipe.hash and result.input_hash == content_hash(inputs)
    return result if same else None


def _searched(lanes: Sequence[Lane]) -> bool:
    return not lanes or any(lane.active for lane in lanes)


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
