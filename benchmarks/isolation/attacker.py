"""Random reads and writes for an organisation with another's keys.

They cover the tables, every named statement, and the services that the application code and the
pipeline use; ``http_like.py`` adds the application code.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from psycopg import sql

from benchmarks.isolation.http_like import ApiUser
from benchmarks.isolation.tenants import Tenant, names_other_tenant, random_word
from benchmarks.isolation.ways import Way
from playhead.core.call_context import CallContext
from playhead.core.records import Recording, SearchFilter
from playhead.postgres.database import Database, Role
from playhead.postgres.provider_use.spend import GROUPINGS, ReservationRequest, Settlement
from playhead.postgres.search.conversations import NewTurn
from playhead.services.context import Services
from tests.support import factories
from tests.support.factories import CHUNK_RECIPE
from tests.support.tenant_data import relations_with_org, tenant_statements

_ROLES: tuple[Role, ...] = get_args(Role)
_NEAR = np.ones(3, np.float32)


class Attacker:
    """Holds the ``ways`` to read and write, by name."""

    def __init__(self, database: Database, services: Services, example: Tenant) -> None:
        self._database, self._services = database, services
        [self._set] = services.search.embedding_sets.live()
        self._naming_keys = {
            name for name, value in example.keys.items() if names_other_tenant(str(value), "nobody")
        }
        self.ways = (
            {
                f"table {name}": self._table(name)
                for name in relations_with_org(self._database, "rpv")
            }
            | {
                f"statement {n}": self._statement(statement)
                for n, statement in tenant_statements().items()
            }
            | self._reads()
            | self._writes()
            | ApiUser(services).ways()
        )

    def _table(self, name: str) -> Way:
        query = sql.SQL("select {name}::text from {name} limit 2000")

        def run(tenant: Tenant, _other: Tenant) -> Iterable[object]:
            as_role = self._database.as_role(tenant.org, random.choice(_ROLES))
            with as_role.transaction() as connection:
                return connection.execute(query.format(name=sql.Identifier(name))).fetchall()

        return Way(run)

    def _statement(self, statement: bytes) -> Way:
        names = set(re.findall(r"%\((\w+)\)", statement.decode()))

        def run(tenant: Tenant, other: Tenant) -> Iterable[object]:
            parameters = {name: other.keys.get(name, other.keys["recording_id"]) for name in names}
            as_role = self._database.as_role(tenant.org, random.choice(_ROLES))
            with (
                as_role.transaction() as connection,
                connection.transaction(force_rollback=True),
            ):
                cursor = connection.execute(statement, parameters)
                return cursor.fetchall() if cursor.description else []

        return Way(run, names_other=bool(names & self._naming_keys))

    def _reads(self) -> dict[str, Way]:
        services, search = self._services, self._search
        recordings, content, chunk_search = (
            services.pipeline.recordings,
            services.pipeline.content,
            services.search.chunks,
        )
        return {
            "statuses": Way(lambda tenant, _: recordings.statuses(tenant.org)),
            "under way": Way(lambda tenant, _: recordings.under_way(tenant.org)),
            "recording": Way(lambda tenant, _: [recordings.get(tenant.org, tenant.recording.id)]),
            "recording of another": Way(
                lambda tenant, other: [recordings.get(tenant.org, other.recording.id)]
            ),
            "transcript": Way(
                lambda tenant, _: [content.transcript(tenant.recording, tenant.transcript_id)]
            ),
            "transcript of another": Way(
                lambda tenant, other: [content.transcript(tenant.recording, other.transcript_id)]
            ),
            "transcript of another's, called ours": Way(
                lambda tenant, other: [
                    services.pipeline.versions.current(_under_own_org(tenant, other))
                ],
                names_other=True,
            ),
            "names in another's, called ours": Way(
                lambda tenant, other: services.pipeline.versions.speaker_names(
                    _under_own_org(tenant, other)
                ).items()
            ),
            "chunks": Way(lambda tenant, _: content.chunks(tenant.recording, CHUNK_RECIPE.hash)),
            "passages": Way(
                lambda tenant, _: content.chunk_spans(
                    [(tenant.recording, CHUNK_RECIPE.hash)]
                ).values()
            ),
            "excerpts of another's": Way(
                lambda tenant, other: services.search.excerpts.of(tenant.org, other.keys["chunks"])
            ),
            "current results": Way(
                lambda tenant, _: services.pipeline.results.current_results(
                    [tenant.recording]
                ).values()
            ),
            "lineage": Way(lambda tenant, _: services.pipeline.results.lineage(tenant.recording)),
            "versions": Way(
                lambda tenant, _: [
                    services.pipeline.versions.all(tenant.recording),
                    services.pipeline.versions.speaker_names(tenant.recording),
                ]
            ),
            "find by words": Way(lambda tenant, _: search(tenant, None)),
            "find by both": Way(lambda tenant, _: search(tenant, _NEAR)),
            "find in another's": Way(
                lambda tenant, other: search(tenant, _NEAR, other.recording.id)
            ),
            "nearest": Way(
                lambda tenant, _: chunk_search.nearest(
                    _NEAR, self._set, org_id=tenant.org, limit=50
                )
            ),
            "exactly": Way(
                lambda tenant, _: chunk_search.nearest_exact(
                    _NEAR, self._set, org_id=tenant.org, limit=50
                )
            ),
            "spend": Way(
                lambda tenant, _: [
                    services.provider_use.spend.sums(by, org_id=tenant.org, since=None)
                    for by in GROUPINGS
                ]
            ),
            "breakers": Way(
                lambda tenant, _: services.provider_use.circuit_breakers.list_open(tenant.org)
            ),
            "quarantine": Way(
                lambda tenant, _: services.provider_use.quarantine.replies(tenant.org)
            ),
            "reply of another": Way(
                lambda tenant, _: [services.provider_use.quarantine.reply(tenant.org, 1)]
            ),
            "members": Way(lambda tenant, _: services.access.members.all(tenant.org)),
            "tokens": Way(lambda tenant, _: services.access.tokens.all(tenant.org)),
        }

    def _writes(self) -> dict[str, Way]:
        services = self._services
        recordings, ledger, versions = (
            services.pipeline.recordings,
            services.pipeline.results,
            services.pipeline.versions,
        )
        return {
            "add": Way(lambda tenant, _: [recordings.add(_new_recording(tenant))]),
            "name a speaker": Way(
                lambda tenant, _: versions.name_speaker(tenant.recording, "Ada", tenant.canary)
            ),
            "archive": Way(
                lambda tenant, _: recordings.archive(tenant.org, [tenant.recording.id]).values()
            ),
            "unarchive": Way(
                lambda tenant, _: recordings.unarchive(tenant.org, [tenant.recording.id]).values()
            ),
            "archive another's": Way(
                lambda tenant, other: recordings.archive(tenant.org, [other.recording.id]).values()
            ),
            "add a member": Way(
                lambda tenant, _: services.access.members.add(
                    tenant.org, f"{tenant.canary} {random_word()}", "reader"
                )
            ),
            "make a token": Way(self._create_token),
            "reserve and settle": Way(self._reserve_and_settle),
            "choose another's": Way(
                lambda tenant, other: ledger.pin(tenant.recording, other.transcript_id, "me")
            ),
            "go on with another's conversation": Way(self._add_turn),
            "write another's": Way(self._write_for, names_other=True),
        }

    def _search(self, tenant: Tenant, near: Any, recording: str | None = None) -> Iterable[object]:
        filters = SearchFilter(recordings=(recording,)) if recording else SearchFilter()
        words = random.choice(["same words", "canary", "everybody canary00 canary01"])
        return self._services.search.chunks.find(
            words, near, self._set, org_id=tenant.org, filters=filters, limit=50
        )

    def _create_token(self, tenant: Tenant, _other: Tenant) -> Iterable[object]:
        tokens = self._services.access.tokens
        _, text = tokens.create(tenant.org, tenant.canary, tenant.canary, ["read"], 1)
        return [tokens.bearer(text)]

    def _reserve_and_settle(self, tenant: Tenant, _other: Tenant) -> Iterable[object]:
        spend = self._services.provider_use.spend
        context = CallContext(tenant.org, tenant.canary, {tenant.recording.id: 1.0})
        request = ReservationRequest(uuid.uuid4(), "q", tenant.canary, "embeddings", 0.01)
        reservation = spend.reserve(context, request, None)
        if reservation.attempt_id is not None:
            spend.settle(tenant.org, reservation.attempt_id, Settlement(cost_usd=0.01))
        return [reservation]

    def _add_turn(self, tenant: Tenant, other: Tenant) -> Iterable[object]:
        turn = NewTurn(tenant.canary, False, None, {}, [], [])
        return [
            self._services.search.conversations.add(tenant.org, other.keys["conversation"], turn)
        ]

    def _write_for(self, tenant: Tenant, other: Tenant) -> Iterable[object]:
        statement = b"insert into members (org_id, name, role) values (%(org)s, 'me', 'owner')"
        return [self._database.as_role(tenant.org, "playhead_app").run(statement, org=other.org)]


def _under_own_org(tenant: Tenant, other: Tenant) -> Recording:
    """Return another's recording under the own organisation's id, like a forged request."""
    return replace(other.recording, org_id=tenant.org)


def _new_recording(tenant: Tenant) -> Recording:
    sha256 = f"{random.randrange(200):064x}"  # which others have as well
    return factories.make_recording(org_id=tenant.org, title=tenant.canary, sha256=sha256)
