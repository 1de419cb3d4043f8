"""Vector search at a million chunks: recall and latency for all organisation and filter sizes.

    python -m benchmarks.vectors_at_size --chunks 1000000 --json > measured.jsonl

Each question goes to ``nearest`` as the application's role, for one organisation; the answer is
compared with all distances, computed outside the database. Beside it the same vectors are searched
in plain pgvector: one HNSW index for all, organisations separated by a policy, at its defaults
(ef_search 40) and with an iterative scan. Questions are drawn from the same topics and are not in
any row.

Filters: ``since`` selects the newest recordings, ``speaker`` chunks anywhere. CPU is that of the
server process that answers, which other work on the machine changes little. A million chunks need
8 GB of disk. ``passages.py`` writes the rows and ``topics.py`` generates their vectors.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, LiteralString

import click
import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector.psycopg import register_vector

from benchmarks.charts import Lines, chart
from benchmarks.passages import ENGINE, SHARES, Rows, arrival_time, draw, speaker_name, write
from benchmarks.topics import DIMENSIONS, TOPICS, Topics, Vectors
from playhead.core.settings import Settings
from playhead.postgres.database import Database
from playhead.postgres.database_urls import app_url
from playhead.postgres.search.embedding_sets import EmbeddingSets
from playhead.postgres.search.vector_indexes import VectorIndexes

_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Cell:
    """The results of one way in one organisation under one filter.

    Recall@10 from 0 to 1, answers with fewer rows than there are, seconds per answer, and CPU
    seconds of the server.
    """

    way: str
    org: str
    filter: str
    passages: int
    recall: float
    short: int
    p50: float
    p95: float
    p99: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Way:
    """One way to search. ``sql`` has parameters for ``since`` and ``speaker``."""

    name: str
    settings: tuple[LiteralString, ...]
    sql: LiteralString


_FILTER: LiteralString = (
    "row(null, null, array_remove(array[%(speaker)s], null), null, null, %(since)s::timestamptz,"
    " null, null, null)::search_filter"
)
_PLAIN: LiteralString = (
    "select vector <=> %(q)s as distance from plain"
    " where (%(since)s::timestamptz is null or created_at >= %(since)s)"
    " and (%(speaker)s::text is null or speaker = %(speaker)s)"
    " order by vector <=> %(q)s limit 10"
)
WAYS = (
    Way("playhead", (), f"select distance from nearest(1, %(q)s, {_FILTER}, 10)"),
    Way("plain pgvector", (), _PLAIN),
    Way(
        "one index, iterative scan",
        ("set local hnsw.iterative_scan = strict_order", "set local hnsw.ef_search = 100"),
        _PLAIN,
    ),
)


class Trial:
    """Runs the questions in one organisation after another."""

    def __init__(self, url: str, rows: Rows, questions: int) -> None:
        rng = np.random.default_rng(99)
        self._rows = rows
        self._questions = Topics().draw(rng.integers(TOPICS, size=questions), rng)
        self._connection = psycopg.connect(url, autocommit=True)
        register_vector(self._connection)

    def cells(self, ways: Sequence[Way]) -> Iterator[Cell]:
        rows = self._rows
        for org, name in enumerate(rows.names):
            of_org = rows.orgs == org
            yield from self._measure(ways, name, "none", of_org, None, None)
            for index, share in enumerate(SHARES):
                since = arrival_time(share)
                mask = of_org & (rows.share_after <= share)
                yield from self._measure(ways, name, f"since {share:.2%}", mask, since, None)
                mask = of_org & (rows.speakers == index)
                yield from self._measure(
                    ways, name, f"speaker {share:.2%}", mask, None, speaker_name(index)
                )

    def _measure(
        self,
        ways: Sequence[Way],
        org: str,
        filter_name: str,
        mask: NDArray[np.bool_],
        since: datetime | None,
        speaker: str | None,
    ) -> Iterator[Cell]:
        available = int(mask.sum())
        if not available:
            return
        limits, depth = self._limits(mask), min(_DEPTH, available)
        for way in ways:
            values = {"since": since, "speaker": speaker}
            answers, seconds, cpu = self._ask(way, org, values)
            recalls = [
                sum(distance <= distances + 1e-5 for distance in answer) / depth
                for answer, distances in zip(answers, limits, strict=True)
            ]
            p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
            short = sum(len(answer) < depth for answer in answers)
            recall = float(np.mean(recalls))
            yield Cell(way.name, org, filter_name, available, recall, short, p50, p95, p99, cpu)

    def _ask(
        self, way: Way, org: str, values: Mapping[str, Any]
    ) -> tuple[list[list[float]], list[float], float]:
        """Return the answers, the seconds of each, and the CPU seconds of one."""
        answers, seconds = [], []
        pid = self._connection.info.backend_pid
        before = _cpu_seconds(pid)
        for question in self._questions:
            started_at = time.perf_counter()
            with self._connection.transaction():
                self._connection.execute(
                    "select set_config('playhead.org', %s, true), "
                    "set_config('role', 'playhead_app', true)",
                    [org],
                )
                for setting in way.settings:
                    self._connection.execute(setting)
                answer = self._connection.execute(
                    way.sql, {"q": question, **values}, prepare=False
                ).fetchall()
            seconds.append(time.perf_counter() - started_at)
            answers.append([row[0] for row in answer])
        return answers, seconds, (_cpu_seconds(pid) - before) / len(self._questions)

    def _limits(self, mask: NDArray[np.bool_]) -> Vectors:
        """Return the distance of the tenth nearest vector of each question, or of the last."""
        places = np.flatnonzero(mask)
        depth = min(_DEPTH, len(places))
        best = np.full((len(self._questions), depth), 9, np.float32)
        for start in range(0, len(places), 50_000):
            block = self._rows.vectors[places[start : start + 50_000]]
            distances = np.concatenate([best, 1 - self._questions @ block.T], axis=1)
            best = np.partition(distances, depth - 1, axis=1)[:, :depth]
        limits: Vectors = best.max(axis=1)
        return limits


def _cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process on this machine so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def build_plain(url: str) -> float:
    """Create the same vectors as in pgvector's documentation; return the index's build seconds."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "create table plain as"
            " select e.org_id, r.created_at, c.speaker, e.vector::vector(384) as vector"
            " from embeddings e join chunks c on c.id = e.chunk_id and c.org_id = e.org_id"
            " join recordings r on r.id = c.recording_id and r.org_id = c.org_id"
        )
        connection.execute("alter table plain enable row level security")
        connection.execute("create policy own on plain using (org_id = current_org())")
        connection.execute("grant select on plain to playhead_app")
        connection.execute("set maintenance_work_mem = '3GB'")
        started_at = time.perf_counter()
        connection.execute(
            "create index plain_nearest on plain using hnsw (vector vector_cosine_ops)"
        )
        build_seconds = time.perf_counter() - started_at
        connection.execute("create index on plain (org_id)")
        connection.execute("analyze plain")
    return build_seconds


def index_bytes(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "select c.relname, pg_relation_size(c.oid) from pg_class c"
            " join pg_am a on a.oid = c.relam where a.amname = 'hnsw'"
        ).fetchall()
    return dict(rows)


@click.command(help=__doc__)
@click.option("--chunks", default=60_000)
@click.option("--questions", default=100)
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    default=Path(".playhead-vectors"),
    help="Where the server is kept; with rows there already these are asked.",
)
@click.option("--json", "as_json", is_flag=True, help="A line a cell, then sizes and times.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.svg")
def main(chunks: int, questions: int, home: Path, as_json: bool, plot: Path | None) -> None:
    url, rows = app_url(Settings(home=home)), draw(chunks)
    facts = _prepare(url, rows)
    cells = []
    for cell in Trial(url, rows, questions).cells(WAYS):
        cells.append(cell)
        if as_json:
            print(json.dumps(asdict(cell)), flush=True)
    if as_json:
        print(json.dumps(facts))
    else:
        print(_table(cells), *(f"{name}: {value:,.0f}" for name, value in facts.items()), sep="\n")
    if plot:
        plot.write_text(_plot(cells))


def _prepare(url: str, rows: Rows) -> dict[str, float]:
    """Write and index the rows unless that was done before; return seconds and index sizes."""
    database = Database(url)
    sets, build_seconds = EmbeddingSets(database), {}
    if not sets.all():
        embedding_set = sets.add("topics", ENGINE, DIMENSIONS)
        write(url, rows, embedding_set)
        started_at = time.perf_counter()
        VectorIndexes(database).maintain(embedding_set)
        build_seconds["seconds to index, one for each"] = time.perf_counter() - started_at
        build_seconds["seconds to index, one for all"] = build_plain(url)
    database.close()
    return build_seconds | {f"bytes of {name}": size for name, size in index_bytes(url).items()}


def _table(cells: Sequence[Cell]) -> str:
    lines = [
        "| way | organisation | filter | passages | recall@10 | short | p50 | p95 | p99 | CPU |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    for cell in cells:
        times = " | ".join(f"{x * 1e3:,.1f}" for x in (cell.p50, cell.p95, cell.p99, cell.cpu))
        lines.append(
            f"| {cell.way} | {cell.org} | {cell.filter} | {cell.passages:,} | {cell.recall:.3f} "
            f"| {cell.short} | {times} |"
        )
    return "\n".join(lines)


def _plot(cells: Sequence[Cell]) -> str:
    """Plot by the number of chunks to search."""
    measures = {"recall@10": "recall", "milliseconds of CPU per question": "cpu"}
    panels: dict[str, Lines] = {}
    for title, name in measures.items():
        scale = 1e3 if name == "cpu" else 1.0
        panels[title] = {
            way.name: sorted(
                (cell.passages, getattr(cell, name) * scale)
                for cell in cells
                if cell.way == way.name and cell.filter == "none"
            )
            for way in WAYS
        }
    return chart("passages of the organisation", panels)


if __name__ == "__main__":
    main()
