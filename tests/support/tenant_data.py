"""Twenty organisations in one database, and queries by which one might read another's data.

``integration/test_isolation.py`` checks that none of them succeeds.
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
from tests.support.factories import MODEL, PipelineDriver

ORGS = [f"org-{number:02}" for number in range(20)]
OURS, THEIRS = ORGS[0], ORGS[1]
SECRET = "canary of theirs"

#: Query files for the server or Dagster's database, which access no organisation's rows.
HOUSEKEEPING = {
    "dagster_deletion",
    "dagster_pruning",
    "database",
    "database_urls",
    "liveness",
    "lock_sessions",
    "migrator",
    "physical_erasure",
    "residue_scan",
}


def fill_tables(
    database: Database, worker: PipelineDriver, recording: Recording, secret: str = SECRET
) -> None:
    """Insert a row into every table, with ``secret`` in its text columns."""
    org, context = recording.org_id, CallContext(recording.org_id, secret, {recording.id: 1.0})
    TranscriptVersions(database, worker.results, worker.content).name_speaker(
        recording, "Ada", secret
    )
    TranscriptPieces(database).of(recording, MODEL).put(
        "sound", None, factories.make_transcript(secret)
    )
    spend = Spend(database)
    permit = spend.reserve(
        context, ReservationRequest(uuid.uuid4(), "p", secret, "embeddings", 0.1), 1.0
    )
    assert permit.attempt_id is not None
    Quarantine(database).add(org, permit.attempt_id, reason=secret, reply=secret.encode())
    BatchQueue(database).enqueue(
        context, "p", BatchRequest("/v1/e", {"model": secret}), max_usd=0.1, budget_usd=None
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
            "insert into circuit_breakers (org_id, provider, reason, remedy)"
            " values (%(org)s, 'p', %(secret)s, '')"
        ),
        (
            "insert into provider_rate_limits (org_id, provider, configured_requests,"
            " configured_tokens, requests_per_minute, tokens_per_minute, requests,"
            " tokens, filled_at)"
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


def relations_with_org(database: Database, kinds: str) -> list[str]:
    """Return the tables ("r", "p") or views ("v") that have an org_id."""
    rows = database.rows(
        b"select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid"
        b" and a.attname = 'org_id' where c.relnamespace = 'public'::regnamespace"
        b" and c.relkind::text = any(%(kinds)s) and not c.relispartition order by 1",
        kinds=list(kinds),
    )
    return [row["name"] for row in rows]


def select_rows(connection: Connection, name: str) -> list[dict[str, Any]]:
    """Return every row that the role can see, or none if it may not read the relation."""
    statement = sql.SQL("select org_id, {}::text as everything from {}")
    with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
        query = statement.format(sql.Identifier(name), sql.Identifier(name))
        return connection.execute(query).fetchall()
    return []


def foreign_rows_hash(tables: list[str]) -> sql.Composed:
    """Return a query for one hash of all rows of ``THEIRS``.

    The hash is null if the transaction has written nothing so far.
    """
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


def tenant_statements() -> dict[str, bytes]:
    """Return each named query that accesses an organisation's rows, as it is sent."""
    folder = files("playhead.postgres").joinpath("queries")
    groups = sorted(entry.name.removesuffix(".sql") for entry in folder.iterdir())
    return {
        f"{group}.{name}": statement
        for group in groups
        if group not in HOUSEKEEPING
        for name, statement in queries(group).items()
    }


def row_keys(database: Database, recording: Recording, secret: str = SECRET) -> dict[str, Any]:
    """Return the keys of this organisation's rows, by the parameter names of the statements."""

    def query_value(statement: bytes) -> Any:
        [row] = database.rows(statement, org=recording.org_id)
        return row["value"]

    results = query_value(
        b"select array_agg(id order by id) as value from stage_results where org_id = %(org)s"
    )
    recipe_hash = query_value(
        b"select recipe_hash as value from stage_results"
        b" where org_id = %(org)s and stage = 'chunks'"
    )
    attempt = query_value(b"select id as value from provider_attempts where org_id = %(org)s")
    request = query_value(
        b"select request_hash as value from batch_requests where org_id = %(org)s"
    )
    sha256 = query_value(b"select secret_sha256 as value from api_tokens where org_id = %(org)s")
    conversation = query_value(
        b"select id::text as value from conversations where org_id = %(org)s"
    )
    chunks = query_value(b"select array_agg(id) as value from chunks where org_id = %(org)s")
    ids = [recording.id]
    return {
        "org_id": recording.org_id, "org_ids": [recording.org_id],
        "recording_id": recording.id, "recording_ids": ids, "recordings": ids, "only_ids": ids,
        "ids": ids, "except_ids": [], "sha256": recording.sha256,
        "result_id": results[1], "result_ids": results[:1], "recipe_hash": recipe_hash,
        "recipe_hashes": [recipe_hash], "recipes": [recipe_hash], "text_hashes": ["x"], "set_id": 1,
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


def statement_values(
    statement: bytes, values: Mapping[str, Any], results: list[int]
) -> Iterator[dict[str, Any]]:
    """Yield values for all parameters of a statement; unknown ones are None.

    ``id`` is a recording's in some statements and a result's, or another number, in others.
    """
    names = set(re.findall(r"%\((\w+)\)", statement.decode()))
    known = {name: values.get(name) for name in names}
    yield known
    if "id" in names:
        yield known | {"id": values["recording_id"]}
        yield known | {"id": results[0]}
        yield known | {"id": values["attempt_id"]}
    if "ids" in names:
        yield known | {"ids": results}


def query_texts(connection: Connection, statement: bytes, values: Mapping[str, Any]) -> list[str]:
    """Return the rows as text, or none if the statement fails."""
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


def reveals_foreign_data(
    connection: Connection, statement: bytes, values: dict[str, Any], recording: Recording
) -> bool:
    """Return True if the rows reveal more about the recording than the given id.

    They may contain the id, if they are the same for the id of a recording that never existed.
    """
    rows = query_texts(connection, statement, values)
    if any(SECRET in row or THEIRS in row for row in rows):
        return True
    if not any(recording.id in row for row in rows):
        return False
    nobody = str(uuid.uuid4())
    other = {
        name: [nobody if item == recording.id else item for item in value]
        if isinstance(value, list)
        else nobody
        if value == recording.id
        else value
        for name, value in values.items()
        if not isinstance(value, np.ndarray)
    }
    other |= {name: value for name, value in values.items() if name not in other}
    nobodys_rows = [row.replace(nobody, "") for row in query_texts(connection, statement, other)]
    return [row.replace(recording.id, "") for row in rows] != nobodys_rows
