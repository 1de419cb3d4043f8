"""Whether one can hear from the time an answer takes that another organisation has something.

    python -m benchmarks.existence_timing [--pairs 3000] [--json]

One organisation asks for what another has, and for what nobody has, in random order, by every way
that takes an id, a name, a hash or a token from outside; the answer is the same. AUC: how likely
what another has takes longer than what nobody has, equals counting half; 0.5: there is nothing to
be heard. By ranks, with the standard error of chance alone: Mann and Whitney, Annals of
Mathematical Statistics 18 (1947). ``errors``: how many of those the AUC is off 0.5. The two kinds
of ids are made in turn, so that they lie side by side in every index.
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

_ROWS = 200  # of each kind that each organisation has: so many that indexes are used
_WARM = 200  # pairs that do not count

_TURN = NewTurn(SAME, False, None, {}, [], [])
_NUMBER = b"select nextval(pg_get_serial_sequence('stage_results', 'id')) as number"

Ask = Callable[[Any], object]
#: What another has, and what nobody has.
Kinds = tuple[list[Any], list[Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """Medians in microseconds."""

    way: str
    theirs_us: float
    nobodys_us: float
    auc: float
    standard_error: float
    errors: float


def _measure(way: str, ask: Ask, kinds: Kinds, pairs: int) -> Row:
    _time_queries(ask, kinds, _WARM)
    theirs, nobodys = _time_queries(ask, kinds, pairs)
    auc, chance = _auc(theirs, nobodys), math.sqrt((2 * pairs + 1) / (12 * pairs * pairs))
    median_theirs, two = (round(statistics.median(some) * 1e6, 1) for some in (theirs, nobodys))
    return Row(
        way, median_theirs, two, round(auc, 3), round(chance, 4), round((auc - 0.5) / chance, 1)
    )


def _time_queries(ask: Ask, kinds: Kinds, pairs: int) -> tuple[list[float], list[float]]:
    taken: tuple[list[float], list[float]] = [], []
    order = [0, 1] * pairs
    random.shuffle(order)
    for kind in order:
        asked = random.choice(kinds[kind])
        began = time.perf_counter()
        with suppress(PlayheadError):
            ask(asked)
        taken[kind].append(time.perf_counter() - began)
    return taken


def _auc(some: list[float], others: list[float]) -> float:
    together = np.array([*some, *others])
    _, places, counts = np.unique(together, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    size = len(some)
    return float((ranks[:size].sum() - size * (size + 1) / 2) / (size * len(others)))


def _create_rows(
    database: Database, services: Services, tenant: Tenant, other: Tenant
) -> dict[str, Kinds]:
    """What the other has, and what nobody has, by what it is; ours lies between."""
    worker = PipelineDriver(database)
    kinds: dict[str, Kinds] = defaultdict(lambda: ([], []))
    for _ in range(_ROWS):
        _add_rows(worker, services, tenant)
        for kind, theirs in _add_rows(worker, services, other).items():
            kinds[kind][0].append(theirs)
        nobodys = {"id": new_recording_id(), "sha256": secrets.token_hex(32), "name": random_word()}
        nobodys |= {"result": database.rows(_NUMBER)[0]["number"], "revoked": new_token()}
        nobodys |= {kind: str(uuid.uuid4()) for kind in ("conversation", "token", "chunk")}
        for kind, never in nobodys.items():
            kinds[kind][1].append(never)
    worker.results.close()
    database.run(b"analyze")
    return kinds


def _add_rows(worker: PipelineDriver, services: Services, tenant: Tenant) -> dict[str, Any]:
    recording = services.pipeline.recordings.add(factories.make_recording(org_id=tenant.org))
    worker.probe(recording)
    worker.transcribe(recording)
    services.pipeline.versions.name_speaker(recording, "Ada", name := random_word())
    heard = worker.current(recording, "transcript")
    assert heard is not None
    tokens = [
        services.access.tokens.create(tenant.org, tenant.canary, random_word(), ["read"], 1)
        for _ in range(2)
    ]
    services.access.tokens.revoke(tenant.org, tokens[0][0].id)
    return {
        "id": recording.id,
        "sha256": recording.sha256,
        "name": name,
        "result": heard.id,
        "revoked": tokens[0][1],
        "token": tokens[1][0].id,
        "conversation": services.search.conversations.add(tenant.org, None, _TURN),
        "chunk": str(random.choice(tenant.keys["chunks"])),
    }


def _ways(services: Services, tenant: Tenant) -> dict[str, tuple[str, Ask]]:
    """What each is asked for, and how."""
    org, recordings, [searched] = (
        tenant.org,
        services.pipeline.recordings,
        services.search.embedding_sets.live(),
    )
    names = services.pipeline.versions.speaker_names

    def require(**filters: Any) -> None:
        services.search.chunks.require(SearchFilter(**filters), org_id=org)

    def find(recording: str) -> object:
        filters = SearchFilter(recordings=(recording,))
        return services.search.chunks.find(
            SAME, None, searched, org_id=org, filters=filters, limit=10
        )

    return {
        "recording": ("id", lambda asked: recordings.get(org, asked)),
        "with these bytes": ("sha256", lambda asked: recordings.with_bytes(org, asked)),
        "filter by recording": ("id", lambda asked: require(recordings=(asked,))),
        "filter by speaker": ("name", lambda asked: require(speakers=(asked,))),
        "find in a recording": ("id", find),
        "transcript": (
            "result",
            lambda asked: services.pipeline.content.transcript(tenant.recording, asked),
        ),
        "names of speakers": ("id", lambda asked: names(replace(tenant.recording, id=asked))),
        "passages": ("chunk", lambda asked: services.search.excerpts.of(org, [asked])),
        "turns": ("conversation", lambda asked: services.search.conversations.turns(org, asked)),
        "one more turn": (
            "conversation",
            lambda asked: services.search.conversations.add(org, asked, _TURN),
        ),
        "revoking a token": ("token", lambda asked: services.access.tokens.revoke(org, asked)),
        "a revoked token": ("revoked", services.access.tokens.bearer),
    }


@click.command()
@click.option("--pairs", type=click.IntRange(10), default=3000, show_default=True)
@json_option
def main(pairs: int, as_json: bool) -> None:
    """PAIRS questions of each kind by each way."""
    with create_tenants(2) as town, open_services(load_settings()) as services:
        with closing(Database(town.url)) as database:
            kinds = _create_rows(database, services, *town.tenants)
        ways = _ways(services, town.tenants[0])
        rows = (_measure(way, ask, kinds[kind], pairs) for way, (kind, ask) in ways.items())
        print_rows(rows, as_json=as_json)


if __name__ == "__main__":
    main()
