"""Vector search: complete for any organisation size and filter; large ones have an index each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner

from pipeline_assets.assets.vector_indexes import vector_indexes, vector_search_recall
from pipeline_assets.schedules import vector_index_schedule
from playhead.cli.models import models
from playhead.core.records import NO_FILTER, Engine, SearchFilter
from playhead.core.settings import Settings
from playhead.postgres.database import Database, set_org
from playhead.postgres.search.chunk_search import ChunkSearch
from playhead.postgres.search.embedding_sets import EmbeddingSet, EmbeddingSets
from playhead.postgres.search.vector_indexes import VectorIndexes
from playhead.services.context import PipelineServices, open_pipeline_services
from playhead.services.recall import recall
from tests.integration.conftest import stub_engines
from tests.support.factories import unit_vectors

_DIMENSIONS = 24
_EXACT_LIMIT = 200  # vectors scanned exactly in these tests; the released limit is higher
_CHUNKS_PER_RECORDING = 20
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)

_FILL = b"""
with vectors as (
    select place, at, id, vector
    from unnest(%(ids)s::uuid[], %(vectors)s::vector[]) with ordinality as v (id, vector, place),
        lateral (select ((place - 1) / 20)::integer as at)
), org as (
    insert into organisations (id) values (%(org)s) on conflict do nothing
), told as (
    insert into recordings (id, org_id, sha256, size_bytes, kind, title, partition_key, suffix,
        created_at)
    select id, %(org)s, md5(id::text) || md5(id::text), 1, 'meeting', 'told', id::text, '.wav',
        %(begin)s::timestamptz + place * interval '1 day'
    from unnest(%(recordings)s::uuid[]) with ordinality as r (id, place)
), chunk as (
    insert into chunks (id, org_id, recording_id, recipe_hash, result_id, source, text_hash,
        occurrence, text, ordinal, char_start, char_end, start_seconds, end_seconds, speaker,
        token_count, phrases, search_config)
    select id, %(org)s, (%(recordings)s::uuid[])[at + 1], 'r', 0, 'transcript', 'h' || place, 0,
        'word', place, 0, 4, place, place + 1,
        case when place %% 100 = 0 then 'Rare' else 'Ada' end, 1, '[]', 'english'
    from vectors
)
insert into embeddings (set_id, org_id, chunk_id, result_id, vector)
select %(set)s, %(org)s, id, 0, vector from vectors
"""


@pytest.fixture
def exact_limit(database: Database) -> None:
    _set_exact_limit(database, _EXACT_LIMIT)


def _set_exact_limit(database: Database, exact_limit: int) -> None:
    database.run(
        b"create or replace function max_exact_vectors(dimensions integer) returns integer"
        b" language sql immutable as 'select %d'" % exact_limit
    )


@pytest.fixture
def embedding_set(database: Database) -> EmbeddingSet:
    return EmbeddingSets(database).add("hash", Engine("vectors by hash", "a"), _DIMENSIONS)


Fill = Callable[[str, int], list[UUID]]


@pytest.fixture
def fill(database: Database, embedding_set: EmbeddingSet) -> Fill:
    """Return a function that adds chunks with random vectors, twenty per recording.

    It returns the recordings, oldest first.
    """

    def fill(org: str, count: int) -> list[UUID]:
        recordings = [uuid4() for _ in range(0, count, _CHUNKS_PER_RECORDING)]
        with database.transaction() as connection:
            connection.execute(b"set local session_replication_role = replica")  # no results
            connection.execute(
                _FILL,
                {
                    "org": org,
                    "set": embedding_set.id,
                    "ids": [uuid4() for _ in range(count)],
                    "recordings": recordings,
                    "begin": _BEGIN,
                    "vectors": list(unit_vectors([f"{org} {n}" for n in range(count)], 24)),
                },
            )
        database.run(b"analyze recordings, chunks, embeddings")
        return recordings

    return fill


def measure_recall(
    database: Database, embedding_set: EmbeddingSet, org: str, filters: SearchFilter
) -> float:
    """Return the recall of ten questions; fail if an answer is shorter than the exact one."""
    chunk_search, recalls = ChunkSearch(database), []
    for question in unit_vectors([f"question {n}" for n in range(10)], _DIMENSIONS):
        answer, exact = (
            search(question, embedding_set, org_id=org, limit=10, filters=filters)
            for search in (chunk_search.nearest, chunk_search.nearest_exact)
        )
        assert len(answer) == len(exact)
        recalls.append(recall(answer, exact))
    return float(np.mean(recalls))


_SCANS = (
    b"select coalesce(sum(pg_stat_get_xact_numscans(indexrelid)), 0)::integer as scans"
    b" from pg_index where indexrelid::regclass::text like 'embeddings_set%_of_%'"
)


def count_index_scans(
    database: Database, embedding_set: EmbeddingSet, org: str, filter_sql: bytes
) -> int:
    """Return how often one search uses an organisation's index."""
    with database.transaction() as connection:
        set_org(connection, org, "playhead_app")
        [before] = connection.execute(_SCANS).fetchall()
        connection.execute(
            b"select * from nearest(%(set)s, %(question)s, " + filter_sql + b", 10)",
            {"set": embedding_set.id, "question": unit_vectors(["question"], _DIMENSIONS)[0]},
        )
        [after] = connection.execute(_SCANS).fetchall()
    return int(after["scans"] - before["scans"])


@pytest.mark.usefixtures("exact_limit")
def test_vector_index_is_built_only_for_a_large_organisation(
    database: Database, embedding_set: EmbeddingSet, fill: Fill
) -> None:
    fill("large", 600)
    fill("small", 150)
    indexes = VectorIndexes(database)
    [built] = indexes.maintain()
    assert (built.org_id, built.action) == ("large", "build")
    assert [(index.org_id, index.valid, index.action) for index in indexes.index_states()] == [
        ("large", True, None)
    ]
    assert count_index_scans(database, embedding_set, "large", b"null") == 1
    assert count_index_scans(database, embedding_set, "small", b"null") == 0
    for org in ("large", "small"):
        assert measure_recall(database, embedding_set, org, NO_FILTER) >= 0.99


@pytest.mark.usefixtures("exact_limit")
@pytest.mark.parametrize("share", [0.5, 0.1, 0.02, 0.0])
def test_filtered_search_is_complete_for_any_share(
    database: Database, embedding_set: EmbeddingSet, fill: Fill, share: float
) -> None:
    recordings = fill("large", 3000)
    VectorIndexes(database).maintain()
    since = _BEGIN + (1 + (1 - share) * len(recordings)) * timedelta(days=1)
    assert measure_recall(database, embedding_set, "large", SearchFilter(since=since)) >= 0.99


@pytest.mark.usefixtures("exact_limit")
def test_exact_scan_completes_a_search_that_the_index_leaves_short(
    database: Database, embedding_set: EmbeddingSet, fill: Fill
) -> None:
    fill("large", 3000)
    VectorIndexes(database).maintain()
    filter_sql = b"row(null, null, null, null, null, null, null, 2970, null)::search_filter"
    assert count_index_scans(database, embedding_set, "large", filter_sql) == 1, (
        "the index returns too exact_limit"
    )
    assert measure_recall(database, embedding_set, "large", SearchFilter(from_seconds=2970)) == 1.0


@pytest.mark.usefixtures("exact_limit")
def test_rare_speaker_is_found_by_the_speaker_index(
    database: Database, embedding_set: EmbeddingSet, fill: Fill
) -> None:
    first, second, *_ = fill("large", 3000)
    VectorIndexes(database).maintain()
    database.run(
        b"insert into speaker_names (org_id, recording_id, label, name) values"
        b" ('large', %(first)s, 'Ada', 'Bea'), ('large', %(second)s, 'Ada', 'rare')",
        first=first,
        second=second,
    )
    for name, chunk_search in {"Rare": 50, "BEA": 20}.items():
        filters = b"row(null, null, array['%b'], null, null, null, null, null, null)"
        filter_sql = filters % name.encode() + b"::search_filter"
        assert count_index_scans(database, embedding_set, "large", filter_sql) == 0
        exact = ChunkSearch(database).nearest_exact(
            unit_vectors(["question"], _DIMENSIONS)[0],
            embedding_set,
            org_id="large",
            limit=1000,
            filters=SearchFilter(speakers=(name,)),
        )
        assert len(exact) == chunk_search
        assert (
            measure_recall(database, embedding_set, "large", SearchFilter(speakers=(name,))) == 1.0
        )
    assert (
        count_index_scans(database, embedding_set, "large", filter_sql.replace(b"BEA", b"ada")) == 1
    )


@pytest.mark.usefixtures("exact_limit")
def test_few_recordings_are_scanned_without_the_vector_index(
    database: Database, embedding_set: EmbeddingSet, fill: Fill
) -> None:
    first, *_ = fill("large", 600)
    VectorIndexes(database).maintain()
    filter_sql = f"row(null, array['{first}']::uuid[], null, null, null, null, null, null, null)"
    assert (
        count_index_scans(
            database, embedding_set, "large", filter_sql.encode() + b"::search_filter"
        )
        == 0
    )
    assert (
        measure_recall(database, embedding_set, "large", SearchFilter(recordings=(str(first),)))
        == 1.0
    )


@pytest.mark.usefixtures("exact_limit")
def test_search_keeps_the_session_settings(
    database: Database, embedding_set: EmbeddingSet, fill: Fill
) -> None:
    fill("large", 600)
    VectorIndexes(database).maintain()
    with database.transaction() as connection:
        set_org(connection, "large", "playhead_app")
        [question] = unit_vectors(["question"], _DIMENSIONS)
        connection.execute(
            b"select * from nearest(%(set)s, %(question)s, null, 10)",
            {"set": embedding_set.id, "question": question},
        )
        [row] = connection.execute(
            b"select current_setting('enable_sort') as sorts,"
            b" current_setting('hnsw.ef_search') as width"
        ).fetchall()
    assert row == {"sorts": "on", "width": "40"}


@pytest.mark.usefixtures("exact_limit")
def test_vector_index_is_dropped_when_its_organisation_is_small(
    database: Database, embedding_set: EmbeddingSet, fill: Fill
) -> None:
    fill("large", 600)
    indexes = VectorIndexes(database)
    indexes.maintain()
    database.run(
        b"delete from embeddings where chunk_id in"
        b" (select chunk_id from embeddings order by chunk_id limit 520)"
    )
    [index] = indexes.maintain()
    assert index.action == "drop"
    assert indexes.index_states() == []
    assert measure_recall(database, embedding_set, "large", NO_FILTER) == 1.0


@pytest.mark.usefixtures("exact_limit")
def test_vector_index_that_is_mostly_empty_is_rebuilt(
    database: Database, embedding_set: EmbeddingSet, fill: Fill
) -> None:
    fill("large", 3000)
    indexes = VectorIndexes(database)
    [built] = [*indexes.maintain(), *indexes.index_states()][1:]
    database.run(
        b"delete from embeddings where chunk_id in"
        b" (select chunk_id from embeddings order by chunk_id limit 2700)"
    )
    database.run(b"vacuum analyze embeddings_set_%d" % embedding_set.id)
    assert [index.action for index in indexes.maintain()] == ["rebuild"]
    [rebuilt] = indexes.index_states()
    assert rebuilt.action is None
    assert (rebuilt.bytes or 0) < (built.bytes or 0) / 4


@pytest.mark.usefixtures("exact_limit")
def test_invalid_vector_index_is_not_used_and_built_again(
    database: Database, embedding_set: EmbeddingSet, fill: Fill
) -> None:
    fill("large", 600)
    indexes = VectorIndexes(database)
    [index] = indexes.maintain()
    database.run(
        b"update pg_index set indisvalid = false where indexrelid = to_regclass(%(name)s)",
        name=index.name,
    )
    assert count_index_scans(database, embedding_set, "large", b"null") == 0
    assert measure_recall(database, embedding_set, "large", NO_FILTER) == 1.0
    assert [change.action for change in indexes.maintain()] == ["build"]
    assert [index_state.valid for index_state in indexes.index_states()] == [True]


@dataclass(frozen=True)
class Installation:
    """An installation whose active embedding set has large and small organisations."""

    services: PipelineServices
    database: Database

    def maintain(self, instance: dg.DagsterInstance) -> None:
        resources = {"playhead": dg.ResourceDefinition.hardcoded_resource(self.services)}
        assert dg.materialize([vector_indexes], instance=instance, resources=resources).success

    def check(self) -> dg.AssetCheckResult:
        result = vector_search_recall(self.services)
        assert isinstance(result, dg.AssetCheckResult)
        return result


@pytest.fixture
def installation(database: Database, settings: Settings, fill: Fill) -> Iterator[Installation]:
    _set_exact_limit(database, _EXACT_LIMIT)
    fill("large", 3000)
    fill("small", 150)
    settings_ = settings.model_copy(update={"database_url": database.url})
    with open_pipeline_services(settings_, stub_engines()) as services:
        yield Installation(services, database)


def test_index_schedule_builds_missing_indexes_and_then_skips(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    context = dg.build_schedule_context(instance, resources={"playhead": installation.services})
    assert isinstance(vector_index_schedule(context), dg.RunRequest)
    installation.maintain(instance)
    assert isinstance(vector_index_schedule(context), dg.SkipReason)


def test_recall_check_reports_sizes_and_fails_for_a_bad_index(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    installation.maintain(instance)
    good = installation.check()
    assert good.passed
    assert good.metadata["up to 1,000: recall"].value == 1.0
    assert good.metadata["up to 10,000: organisations"].value == 1
    [index] = installation.services.search.vector_indexes.index_states()
    installation.database.run(b"drop index " + index.name.encode())
    installation.database.run(  # too few neighbours, and a search that stops too early
        b"create index " + index.name.encode() + b" on embeddings_set_%d"
        b" using hnsw ((vector::halfvec(%d)) halfvec_cosine_ops) with (m = 2, ef_construction = 4)"
        b" where org_id = 'large'" % (index.set_id, index.dimensions)
    )
    installation.database.run(b"alter function nearest_by_index set hnsw.ef_search = 10")
    bad = installation.check()
    assert not bad.passed
    assert bad.severity == dg.AssetCheckSeverity.ERROR
    assert bad.metadata["up to 1,000: recall"].value == 1.0
    assert float(str(bad.metadata["up to 10,000: recall"].value)) < 0.99


def test_recall_check_passes_without_recordings(
    services: PipelineServices,
) -> None:
    result = vector_search_recall(services)
    assert isinstance(result, dg.AssetCheckResult)
    assert result.passed


def test_status_of_an_embedding_set_lists_its_indexes(
    installation: Installation, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", installation.services.settings.database_url or "")
    monkeypatch.setenv("PLAYHEAD_HOME", str(installation.services.settings.home))
    [embedding_set] = installation.services.search.embedding_sets.live()
    result = CliRunner().invoke(models, ["status", str(embedding_set.id)])
    assert "index of large: none yet, to build" in result.output
    installation.maintain(instance)
    result = CliRunner().invoke(models, ["status", str(embedding_set.id)])
    assert "index of large: 1 MB" in result.output
    assert "small" not in result.output
