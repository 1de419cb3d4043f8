"""Checks of an installation after all work has finished: counts that must all be 0.

``kills.py`` uses them.
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
_BATCH = 500
_MIN_COSINE = 0.999  # a model is not bit-stable

#: Each query counts rows that must not exist.
_RESULT_QUERIES: dict[str, LiteralString] = {
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
        select count(*) from embedding_sets e, missing_recordings(e.id)
        where e.state <> 'retired'""",
    "vectors not cached": """
        select count(*) from embeddings v join chunks c on c.id = v.chunk_id
        where not exists (
            select from embedding_cache k
            where k.org_id = c.org_id and k.set_id = v.set_id and k.text_hash = c.text_hash)""",
}

_DAGSTER_QUERIES: dict[str, LiteralString] = {
    "reported twice by one run": """
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

_REPORTED: LiteralString = """
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

_OWN_CHUNK: LiteralString = """
    select c.text from chunks c
    join embeddings v on v.chunk_id = c.id and v.set_id = active_set()
    where c.recording_id = %(id)s and c.text like %(word)s order by c.id limit 1"""


def current_services(home: Home) -> PipelineServices:
    """Return services with the settings of this moment."""
    settings = load_settings()
    return replace(home.services, settings=settings, engines=build_engines(settings))


def count_complaints(home: Home, ids: Sequence[str]) -> dict[str, int]:
    """Return counts by problem; ``ids`` are the recordings in the order they were seeded."""
    services = current_services(home)
    differing = services.pipeline.plans.differences(desired_recipes(services), Scope())
    return {
        **_counts(app_url(home.settings), _RESULT_QUERIES),
        **_counts(_dagster(home), _DAGSTER_QUERIES),
        "not of today's recipe": sum(difference.recordings for difference in differing),
        "embedded and lost": len(count_embedded(home.settings).keys() - _cached(home)),
        "not materialised": _count_missing_events(home),
        "vectors of other texts": _count_wrong_vectors(services),
        "not found": _count_not_found(services, ids),
    }


def count_outdated_in_dagster(home: Home) -> int:
    """Count partitions whose newest materialization is not of the current result."""
    with psycopg.connect(app_url(home.settings)) as app, psycopg.connect(_dagster(home)) as dagster:
        current = {(key, stage): version for key, stage, version in app.execute(_CURRENT)}
        reported = {
            (key, *json.loads(asset)): version for key, asset, version in dagster.execute(_REPORTED)
        }
    return sum(reported.get(key) != version for key, version in current.items())


def count_repeated_attempts(home: Home) -> int:
    """Count attempts beyond the first, over all results so far."""
    query: LiteralString = "select sum(attempt - 1) from stage_results where attempt > 1"
    return _counts(app_url(home.settings), {"again": query})["again"]


def count_repeated_embeddings(home: Home) -> int:
    """Count texts embedded more than once with a model, each further time counted."""
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
    reported = {
        stage: home.instance.get_materialized_partitions(dg.AssetKey(stage)) for stage in STAGES
    }
    return sum(
        len(home.services.pipeline.audit.created(stage) - reported[stage]) for stage in STAGES
    )


def _count_wrong_vectors(services: PipelineServices) -> int:
    """Count vectors that differ from their set's model applied to their chunk's text."""
    count = 0
    with psycopg.connect(app_url(services.settings)) as connection:
        register_vector(connection)
        for target in services.embedding_targets():
            rows = connection.execute(_VECTORS, {"set": target.embedding_set.id}).fetchall()
            for start in range(0, len(rows), _BATCH):
                texts, stored = zip(*rows[start : start + _BATCH], strict=True)
                found = np.stack([vector.to_numpy() for vector in stored])
                cosines = np.sum(target.embedder.embed(texts) * found, axis=1)
                count += int(np.count_nonzero(cosines < _MIN_COSINE))
    return count


def _count_not_found(services: PipelineServices, ids: Sequence[str]) -> int:
    """Count recordings not found by a chunk of their own with their unique word."""
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
            row = connection.execute(_OWN_CHUNK, own).fetchone()
            hits = search(row[0], limit=_HITS).hits if row else []
            count += ids[number] not in {hit.recording for hit in hits}
    return count
