"""What must be true of an installation when everything has settled: counts of complaints, each of
which must be 0.

Not here: how it came to settle (``kills.py``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import LiteralString

import dagster as dg
import numpy as np
import psycopg
from pgvector.psycopg import register_vector

from benchmarks import seeding
from benchmarks.environments import Home
from benchmarks.usage_counters import count_embedded
from pipeline_assets.assets.desired_recipes import desired_recipes
from playhead.core.records import STAGES
from playhead.core.settings import load_settings
from playhead.engines.registry import build_engines
from playhead.postgres.database_urls import app_url, dagster_url
from playhead.postgres.pipeline.plans import Scope
from playhead.search.service import SearchService
from playhead.services.context import PipelineServices

_HITS = 10
_QUESTIONS = 60
_AT_ONCE = 500
_SAME = 0.999  # a model is not bit-stable

#: Each counts what should not be.
_LEDGER: dict[str, LiteralString] = {
    "not ready": "select count(*) from recordings where stages_done < 5",
    "dead letters": "select count(*) from dead_letters where resolved_at is null",
    "left running": "select count(*) from stage_results where state = 'running'",
    "content of nothing": """
        select count(*) from (
            select result_id from raw_media union all select result_id from transcripts
            union all select result_id from documents
            union all select result_id from embedded_recordings) c
        left join stage_results s on s.id = c.result_id and s.state = 'done'
        where s.id is null""",
    "chunks of no result": """
        select count(*) from chunks c
        where not exists (
            select from stage_results s
            where s.recording_id = c.recording_id and s.stage = 'chunks'
              and s.state = 'done' and s.recipe_hash = c.recipe_hash)""",
    "chunks without a vector": """
        select count(*) from embedding_sets e
        join current_results cur on cur.set_id = e.id and cur.stage = 'chunks'
        join stage_results s on s.id = cur.result_id
        join chunks c on c.recording_id = cur.recording_id and c.recipe_hash = s.recipe_hash
            and c.is_current
        where e.state <> 'retired' and not exists (
            select from embeddings v where v.set_id = e.id and v.chunk_id = c.id)""",
    "vectors of no chunk": """
        select count(*) from embeddings v
        join chunks c on c.id = v.chunk_id
        left join current_results cur on cur.recording_id = c.recording_id
            and cur.stage = 'chunks' and cur.set_id = v.set_id
        left join stage_results s on s.id = cur.result_id and s.recipe_hash = c.recipe_hash
        where s.id is null or not c.is_current""",
    "sets lacking recordings": """
        select count(*) from embedding_sets e, missing_recordings(e.id) where e.state <> 'retired'""",
    "vectors not cached": """
        select count(*) from embeddings v join chunks c on c.id = v.chunk_id
        where not exists (
            select from embedding_cache k
            where k.org_id = c.org_id and k.set_id = v.set_id and k.text_hash = c.text_hash)""",
}

_DAGSTER: dict[str, LiteralString] = {
    "told twice by one run": """
        select count(*) from (
            select from event_logs
            where dagster_event_type = 'ASSET_MATERIALIZATION' and run_id <> ''
            group by run_id, asset_key, partition having count(*) > 1) as twice""",
    "runs unfinished": """
        select count(*) from runs
        where status in ('QUEUED', 'STARTING', 'STARTED', 'CANCELING')""",
    "places in pools taken": "select count(*) from concurrency_slots where run_id is not null",
}

_CURRENT: LiteralString = """
    select r.partition_key, cur.stage, left(s.output_hash, 32)
    from current_results cur join stage_results s on s.id = cur.result_id
    join recordings r on r.id = cur.recording_id
    where cur.set_id in (0, active_set())"""

_TOLD: LiteralString = """
    select distinct on (l.asset_key, l.partition) l.partition, l.asset_key, t.value
    from event_logs l
    left join asset_event_tags t on t.event_id = l.id and t.key = 'dagster/data_version'
    where l.dagster_event_type = 'ASSET_MATERIALIZATION' and l.partition is not null
    order by l.asset_key, l.partition, l.id desc"""

_CACHED: LiteralString = """
    select s.name, k.text_hash from embedding_cache k join embedding_sets s on s.id = k.set_id"""

_VECTORS: LiteralString = """
    select c.text, v.vector from embeddings v join chunks c on c.id = v.chunk_id
    where v.set_id = %(set)s"""

_PASSAGE: LiteralString = """
    select c.text from chunks c
    join embeddings v on v.chunk_id = c.id and v.set_id = active_set()
    where c.recording_id = %(id)s and c.text like %(word)s order by c.id limit 1"""


def current_services(home: Home) -> PipelineServices:
    """The playhead with the settings of this moment."""
    settings = load_settings()
    return replace(home.services, settings=settings, engines=build_engines(settings))


def count_complaints(home: Home, ids: Sequence[str]) -> dict[str, int]:
    """By what is wrong; ``ids``: the recordings in the order they were seeded."""
    services = current_services(home)
    differing = services.pipeline.plans.differences(desired_recipes(services), Scope())
    return {
        **_counts(app_url(home.settings), _LEDGER),
        **_counts(_dagster(home), _DAGSTER),
        "not of today's recipe": sum(difference.recordings for difference in differing),
        "embedded and lost": len(count_embedded(home.settings).keys() - _cached(home)),
        "not materialised": _count_missing_events(home),
        "vectors of other texts": _count_wrong_vectors(services),
        "not found": _count_not_found(services, ids),
    }


def count_outdated_in_dagster(home: Home) -> int:
    """Partitions whose newest materialisation is not of the result that readers see."""
    with psycopg.connect(app_url(home.settings)) as ours, psycopg.connect(_dagster(home)) as theirs:
        current = {(key, stage): version for key, stage, version in ours.execute(_CURRENT)}
        told = {(key, *json.loads(asset)): version for key, asset, version in theirs.execute(_TOLD)}
    return sum(told.get(key) != version for key, version in current.items())


def count_repeated_attempts(home: Home) -> int:
    """Attempts beyond the first, over all results so far."""
    again: LiteralString = "select sum(attempt - 1) from stage_results where attempt > 1"
    return _counts(app_url(home.settings), {"again": again})["again"]


def count_repeated_embeddings(home: Home) -> int:
    """Texts that were embedded more than once with a model, each further time counted."""
    counts: Counter[tuple[str, str]] = count_embedded(home.settings)
    return counts.total() - len(counts)


def _counts(url: str, queries: Mapping[str, LiteralString]) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        found = {name: connection.execute(sql).fetchone() for name, sql in queries.items()}
    return {name: int(row[0] or 0) for name, row in found.items() if row}


def _dagster(home: Home) -> str:
    return dagster_url(home.settings).replace("+psycopg2", "")


def _cached(home: Home) -> set[tuple[str, str]]:
    with psycopg.connect(app_url(home.settings)) as connection:
        return {(name, text) for name, text in connection.execute(_CACHED)}


def _count_missing_events(home: Home) -> int:
    told = {
        stage: home.instance.get_materialized_partitions(dg.AssetKey(stage)) for stage in STAGES
    }
    return sum(len(home.services.pipeline.audit.created(stage) - told[stage]) for stage in STAGES)


def _count_wrong_vectors(services: PipelineServices) -> int:
    """Vectors that are not what their set's model makes of their chunk's text."""
    count = 0
    with psycopg.connect(app_url(services.settings)) as connection:
        register_vector(connection)
        for target in services.embedding_targets():
            rows = connection.execute(_VECTORS, {"set": target.embedding_set.id}).fetchall()
            for start in range(0, len(rows), _AT_ONCE):
                texts, kept = zip(*rows[start : start + _AT_ONCE], strict=True)
                found = np.stack([vector.to_numpy() for vector in kept])
                alike = np.sum(target.embedder.embed(texts) * found, axis=1)
                count += int(np.count_nonzero(alike < _SAME))
    return count


def _count_not_found(services: PipelineServices, ids: Sequence[str]) -> int:
    """Recordings that a passage of their own, with the word that is theirs alone, does not find."""
    search = SearchService(
        services.search.chunks,
        services.search.embedding_sets,
        services.engines.embedders,
        services.files.media,
        services.settings.org,
    )
    count = 0
    with psycopg.connect(app_url(services.settings)) as connection:
        for number in range(0, len(ids), max(1, len(ids) // _QUESTIONS)):
            own = {"id": ids[number], "word": f"%{seeding.own_word(number)}%"}
            row = connection.execute(_PASSAGE, own).fetchone()
            hits = search(row[0], limit=_HITS).hits if row else []
            count += ids[number] not in {hit.recording for hit in hits}
    return count
