"""Measure whether response times reveal that another organisation has something.

    python -m benchmarks.existence_timing [--pairs 3000] [--json]

One organisation asks for keys that another has, and for keys that nobody has, in random order, by
every operation that takes an id, a name, a hash or a token from outside; the answers are equal.
AUC: the probability that a key of the other organisation takes longer than an unknown one, equal
times counting half; 0.5 means that nothing is revealed. It is computed by ranks, with the standard
error of chance alone: Mann and Whitney, Annals of Mathematical Statistics 18 (1947). ``errors``: by
how many standard errors the AUC differs from 0.5. The two kinds of ids are created alternately, so
that they are side by side in every index.
"""

from __future__ import annotations

import math
import random
import secrets
import statistics
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any

import click
import numpy as np

from benchmarks.environments import json_option, print_rows
from benchmarks.isolation.tenants import SAME, Tenant, create_tenants, random_word
from playhead.core.errors import PlayheadError
from playhead.core.permissions import new_token
from playhead.core.records import SearchFilter
from playhead.core.settings import load_settings
from playhead.postgres.database import Database
from playhead.postgres.pipeline.recordings import new_recording_id
from playhead.postgres.search.conversations import NewTurn
from playhead.services.context import Services, open_services
from tests.support import factories
from tests.support.factories import PipelineDriver

_ROWS = 200  # per kind and organisation: enough that indexes are used
_WARM_UP = 200  # pairs that are not counted

_TURN = NewTurn(SAME, False, None, {}, [], [])
_NUMBER = b"select nextval(pg_get_serial_sequence('stage_results', 'id')) as number"

Ask = Callable[[Any], object]
#: Keys that another organisation has, and keys that nobody has.
Kinds = tuple[list[Any], list[Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """The medians in microseconds, and the AUC, of one operation."""

    way: str
    theirs_us: float
    nobodys_us: float
    auc: float
    standard_error: float
    errors: float


def _measure(way: str, ask: Ask, kinds: Kinds, pairs: int) -> Row:
    _time_queries(ask, kinds, _WARM_UP)
    foreign, unknown = _time_queries(ask, kinds, pairs)
    auc, chance = _auc(foreign, unknown), math.sqrt((2 * pairs + 1) / (12 * pairs * pairs))
    median_foreign, median_unknown = (
        round(statistics.median(first) * 1e6, 1) for first in (foreign, unknown)
    )
    return Row(
        way,
        median_foreign,
        median_unknown,
        round(auc, 3),
        round(chance, 4),
        round((auc - 0.5) / chance, 1),
    )


def _time_queries(ask: Ask, kinds: Kinds, pairs: int) -> tuple[list[float], list[float]]:
    durations: tuple[list[float], list[float]] = [], []
    order = [0, 1] * pairs
    random.shuffle(order)
    for kind in order:
        key = random.choice(kinds[kind])
        started_at = time.perf_counter()
        with suppress(PlayheadError):
            ask(key)
        durations[kind].append(time.perf_counter() - started_at)
    return durations


def _auc(first: list[float], second: list[float]) -> float:
    values = np.array([*first, *second])
    _, indexes, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[indexes]
    size = len(first)
    return float((ranks[:size].sum() - size * (size + 1) / 2) / (size * len(second)))


def _create_rows(
    database: Database, services: Services, tenant: Tenant, other: Tenant
) -> dict[str, Kinds]:
    """Return keys that the other organisation has and keys that nobody has, by kind.

    Rows of the asking organisation are between them.
    """
    worker = PipelineDriver(database)
    kinds: dict[str, Kinds] = defaultdict(lambda: ([], []))
    for _ in range(_ROWS):
        _add_rows(worker, services, tenant)
        for kind, foreign in _add_rows(worker, services, other).items():
            kinds[kind][0].append(foreign)
        unknown = {"id": new_recording_id(), "sha256": secrets.token_hex(32), "name": random_word()}
        unknown |= {"result": database.rows(_NUMBER)[0]["number"], "revoked": new_token()}
        unknown |= {kind: str(uuid.uuid4()) for kind in ("conversation", "token", "chunk")}
        for kind, key in unknown.items():
            kinds[kind][1].append(key)
    worker.results.close()
    database.run(b"analyze")
    return kinds


def _add_rows(worker: PipelineDriver, services: Services, tenant: Tenant) -> dict[str, Any]:
    recording = services.pipeline.recordings.add(factories.make_recording(org_id=tenant.org))
    worker.probe(recording)
    worker.transcribe(recording)
    services.pipeline.versions.name_speaker(recording, "Ada", name := random_word())
    result = worker.current(recording, "transcript")
    assert result is not None
    tokens = [
        services.access.tokens.create(tenant.org, tenant.canary, random_word(), ["read"], 1)
        for _ in range(2)
    ]
    services.access.tokens.revoke(tenant.org, tokens[0][0].id)
    return {
        "id": recording.id,
        "sha256": recording.sha256,
        "name": name,
        "result": result.id,
        "revoked": tokens[0][1],
        "token": tokens[1][0].id,
        "conversation": services.search.conversations.add(tenant.org, None, _TURN),
        "chunk": str(random.choice(tenant.keys["chunks"])),
    }


def _ways(services: Services, tenant: Tenant) -> dict[str, tuple[str, Ask]]:
    """Return, by name, the kind of key that each operation takes, and the operation."""
    org, recordings, [active_set] = (
        tenant.org,
        services.pipeline.recordings,
        services.search.embedding_sets.live(),
    )
    names = services.pipeline.versions.speaker_names

    def require_filter(**filters: Any) -> None:
        services.search.chunks.require(SearchFilter(**filters), org_id=org)

    def find(recording: str) -> object:
        filters = SearchFilter(recordings=(recording,))
        return services.search.chunks.find(
            SAME, None, active_set, org_id=org, filters=filters, limit=10
        )

    return {
        "recording": ("id", lambda key: recordings.get(org, key)),
        "with these bytes": ("sha256", lambda key: recordings.with_bytes(org, key)),
        "filter by recording": ("id", lambda key: require_filter(recordings=(key,))),
        "filter by speaker": ("name", lambda key: require_filter(speakers=(key,))),
        "find in a recording": ("id", find),
        "transcript": (
            "result",
            lambda key: services.pipeline.content.transcript(tenant.recording, key),
        ),
        "names of speakers": ("id", lambda key: names(replace(tenant.recording, id=key))),
        "passages": ("chunk", lambda key: services.search.excerpts.of(org, [key])),
        "turns": ("conversation", lambda key: services.search.conversations.turns(org, key)),
        "one more turn": (
            "conversation",
            lambda key: services.search.conversations.add(org, key, _TURN),
        ),
        "revoking a token": ("token", lambda key: services.access.tokens.revoke(org, key)),
        "a revoked token": ("revoked", services.access.tokens.bearer),
    }


@click.command()
@click.option("--pairs", type=click.IntRange(10), default=3000, show_default=True)
@json_option
def main(pairs: int, as_json: bool) -> None:
    """Measure PAIRS queries of each kind by each operation."""
    with create_tenants(2) as tenants, open_services(load_settings()) as services:
        with closing(Database(tenants.url)) as database:
            kinds = _create_rows(database, services, *tenants.tenants)
        ways = _ways(services, tenants.tenants[0])
        rows = (_measure(way, ask, kinds[kind], pairs) for way, (kind, ask) in ways.items())
        print_rows(rows, as_json=as_json)


if __name__ == "__main__":
    main()
