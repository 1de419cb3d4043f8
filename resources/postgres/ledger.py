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

from resources.errors import ClaimLost, Forgotten, PlayheadError
from resources.postgres.database import Connection, Database, check, queries, storable, unavailable
from resources.records import Json, Recipe, Recording, Stage, Usage, content_hash

#: A worker that dies this often over one result is being killed by it. High enough that ten
#: unlucky kills of a healthy recording are survived.
MAX_ATTEMPTS = 12

#: Runs asked for in a row that brought a recording no further, over about half an hour.
MAX_REQUESTS = 6

_SQL = queries("ledger")


@dataclass(frozen=True, slots=True)
class Result:
    """A ledger row that is done. ``chosen_by``: who put it in place, if it was a person."""

    id: int
    stage: Stage
    output_hash: str
    recipe: Json
    recipe_hash: str
    inputs: Json
    input_hash: str
    run_id: str
    attempt: int
    seconds: float
    tokens: int
    cost_usd: float
    chosen_by: str | None = None


#: The current results of one recording, by stage and set.
Standing = dict[tuple[Stage, int], Result]

#: The sets of results that belong to none: media, transcripts, documents.
NO_SET = (0,)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make one result, current for ``sets``. ``done`` is set when there is nothing
    left to make."""

    id: int
    recording: Recording
    recipe: Recipe
    inputs: Mapping[str, Any]
    sets: Sequence[int]
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

    @contextmanager
    def claim(
        self,
        recording: Recording,
        recipe: Recipe,
        inputs: Mapping[str, Any],
        *,
        run_id: str,
        detail: str,
        sets: Sequence[int] = NO_SET,
    ) -> Iterator[Claim]:
        """Find the result done, or wait until no other worker makes it and take it over.
        ``inputs`` names what it is made from: output hashes of earlier stages by their names,
        and whatever else goes in. Found or made, it becomes current for ``sets``. Leaving
        without ``finish`` or ``fail`` leaves the row to the next worker."""
        connection = self._lock_session()
        try:
            row = self._begin(connection, recording, recipe, inputs, run_id, detail)
        except psycopg.errors.ForeignKeyViolation:
            raise Forgotten from None
        except psycopg.OperationalError as error:
            raise unavailable(error) from error
        if row["state"] == "done":
            found = self._found(row, sets)
            yield Claim(found.id, recording, recipe, inputs, sets, found.attempt, found)
            return
        try:
            yield Claim(row["id"], recording, recipe, inputs, sets, row["attempt"])
        finally:
            with suppress(psycopg.OperationalError):  # a lost session has lost its lock already
                connection.execute(_SQL["unlock"], {"id": row["id"]})

    def progress(self, claim: Claim, percent: int, detail: str) -> None:
        """Raises ``ClaimLost`` when there is nothing to go on for."""
        values = {"id": claim.id, "attempt": claim.attempt, "percent": percent, "detail": detail}
        try:
            going_on = self._lock_session().execute(_SQL["progress"], values).rowcount
        except psycopg.OperationalError:  # what matters is said by finish
            return
        if not going_on:
            raise self._lost(claim)

    @contextmanager
    def finish(
        self, claim: Claim, *, output_hash: str, usage: Usage, by_whom: str | None = None
    ) -> Iterator[tuple[Connection, Result]]:
        """Within one transaction: the body writes the content with the connection and for the
        result it is given, then the row is done and current; ``by_whom``, when a person puts it
        in place. Raises ``ClaimLost`` when a newer attempt owns the row; then nothing is
        written."""
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
                raise self._lost(claim)
            yield connection, _result(row)
            _make_current(connection, row["id"], claim.sets, by_whom, progressed=True)

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

    def standing(self, recordings: Sequence[Recording]) -> dict[str, Standing]:
        """The results that readers of each stage and set see, by recording id."""
        rows = self._database.rows(
            _SQL["standing"],
            org_ids=[recording.org_id for recording in recordings],
            ids=[recording.id for recording in recordings],
        )
        found: dict[str, Standing] = {recording.id: {} for recording in recordings}
        for row in rows:
            found[str(row["recording_id"])][row["stage"], row["set_id"]] = _result(row)
        return found

    def choose(self, recording: Recording, result_id: int, by_whom: str | None) -> None:
        """A person puts an earlier result in place; None hands the choice back to the
        pipeline."""
        with self._database.transaction() as connection:
            _make_current(connection, result_id, NO_SET, by_whom, progressed=True)

    @contextmanager
    def texts_locked(self, org_id: str, set_id: int, hashes: Sequence[str]) -> Iterator[None]:
        """Nobody else embeds these texts for the set meanwhile. Locked in the order of their
        keys, so that two workers never wait for each other."""
        connection = self._lock_session()
        values = {"org_id": org_id, "set_id": set_id, "hashes": list(hashes)}
        try:
            connection.execute(_SQL["lock_texts"], values)
        except psycopg.OperationalError as error:
            raise unavailable(error) from error
        try:
            yield
        finally:
            with suppress(psycopg.OperationalError):  # a lost session has lost its locks already
                connection.execute(_SQL["unlock_texts"], values)

    def lineage(self, recording: Recording) -> list[DictRow]:
        """What made each current result, in the order they were made: inputs, recipe, run,
        attempt, times, cost."""
        return self._database.rows(
            _SQL["lineage"], org_id=recording.org_id, recording_id=recording.id
        )

    def close(self) -> None:
        if self._lock_connection is not None:
            self._lock_connection.close()

    def _begin(
        self,
        connection: psycopg.Connection[DictRow],
        recording: Recording,
        recipe: Recipe,
        inputs: Mapping[str, Any],
        run_id: str,
        detail: str,
    ) -> DictRow:
        """The result's row: done, or running with its lock in this session's hands."""
        values = {
            "org_id": recording.org_id,
            "recording_id": recording.id,
            "stage": recipe.stage,
            "inputs": Jsonb(dict(inputs)),
            "input_hash": content_hash(inputs),
            "recipe": Jsonb(recipe.as_json),
            "recipe_hash": recipe.hash,
            "run_id": run_id,
            "detail": detail,
        }
        row = _one(connection, _SQL["claim"], values)
        if row["id"] is None:  # forgotten while it was claimed
            raise Forgotten
        if row["state"] != "held":
            return row
        key = {"id": row["id"], "run_id": run_id, "detail": detail}
        connection.execute(_SQL["lock"], key)
        if started := connection.execute(_SQL["start"], key).fetchone():
            return started
        connection.execute(_SQL["unlock"], key)  # another worker finished it meanwhile
        return _one(connection, _SQL["found"], key)

    def _found(self, row: DictRow, sets: Sequence[int]) -> Result:
        with self._database.connection() as connection:
            _make_current(connection, row["id"], sets, None, progressed=False)
        return _result(row)

    def _lost(self, claim: Claim) -> ClaimLost:
        if self._database.row(_SQL["found"], id=claim.id) is None:
            return Forgotten()
        return ClaimLost(
            f"Attempt {claim.attempt} at {claim.stage} of {claim.recording.id} was taken over.",
            remedy="Nothing to do: the newer attempt goes on.",
        )

    def _lock_session(self) -> psycopg.Connection[DictRow]:
        """A session of its own, since the pool may hand a connection to somebody else."""
        if self._lock_connection is not None:
            with suppress(psycopg.OperationalError):
                check(self._lock_connection)
                return self._lock_connection
        try:
            self._lock_connection = psycopg.connect(
                self._database.url,
                autocommit=True,
                row_factory=dict_row,
                # Claims and progress need not outlive a power cut: what was made is committed
                # for good, and carries all that was written before.
                options="-c synchronous_commit=off",
            )
        except psycopg.OperationalError as error:
            raise unavailable(error) from error
        return self._lock_connection


def _one(connection: psycopg.Connection[DictRow], sql: bytes, values: Mapping[str, Any]) -> DictRow:
    row = connection.execute(sql, values).fetchone()
    if row is None:  # a ledger row is only ever deleted with its recording
        raise Forgotten
    return row


def _make_current(
    connection: Connection,
    result_id: int,
    sets: Sequence[int],
    by_whom: str | None,
    *,
    progressed: bool,
) -> None:
    values = {"id": result_id, "sets": list(sets), "by_whom": by_whom, "progressed": progressed}
    try:
        connection.execute(_SQL["make_current"], values)
    except psycopg.errors.NotNullViolation:  # of a result that is no more
        raise Forgotten from None


def _result(row: DictRow) -> Result:
    return Result(
        id=row["id"],
        stage=row["stage"],
        output_hash=row["output_hash"],
        recipe=row["recipe"],
        recipe_hash=row["recipe_hash"],
        inputs=row["inputs"],
        input_hash=row["input_hash"],
        run_id=row["run_id"],
        attempt=row["attempt"],
        seconds=(row["finished_at"] - row["started_at"]).total_seconds(),
        tokens=row["tokens"],
        cost_usd=float(row["cost_usd"]),
        chosen_by=row.get("chosen_by"),
    )


def _as_json(error: PlayheadError) -> dict[str, Any]:
    return {"class": type(error).__name__, "message": str(error), "remedy": error.remedy}
