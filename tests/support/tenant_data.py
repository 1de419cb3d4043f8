"""Twenty organisations in one database, and what the first might try to learn of the second.

Not here: what it must not (``integration/test_isolation.py``).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import numpy as np
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from playhead.core.call_context import CallContext
from playhead.core.records import Recording
from playhead.postgres.access.members import Members
from playhead.postgres.access.tokens import Tokens
from playhead.postgres.database import Connection, Database, queries
from playhead.postgres.pipeline.transcript_pieces import TranscriptPieces
from playhead.postgres.pipeline.transcript_versions import TranscriptVersions
from playhead.postgres.provider_use.batch_queue import BatchQueue, BatchRequest
from playhead.postgres.provider_use.quarantine import Quarantine
from playhead.postgres.provider_use.spend import ReservationRequest, Spend
from playhead.postgres.search.conversations import Conversations, NewTurn
from tests.support import factories
from tests.support.factories import MODEL, Worker

ORGS = [f"org-{number:02}" for number in range(20)]
OURS, THEIRS = ORGS[0], ORGS[1]
SECRET = "canary of theirs"

#: They look after the server or Dagster's database, and name no organisation's rows.
HOUSEKEEPING = {"attendance", "dagster_history", "dagster_traces", "databases", "erasing"} | {
    "database",
    "migrations",
    "sessions",
    "traces",
}


def fill(database: Database, worker: Worker, recording: Recording, secret: str = SECRET) -> None:
    """A row in every table there is, with ``secret`` in it where words go."""
    org, context = recording.org_id, CallContext(recording.org_id, secret, {recording.id: 1.0})
    TranscriptVersions(database, worker.ledger, worker.content).name_speaker(
        recording, "Ada", secret
    )
    TranscriptPieces(database).of(recording, MODEL).put("sound", None, factories.transcript(secret))
    spend = Spend(database)
    permit = spend.reserve(
        context, ReservationRequest(uuid.uuid4(), "p", secret, "embeddings", 0.1), 1.0
    )
    assert permit.attempt_id is not None
    Quarantine(database).add(org, permit.attempt_id, reason=secret, reply=secret.encode())
    BatchQueue(database).enqueue(
        context, "p", BatchRequest("/v1/e", {"model": secret}), at_most_usd=0.1, budget_usd=None
    )
    members = Members(database)
    members.add(org, secret, "owner")
    Tokens(database).create(org, secret, secret, ["read"], None)
    cited = {"number": 1, "recording": recording.id, "chunk": str(uuid.uuid4()), "quote": secret}
    Conversations(database).add(
        org,
        None,
        NewTurn(
            question=secret,
            found=True,
            note=secret,
            engine={},
            sentences=[{"text": secret, "cites": [1]}],
            citations=[cited | {"start_seconds": 0.0, "end_seconds": 1.0}],
        ),
    )
    for statement in (
        (
            "insert into dead_letters (org_id, recording_id, stage, error_class, message, remedy,"
            " attempts) values (%(org)s, %(id)s, 'chunks', 'E', %(secret)s, '', 1)"
        ),
        (
            "insert into parked_recordings (org_id, recording_id, stage, error_class, reason,"
            " remedy) values (%(org)s, %(id)s, 'chunks', 'E', %(secret)s, '')"
        ),
        (
            "insert into provider_breakers (org_id, provider, reason, remedy)"
            " values (%(org)s, 'p', %(secret)s, '')"
        ),
        (
            "insert into provider_pace (org_id, provider, set_requests, set_tokens,"
            " requests_a_minute, tokens_a_minute, requests, tokens, filled_at)"
            " values (%(org)s, 'p', 1, 1, 1, 1, 1, 1, now())"
        ),
        (
            "insert into batches (id, org_id, provider, endpoint, model)"
            " values (gen_random_uuid(), %(org)s, 'p', '/v1/e', %(secret)s)"
        ),
        (
            "insert into plans (stages, org_id, author, estimated_usd)"
            " values ('{chunks}', %(org)s, %(secret)s, 0)"
        ),
        "update recordings set title = %(secret)s where id = %(id)s",
    ):
        database.run(statement.encode(), org=org, id=recording.id, secret=secret)


def names_of(database: Database, kinds: str) -> list[str]:
    """Tables ("r", "p") or views ("v") that have an org_id."""
    rows = database.rows(
        b"select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid"
        b" and a.attname = 'org_id' where c.relnamespace = 'public'::regnamespace"
        b" and c.relkind::text = any(%(kinds)s) and not c.relispartition order by 1",
        kinds=list(kinds),
    )
    return [row["name"] for row in rows]


def select(connection: Connection, name: str) -> list[dict[str, Any]]:
    """Every row a role sees; none of what it may not read."""
    statement = sql.SQL("select org_id, {}::text as everything from {}")
    with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
        query = statement.format(sql.Identifier(name), sql.Identifier(name))
        return connection.execute(query).fetchall()
    return []


def hash_of_theirs(tables: list[str]) -> sql.Composed:
    """All their rows in one hash; null where the transaction has written nothing so far."""
    rows = sql.SQL(" union all ").join(
        sql.SQL("select {name} || t::text as row from {table} t where org_id = {org}").format(
            name=sql.Literal(name), table=sql.Identifier(name), org=sql.Literal(THEIRS)
        )
        for name in tables
    )
    return sql.SQL(
        "select case when pg_current_xact_id_if_assigned() is not null then"
        " (select md5(string_agg(row, '' order by row)) from ({}) t) end as hash"
    ).format(rows)


def every_statement() -> dict[str, bytes]:
    """Each named query of each room that works on recordings, as it is sent."""
    folder = files("playhead.postgres").joinpath("queries")
    services = sorted(entry.name.removesuffix(".sql") for entry in folder.iterdir())
    return {
        f"{room}.{name}": statement
        for room in services
        if room not in HOUSEKEEPING
        for name, statement in queries(room).items()
    }


def values_of(database: Database, recording: Recording, secret: str = SECRET) -> dict[str, Any]:
    """All that names rows of this organisation, under the names that statements have for it."""

    def one(statement: bytes) -> Any:
        [row] = database.rows(statement, org=recording.org_id)
        return row["value"]

    results = one(
        b"select array_agg(id order by id) as value from stage_results where org_id = %(org)s"
    )
    cut = one(
        b"select recipe_hash as value from stage_results"
        b" where org_id = %(org)s and stage = 'chunks'"
    )
    attempt = one(b"select id as value from provider_attempts where org_id = %(org)s")
    request = one(b"select request_hash as value from deferred_requests where org_id = %(org)s")
    sha256 = one(b"select secret_sha256 as value from api_tokens where org_id = %(org)s")
    conversation = one(b"select id::text as value from conversations where org_id = %(org)s")
    chunks = one(b"select array_agg(id) as value from chunks where org_id = %(org)s")
    ids = [recording.id]
    return {
        "org_id": recording.org_id, "org_ids": [recording.org_id],
        "recording_id": recording.id, "recording_ids": ids, "recordings": ids, "only_ids": ids,
        "ids": ids, "except_ids": [], "sha256": recording.sha256,
        "result_id": results[1], "result_ids": results[:1], "recipe_hash": cut,
        "recipe_hashes": [cut], "recipes": [cut], "text_hashes": ["x"], "set_id": 1,
        "vector": np.ones(3, np.float32), "query": "one two three", "depth": 50, "limit": 50,
        "attempt_id": attempt, "request_hash": request, "secret_sha256": sha256,
        "provider": "p", "providers": ["p"], "name": secret, "member": secret, "label": "Ada",
        "sound": "sound", "language": "", "before": datetime.now(UTC), "archived": True,
        "stage": "chunks", "stages": ["chunks"], "state": "failed", "by": "model",
        "attempts": [1], "percent": 1, "detail": "", "error": Jsonb({}), "seconds": 0,
        "conversation": conversation, "chunks": chunks, "texts": ["one two"], "stems": "english",
        "turn": 1, "question": "q", "found": True, "engine": Jsonb({}), "note": "",
        "sentences": Jsonb([]), "citations": Jsonb([]),
        "unrequested": False, "days": 0, "tries": 3, "most": 5, "sets": [0], "progressed": True,
    }  # fmt: skip


def by_their_names(
    statement: bytes, values: Mapping[str, Any], results: list[int]
) -> Iterator[dict[str, Any]]:
    """Values for all names in it, None for those that name nobody's rows; ``id`` is a recording's
    in one statement and a result's, or another number, in the next."""
    names = set(re.findall(r"%\((\w+)\)", statement.decode()))
    known = {name: values.get(name) for name in names}
    yield known
    if "id" in names:
        yield known | {"id": values["recording_id"]}
        yield known | {"id": results[0]}
        yield known | {"id": values["attempt_id"]}
    if "ids" in names:
        yield known | {"ids": results}


def told(connection: Connection, statement: bytes, values: Mapping[str, Any]) -> list[str]:
    """The rows of an answer as text; none where it is refused or cannot be asked."""
    with suppress(psycopg.Error), connection.transaction():
        cursor = connection.execute(statement, values)
        if cursor.description:
            return [str(row) for row in cursor.fetchall()]
    return []


def result_ids(database: Database, recording: Recording) -> list[int]:
    rows = database.rows(
        b"select id from stage_results where org_id = %(org)s order by id", org=recording.org_id
    )
    return [row["id"] for row in rows]


def of_theirs(
    connection: Connection, statement: bytes, values: dict[str, Any], recording: Recording
) -> bool:
    """Whether the answer has something of theirs: more than the id that was given, which says no
    more than that of a recording that never was."""
    rows = told(connection, statement, values)
    if any(SECRET in row or THEIRS in row for row in rows):
        return True
    if not any(recording.id in row for row in rows):
        return False
    nobody = str(uuid.uuid4())
    other = {
        name: [nobody if one == recording.id else one for one in value]
        if isinstance(value, list)
        else nobody
        if value == recording.id
        else value
        for name, value in values.items()
        if not isinstance(value, np.ndarray)
    }
    other |= {name: value for name, value in values.items() if name not in other}
    told_of_nobody = [row.replace(nobody, "") for row in told(connection, statement, other)]
    return [row.replace(recording.id, "") for row in rows] != told_of_nobody
