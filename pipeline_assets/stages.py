"""What the five stages share: how a stage asks the ledger, tells of its progress, and reports.

Not here: what a stage makes (a file each beside this one) and how Dagster runs them
(``recordings.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import dagster as dg

from pipeline_assets.checks import Check
from pipeline_assets.partitions import recordings_partitions
from pipeline_assets.policies import GROUP, OWNERS
from resources.errors import ConfigurationError, PlayheadError, Stopped, TransientError
from resources.postgres.ledger import Claim, Result
from resources.records import Engine, Recipe, Recording, Stage
from resources.workbench import Workbench

Metadata = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One try of one Dagster run at its recordings. ``last``: a failure now is final."""

    run_id: str
    last: bool
    log: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stage has to show for a recording: found, or made under this claim."""

    claim: Claim
    result: Result
    metadata: Metadata
    checks: tuple[Check, ...]

    @property
    def unchanged(self) -> bool:
        """It was there already."""
        return self.claim.done is not None


class MakeStage(Protocol):
    """A stage at work. Raises ``PlayheadError``; the ledger has the reason by then."""

    def __call__(self, bench: Workbench, recording: Recording, turn: Turn) -> Outcome: ...


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
    bench: Workbench,
    recording: Recording,
    recipe: Recipe,
    inputs: Mapping[str, Any],
    turn: Turn,
    *,
    detail: str,
) -> Iterator[Claim]:
    """The ledger's claim, with any failure inside it stored for a person: final at once when
    another try cannot help or when this was the last one."""
    with bench.ledger.claim(recording, recipe, inputs, run_id=turn.run_id, detail=detail) as claim:
        try:
            yield claim
        except Stopped:
            raise
        except PlayheadError as error:
            bench.ledger.fail(claim, error, final=turn.last or not error.retryable)
            raise
        except Exception as error:
            unforeseen = Unforeseen.of(error, recording)
            bench.ledger.fail(claim, unforeseen, final=turn.last)
            raise unforeseen from error


def upstream(bench: Workbench, recording: Recording, stage: Stage) -> Result:
    """The current result of an earlier stage. Raises ``MissingUpstream``."""
    if result := bench.ledger.current(recording, stage):
        return result
    raise MissingUpstream(
        f"{recording.title}: there is no {stage} yet.",
        remedy=f"Materialise {stage} first: playhead process {recording.id}",
    )


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
