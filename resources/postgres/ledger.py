"""The ledger: who makes which result from what, once.

A result is named by (recording, stage, input hash, recipe hash). ``claim`` either finds it
done or makes this process its only worker: the claim is an advisory lock, so it ends with
the worker however that dies, and every write carries the attempt's number, so a worker that
was thought dead and comes back writes nothing.

Not here: the content of results (``content.py``), what to do next (``catalogue.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from resources.errors import ClaimLost, PlayheadError
from resources.postgres.database import Connection, Database, queries, storable, unavailable
from resources.records import Recipe, Recording, Stage, Usage, content_hash

#: A worker that dies this often over one result is being killed by it. High enough that ten
#: unlucky kills of a healthy recording are survived.
MAX_ATTEMPTS = 12

#: Runs asked for in a row that brought a recording no further, over about half an hour.
MAX_REQUESTS = 6

_SQL = queries("ledger")


@dataclass(frozen=True, slots=True)
class Result:
    """A ledger row that is done."""

    id: int
    stage: Stage
    output_hash: str
    recipe_hash: str
    run_id: str
    attempt: int
    seconds: float
    tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make one result. ``done`` is set when there is nothing left to make."""

    id: int
    recording: Recording
    recipe: Recipe
    inputs: Mapping[str, Any]
    attempt: int
    done: Result | None = None

    @property
    def stage(self) -> Stage:
        return self.recipe.stage


class Ledger:
    """One worker's view of the ledger; holds at most one claim at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock_connection: psycopg.Connection[DictRow] | None = None
        self._run_id: str | None = None

    def attend(self, run_id: str) -> None:
        """Until ``close`` or this process's end, ``unattended`` knows that the run has a worker."""
        self._run_id = run_id
        self._lock_session()

    def unattended(self, run_ids: Sequence[str]) -> list[str]:
        """Those of the runs that no living worker attends."""
        rows = self._database.rows(_SQL["unattended"], run_ids=list(run_ids))
        return [row["run_id"] for row in rows]

    @contextmanager
    def claim(
        self,
        recording: Recording,
        recipe: Recipe,
        inputs: Mapping[str, Any],
        *,
        run_id: str,
        detail: str,
    ) -> Iterator[Claim]:
        """Find the result done, or wait until no other worker makes it and take it over.
        ``inputs`` names what it is made from: output hashes of earlier stages by their names,
        and whatever else goes in. Leaving without ``finish`` or ``fail`` leaves the row to the
        next worker."""
        row = self._remember(recording, recipe, inputs)
        if row["state"] == "done":
            found = self._found(row)
            yield Claim(found.id, recording, recipe, inputs, found.attempt, found)
            return
        with self._lock(row["id"]) as connection:
            values = {"id": row["id"], "run_id": run_id, "detail": detail}
            started = connection.execute(_SQL["start"], values).fetchone()
            if started is None:  # another worker finished it while this one waited
                found = self._found(self._find(row))
                yield Claim(found.id, recording, recipe, inputs, found.attempt, found)
            else:
                yield Claim(row["id"], recording, recipe, inputs, started["attempt"])

    def progress(self, claim: Claim, percent: int, detail: str) -> None:
        self._database.run(
            _SQL["progress"], id=claim.id, attempt=claim.attempt, percent=percent, detail=detail
        )

    @contextmanager
    def finish(
        self, claim: Claim, *, output_hash: str, usage: Usage
    ) -> Iterator[tuple[Connection, Result]]:
        """Within one transaction: the body writes the content with the connection and for the
        result it is given, then the row is done and current. Raises ``ClaimLost`` when a newer
        attempt owns the row; then nothing is written."""
        with self._database.transaction() as connection:
            row = connection.execute(
                _SQL["finish"],
                {
                    "id": claim.id,
                    "attempt": claim.attempt,
                    "output_hash": output_hash,
                    "tokens": usage.tokens,
                    "cost_usd": usage.cost_usd,
                },
            ).fetchone()
            if row is None:
                raise _lost(claim)
            yield connection, _result(row)
            self._make_current(connection, row)
            connection.execute(_SQL["rest"], row)

    def supersede(self, connection: Connection, claim: Claim) -> None:
        """Other results of this recording, stage and engine no longer have their content: what
        is kept by delta has only its newest state, whichever code version made it."""
        connection.execute(
            _SQL["supersede"],
            {
                "id": claim.id,
                "org_id": claim.recording.org_id,
                "recording_id": claim.recording.id,
                "stage": claim.stage,
                "recipe": Jsonb(claim.recipe.as_json),
            },
        )

    def fail(self, claim: Claim, error: PlayheadError, *, final: bool) -> None:
        """Store the reason. ``final``: no further try will be made, so a dead letter is written
        for a person. A lost claim is left alone."""
        values = {
            "id": claim.id,
            "attempt": claim.attempt,
            "error": Jsonb(storable(_as_json(error))),
        }
        with self._database.transaction() as connection:
            if connection.execute(_SQL["fail"], values).fetchone() and final:
                connection.execute(_SQL["bury"], {"id": claim.id})

    def bury_lost(self) -> int:
        """Dead letters for results whose workers died ``MAX_ATTEMPTS`` times; how many."""
        lost = self._database.rows(_SQL["lost"], attempts=MAX_ATTEMPTS)
        for row in lost:
            error = {
                "class": "WorkerDied",
                "message": f"The worker died {row['attempt']} times at {row['stage']}.",
                "remedy": f"Look at the memory there, then: playhead retry {row['recording_id']}",
            }
            values = {"id": row["id"], "attempt": row["attempt"], "error": Jsonb(error)}
            with self._database.transaction() as connection:
                if connection.execute(_SQL["fail"], values).fetchone():
                    connection.execute(_SQL["bury"], {"id": row["id"]})
        return len(lost)

    def bury_stuck(self, ids: Sequence[str], *, run_id: str, message: str) -> int:
        """Dead letters for those of a failed run's recordings that ``MAX_REQUESTS`` runs in a
        row brought no further; how many."""
        return self._database.run(
            _SQL["bury_stuck"], ids=list(ids), requests=MAX_REQUESTS, run_id=run_id, message=message
        )

    def current(self, recording: Recording, stage: Stage) -> Result | None:
        """The result that readers of this stage see."""
        row = self._database.row(
            _SQL["current"], org_id=recording.org_id, recording_id=recording.id, stage=stage
        )
        return _result(row) if row else None

    def lineage(self, recording: Recording) -> list[DictRow]:
        """What made each current result, in the order they were made: inputs, recipe, run,
        attempt, times, cost."""
        return self._database.rows(
            _SQL["lineage"], org_id=recording.org_id, recording_id=recording.id
        )

    def close(self) -> None:
        if self._lock_connection is not None:
            self._lock_connection.close()

    def _remember(self, recording: Recording, recipe: Recipe, inputs: Mapping[str, Any]) -> DictRow:
        key = {
            "org_id": recording.org_id,
            "recording_id": recording.id,
            "stage": recipe.stage,
            "input_hash": content_hash(inputs),
            "recipe_hash": recipe.hash,
        }
        if found := self._database.row(_SQL["find"], **key):
            return found
        values = key | {"inputs": Jsonb(dict(inputs)), "recipe": Jsonb(recipe.as_json)}
        self._database.run(_SQL["remember"], **values)
        return self._find(key)

    def _find(self, key: Mapping[str, Any]) -> DictRow:
        row = self._database.row(_SQL["find"], **key)
        assert row is not None, "a ledger row is only ever deleted with its recording"
        return row

    def _found(self, row: DictRow) -> Result:
        with self._database.transaction() as connection:
            self._make_current(connection, row)
        return _result(row)

    def _make_current(self, connection: Connection, row: DictRow) -> None:
        connection.execute(_SQL["point"], row)
        connection.execute(_SQL["resolve"], row)

    @contextmanager
    def _lock(self, result_id: int) -> Iterator[psycopg.Connection[DictRow]]:
        connection = self._lock_session()
        try:
            connection.execute(_SQL["lock"], {"id": result_id})
        except psycopg.OperationalError as error:
            raise unavailable(error) from error
        try:
            yield connection
        finally:
            with suppress(psycopg.OperationalError):  # a lost session has lost its lock already
                connection.execute(_SQL["unlock"], {"id": result_id})

    def _lock_session(self) -> psycopg.Connection[DictRow]:
        """A session of its own, since the pool may hand a connection to somebody else."""
        if self._lock_connection is not None:
            with suppress(psycopg.OperationalError):
                ConnectionPool.check_connection(self._lock_connection)
                return self._lock_connection
        try:
            self._lock_connection = psycopg.connect(
                self._database.url, autocommit=True, row_factory=dict_row
            )
            if self._run_id is not None:
                self._lock_connection.execute(_SQL["attend"], {"run_id": self._run_id})
        except psycopg.OperationalError as error:
            raise unavailable(error) from error
        return self._lock_connection


def _result(row: DictRow) -> Result:
    return Result(
        id=row["id"],
        stage=row["stage"],
        output_hash=row["output_hash"],
        recipe_hash=row["recipe_hash"],
        run_id=row["run_id"],
        attempt=row["attempt"],
        seconds=(row["finished_at"] - row["started_at"]).total_seconds(),
        tokens=row["tokens"],
        cost_usd=float(row["cost_usd"]),
    )


def _as_json(error: PlayheadError) -> dict[str, Any]:
    return {"class": type(error).__name__, "message": str(error), "remedy": error.remedy}


def _lost(claim: Claim) -> ClaimLost:
    return ClaimLost(
        f"Attempt {claim.attempt} at {claim.stage} of {claim.recording.id} was taken over.",
        remedy="Nothing to do: the newer attempt goes on.",
    )
