"""Stage results: each result is produced once, by one worker.

A result is identified by recording, stage, input hash and recipe hash. ``claim`` either finds it
done or makes this process its only worker. The claim is an advisory lock, so it ends with the
worker however that dies, and every write carries the attempt's number, so a worker that was
presumed dead and comes back writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from playhead.core.errors import (
    ClaimLost,
    DatabaseUnavailable,
    Parked,
    PlayheadError,
    RecordingDeleted,
)
from playhead.core.records import NO_COST, Cost, Json, Recipe, Recording, Stage, content_hash
from playhead.postgres.coordination.lock_sessions import LockSessionPool, Session
from playhead.postgres.database import (
    Connection,
    Database,
    Organisation,
    Role,
    org_transaction,
    queries,
    replace_unstorable_chars,
)

#: A result that crashed this many workers is dead-lettered. High enough that a healthy recording
#: survives ten unrelated crashes.
MAX_ATTEMPTS = 12

#: A result that crashed this many workers runs alone, since another one may be the cause.
ISOLATE_AFTER_CRASHES = 3

#: Consecutive runs without progress of a recording, over about half an hour.
MAX_REQUESTS = 6

_SQL = queries("stage_results")
_HELD = "held"  # as claim_result reports it
_WRITES: Role = "playhead_pipeline"


@dataclass(frozen=True, slots=True)
class Result:
    """A finished stage result. ``pinned_by``: the person who pinned it, if any."""

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
    pinned_by: str | None = None


#: The current results of one recording, by stage and set.
CurrentResults = dict[tuple[Stage, int], Result]

#: The sets of results that belong to none: media, transcripts, documents.
NO_SET = (0,)


@dataclass(frozen=True, slots=True)
class ResultKey:
    """Identifies a result, and names the sets it is to be current for.

    ``inputs``: output hashes of earlier stages by their names, and everything else that goes in.
    """

    recording: Recording
    recipe: Recipe
    inputs: Json
    sets: Sequence[int] = NO_SET


@dataclass(frozen=True, slots=True)
class Claim:
    """The exclusive right to produce one result. ``done`` is set if it exists already."""

    id: int
    key: ResultKey
    attempt: int
    done: Result | None = None

    @property
    def recording(self) -> Recording:
        return self.key.recording

    @property
    def stage(self) -> Stage:
        return self.key.recipe.stage


class StageResults:
    """Claims and stores stage results. Each claim holds a database session of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sessions = LockSessionPool(database.url)

    @contextmanager
    def claim(self, result_key: ResultKey, *, run_id: str, detail: str) -> Iterator[Claim]:
        """Claim a result: find it done, or wait until no other worker holds it.

        Leaving the block without ``finish`` or ``fail`` leaves the row to the next worker.
        """
        with self._sessions.checkout() as session:
            [row] = self._begin(session, [result_key], run_id, detail)
            if row["state"] == _HELD:
                key = {"id": row["id"], "run_id": run_id, "detail": detail}
                row = self._wait(session, result_key, key)
            yield from self._claims([(result_key, row)])

    @contextmanager
    def try_claim_many(
        self, keys: Sequence[ResultKey], *, run_id: str, detail: str
    ) -> Iterator[list[Claim | None]]:
        """Claim many results of one organisation without blocking.

        An entry is None if another worker holds it or it crashed several workers.
        """
        with self._sessions.checkout() as session:
            rows = self._begin(session, keys, run_id, detail, ISOLATE_AFTER_CRASHES)
            free = [
                (key, row) for key, row in zip(keys, rows, strict=True) if row["state"] != _HELD
            ]
            claims = {claim.id: claim for claim in self._claims(free)}
            yield [claims.get(row["id"]) for row in rows]

    def progress(self, claims: Sequence[Claim], percent: int, detail: str) -> None:
        """Store the joint progress of all claims. Raises ``ClaimLost`` if none is left."""
        values = {**_keys(claims), "percent": percent, "detail": detail}
        try:
            with (
                self._sessions.checkout() as session,
                org_transaction(session, _org_of(claims), _WRITES),
            ):
                if session.execute(_SQL["progress"], values).rowcount < len(claims):
                    raise _raise_lost(session, claims)
        except DatabaseUnavailable:  # only finish must not fail silently
            return

    @contextmanager
    def finish(
        self, claim: Claim, *, output_hash: str, usage: Cost = NO_COST, pinned_by: str | None = None
    ) -> Iterator[tuple[Connection, Result]]:
        """Store a result in one transaction.

        The block writes the content with the connection and for the result it is given; then the
        row is done and current. ``pinned_by`` names the person who pins it. Raises
        ``ClaimLost`` if a newer attempt owns the row; then nothing is written.
        """
        finishing = self.finish_all([claim], [output_hash], usage=usage, pinned_by=pinned_by)
        with finishing as (connection, [result]):
            yield connection, result

    @contextmanager
    def finish_all(
        self,
        claims: Sequence[Claim],
        output_hashes: Sequence[str],
        *,
        usage: Cost = NO_COST,
        pinned_by: str | None = None,
    ) -> Iterator[tuple[Connection, list[Result]]]:
        """Store all results of one organisation in one transaction, or none.

        Yields a connection set to that organisation and a result for each claim. ``usage`` is that
        of each result.
        """
        values = {
            **_keys(claims),
            "output_hashes": list(output_hashes),
            "tokens": usage.tokens,
            "cost_usd": usage.cost_usd,
        }
        with self._writing(_org_of(claims)).transaction() as connection:
            rows = {row["id"]: row for row in connection.execute(_SQL["finish"], values)}
            if len(rows) < len(claims):
                raise _raise_lost(connection, [claim for claim in claims if claim.id not in rows])
            yield connection, [_result(rows[claim.id]) for claim in claims]
            for sets, ids in _by_sets(claims).items():
                _make_current(connection, ids, sets, pinned_by, progressed=True)

    def supersede(self, connection: Connection, results: Sequence[Result]) -> None:
        """Delete the content of older results of the same recordings, stage and engine.

        What is stored by delta has only its newest state, whichever code version produced it.
        """
        connection.execute(_SQL["supersede"], {"ids": [result.id for result in results]})

    def fail(self, claim: Claim, error: PlayheadError, *, final: bool) -> None:
        """Store the error of a failed attempt.

        ``final``: there will be no other attempt, so a dead letter is written. A lost claim is
        ignored.
        """
        values = {
            "id": claim.id,
            "attempt": claim.attempt,
            "error": Jsonb(replace_unstorable_chars(_as_json(error))),
        }
        with self._writing(claim.recording.org_id).transaction() as connection:
            if connection.execute(_SQL["fail"], values).fetchone() and final:
                connection.execute(_SQL["dead_letter_crashed"], {"id": claim.id})

    def release(self, claims: Sequence[Claim]) -> None:
        """Give up claims without a failure; they do not count as attempts."""
        self._writing(_org_of(claims)).run(_SQL["release"], **_keys(claims))

    def park(self, claim: Claim, parked: Parked) -> None:
        """Release the claim and park its recording as ``parked`` says. A lost claim is ignored."""
        values = {
            "id": claim.id,
            "attempt": claim.attempt,
            "until": parked.until,
            "error_class": type(parked).__name__,
            "reason": replace_unstorable_chars(str(parked)),
            "remedy": replace_unstorable_chars(parked.remedy),
        }
        with self._writing(claim.recording.org_id).transaction() as connection:
            if connection.execute(_SQL["release"], _keys([claim])).rowcount:
                connection.execute(_SQL["park"], values)

    def dead_letter_crashed(self) -> int:
        """Add dead letters for results that crashed ``MAX_ATTEMPTS`` workers; return the count."""
        crashed = self._database.rows(_SQL["crashed"], attempts=MAX_ATTEMPTS)
        for row in crashed:
            error = {
                "class": "WorkerDied",
                "message": f"The worker died {row['attempt']} times at {row['stage']}.",
                "remedy": f"Check the worker's memory, then: playhead retry {row['recording_id']}",
            }
            values = {"id": row["id"], "attempt": row["attempt"], "error": Jsonb(error)}
            with self._writing(row["org_id"]).transaction() as connection:
                if connection.execute(_SQL["fail"], values).fetchone():
                    connection.execute(_SQL["dead_letter_crashed"], {"id": row["id"]})
        return len(crashed)

    def dead_letter_stalled(self, ids: Sequence[str], *, run_id: str, message: str) -> int:
        """Add dead letters for recordings that make no progress. Returns their number.

        These are recordings of a failed run that ``MAX_REQUESTS`` runs in a row did not advance.
        """
        return self._database.run(
            _SQL["dead_letter_stalled"],
            ids=list(ids),
            requests=MAX_REQUESTS,
            run_id=run_id,
            message=message,
        )

    def current_results(self, recordings: Sequence[Recording]) -> dict[str, CurrentResults]:
        """Return the current results of each stage and set, by recording id."""
        found: dict[str, CurrentResults] = {recording.id: {} for recording in recordings}
        for org_id in {recording.org_id for recording in recordings}:
            ids = [recording.id for recording in recordings if recording.org_id == org_id]
            read = self._database.as_role(org_id, "playhead_app")
            for row in read.rows(_SQL["current_results"], org_id=org_id, ids=ids):
                found[str(row["recording_id"])][row["stage"], row["set_id"]] = _result(row)
        return found

    def pin(self, recording: Recording, result_id: int, pinned_by: str | None) -> None:
        """Pin an earlier result on behalf of a person.

        None as ``pinned_by`` lets the pipeline choose again.
        """
        with self._writing(recording.org_id).transaction() as connection:
            _make_current(connection, [result_id], NO_SET, pinned_by, progressed=True)

    @contextmanager
    def lock_texts(self, org_id: str, set_id: int, hashes: Sequence[str]) -> Iterator[None]:
        """Prevent others from embedding these texts for the set inside the block.

        Locks are taken in the order of their keys, so that two workers never deadlock.
        """
        values = {"org_id": org_id, "set_id": set_id, "hashes": list(hashes)}
        with self._sessions.checkout() as session:
            session.execute(_SQL["lock_texts"], values)
            yield

    def lineage(self, recording: Recording) -> list[DictRow]:
        """Return the origin of each current result in order of creation.

        That is inputs, recipe, run, attempt, times and cost.
        """
        read = self._database.as_role(recording.org_id, "playhead_app")
        return read.rows(_SQL["lineage"], org_id=recording.org_id, recording_id=recording.id)

    def close(self) -> None:
        self._sessions.close()

    def _writing(self, org_id: str) -> Organisation:
        return self._database.as_role(org_id, _WRITES)

    def _begin(
        self,
        session: Session,
        keys: Sequence[ResultKey],
        run_id: str,
        detail: str,
        max_crashes: int | None = None,
    ) -> list[DictRow]:
        """Return a row per result: done, running and locked by this session, or held.

        Held means by another worker, or left by the last of ``max_crashes`` workers that died.
        """
        values = {
            "org_ids": [key.recording.org_id for key in keys],
            "ids": [key.recording.id for key in keys],
            "stages": [key.recipe.stage for key in keys],
            "inputs": [Jsonb(dict(key.inputs)) for key in keys],
            "input_hashes": [content_hash(key.inputs) for key in keys],
            "recipes": [Jsonb(key.recipe.as_json) for key in keys],
            "recipe_hashes": [key.recipe.hash for key in keys],
            "run_id": run_id,
            "detail": detail,
            "deaths": max_crashes,
        }
        try:
            with org_transaction(session, keys[0].recording.org_id, _WRITES):
                rows = session.execute(_SQL["claim"], values).fetchall()
        except psycopg.errors.ForeignKeyViolation:
            raise RecordingDeleted from None
        if any(row["id"] is None for row in rows):  # deleted while it was claimed
            raise RecordingDeleted
        return rows

    def _wait(self, session: Session, result_key: ResultKey, key: dict[str, Any]) -> DictRow:
        session.execute(_SQL["lock"], key)
        with org_transaction(session, result_key.recording.org_id, _WRITES):
            if started := session.execute(_SQL["start"], key).fetchone():
                return started
            row = session.execute(
                _SQL["found"], key
            ).fetchone()  # finished by the other worker meanwhile
        if row is None:  # a row is only deleted with its recording
            raise RecordingDeleted
        return row

    def _claims(self, rows: Sequence[tuple[ResultKey, DictRow]]) -> list[Claim]:
        """Return claims, and make results current that were found done."""
        claims = [
            Claim(row["id"], key, row["attempt"], _result(row) if row["state"] == "done" else None)
            for key, row in rows
        ]
        if found := _by_sets([claim for claim in claims if claim.done]):
            with self._writing(claims[0].recording.org_id).transaction() as connection:
                for sets, ids in found.items():
                    _make_current(connection, ids, sets, None, progressed=False)
        return claims


def _org_of(claims: Sequence[Claim]) -> str:
    """Return the organisation of claims that are written together."""
    [org_id] = {claim.recording.org_id for claim in claims}
    return org_id


def _raise_lost(connection: Connection, claims: Sequence[Claim]) -> ClaimLost:
    for claim in claims:
        if connection.execute(_SQL["found"], {"id": claim.id}).fetchone() is None:
            return RecordingDeleted()
    claim = claims[0]
    return ClaimLost(
        f"Attempt {claim.attempt} at {claim.stage} of {claim.recording.id} was taken over.",
        remedy="Nothing to do: the newer attempt continues.",
    )


def _keys(claims: Sequence[Claim]) -> dict[str, list[int]]:
    return {
        "ids": [claim.id for claim in claims],
        "attempts": [claim.attempt for claim in claims],
    }


def _by_sets(claims: Sequence[Claim]) -> dict[tuple[int, ...], list[int]]:
    """Return the results' ids by the sets they are current for."""
    ids: dict[tuple[int, ...], list[int]] = {}
    for claim in claims:
        ids.setdefault(tuple(claim.key.sets), []).append(claim.id)
    return ids


def _make_current(
    connection: Connection,
    ids: Sequence[int],
    sets: Sequence[int],
    pinned_by: str | None,
    *,
    progressed: bool,
) -> None:
    values = {"ids": list(ids), "sets": list(sets), "by_whom": pinned_by, "progressed": progressed}
    try:
        connection.execute(_SQL["make_current"], values)
    except (
        psycopg.errors.InsufficientPrivilege
    ):  # the result was deleted, so it belongs to no organisation
        raise RecordingDeleted from None


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
        pinned_by=row.get("pinned_by"),
    )


def _as_json(error: PlayheadError) -> dict[str, Any]:
    return {"class": type(error).__name__, "message": str(error), "remedy": error.remedy}
