"""Whatever an organisation's size and whatever the filter: what is nearest is found, all of it, and
large organisations are asked by an index of their own."""

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
_FEW = 200  # compared one by one in these tests; the released number is another
_A_RECORDING = 20
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
def few(database: Database) -> None:
    _few_are(database, _FEW)


def _few_are(database: Database, few: int) -> None:
    database.run(
        b"create or replace function max_exact_vectors(dimensions integer) returns integer"
        b" language sql immutable as 'select %d'" % few
    )


@pytest.fixture
def searched(database: Database) -> EmbeddingSet:
    return EmbeddingSets(database).add("hash", Engine("vectors by hash", "a"), _DIMENSIONS)


Fill = Callable[[str, int], list[UUID]]


@pytest.fixture
def fill(database: Database, searched: EmbeddingSet) -> Fill:
    """Passages with vectors by chance, twenty to a recording; the recordings, oldest first."""

    def fill(org: str, count: int) -> list[UUID]:
        recordings = [uuid4() for _ in range(0, count, _A_RECORDING)]
        with database.transaction() as connection:
            connection.execute(b"set local session_replication_role = replica")  # no results
            connection.execute(
                _FILL,
                {
                    "org": org,
                    "set": searched.id,
                    "ids": [uuid4() for _ in range(count)],
                    "recordings": recordings,
                    "begin": _BEGIN,
                    "vectors": list(unit_vectors([f"{org} {n}" for n in range(count)], 24)),
                },
            )
        database.run(b"analyze recordings, chunks, embeddings")
        return recordings

    return fill


def found(database: Database, searched: EmbeddingSet, org: str, filters: SearchFilter) -> float:
    """Recall of ten questions; never an answer shorter than the exact one."""
    passages, recalls = ChunkSearch(database), []
    for question in unit_vectors([f"question {n}" for n in range(10)], _DIMENSIONS):
        answer, exact = (
            near(question, searched, org_id=org, limit=10, filters=filters)
            for near in (passages.nearest, passages.nearest_exact)
        )
        assert len(answer) == len(exact)
        recalls.append(recall(answer, exact))
    return float(np.mean(recalls))


_SCANS = (
    b"select coalesce(sum(pg_stat_get_xact_numscans(indexrelid)), 0)::integer as scans"
    b" from pg_index where indexrelid::regclass::text like 'embeddings_set%_of_%'"
)


def scans(database: Database, searched: EmbeddingSet, org: str, narrowed_by: bytes) -> int:
    """How often one search asks an organisation's index."""
    with database.transaction() as connection:
        set_org(connection, org, "playhead_app")
        [before] = connection.execute(_SCANS).fetchall()
        connection.execute(
            b"select * from nearest(%(set)s, %(question)s, " + narrowed_by + b", 10)",
            {"set": searched.id, "question": unit_vectors(["question"], _DIMENSIONS)[0]},
        )
        [after] = connection.execute(_SCANS).fetchall()
    return int(after["scans"] - before["scans"])


@pytest.mark.usefixtures("few")
def test_an_organisation_that_grew_has_an_index_of_its_own_and_the_others_none(
    database: Database, searched: EmbeddingSet, fill: Fill
) -> None:
    fill("large", 600)
    fill("small", 150)
    indexes = VectorIndexes(database)
    [built] = indexes.maintain()
    assert (built.org_id, built.action) == ("large", "build")
    assert [(index.org_id, index.valid, index.action) for index in indexes.index_states()] == [
        ("large", True, None)
    ]
    assert scans(database, searched, "large", b"null") == 1
    assert scans(database, searched, "small", b"null") == 0
    for org in ("large", "small"):
        assert found(database, searched, org, NO_FILTER) >= 0.99


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("share", [0.5, 0.1, 0.02, 0.0])
def test_whatever_a_filter_leaves_is_found_and_never_less_of_it(
    database: Database, searched: EmbeddingSet, fill: Fill, share: float
) -> None:
    recordings = fill("large", 3000)
    VectorIndexes(database).maintain()
    since = _BEGIN + (1 + (1 - share) * len(recordings)) * timedelta(days=1)
    assert found(database, searched, "large", SearchFilter(since=since)) >= 0.99


@pytest.mark.usefixtures("few")
def test_what_an_index_does_not_come_to_is_compared(
    database: Database, searched: EmbeddingSet, fill: Fill
) -> None:
    fill("large", 3000)
    VectorIndexes(database).maintain()
    at_the_end = b"row(null, null, null, null, null, null, null, 2970, null)::search_filter"
    assert scans(database, searched, "large", at_the_end) == 1, "asked, and came back short"
    assert found(database, searched, "large", SearchFilter(from_seconds=2970)) == 1.0


@pytest.mark.usefixtures("few")
def test_somebody_who_rarely_speaks_is_found_by_an_index_of_speakers(
    database: Database, searched: EmbeddingSet, fill: Fill
) -> None:
    first, second, *_ = fill("large", 3000)
    VectorIndexes(database).maintain()
    database.run(
        b"insert into speaker_names (org_id, recording_id, label, name) values"
        b" ('large', %(first)s, 'Ada', 'Bea'), ('large', %(second)s, 'Ada', 'rare')",
        first=first,
        second=second,
    )
    for name, passages in {"Rare": 50, "BEA": 20}.items():
        filters = b"row(null, null, array['%b'], null, null, null, null, null, null)"
        by_speaker = filters % name.encode() + b"::search_filter"
        assert scans(database, searched, "large", by_speaker) == 0
        exact = ChunkSearch(database).nearest_exact(
            unit_vectors(["question"], _DIMENSIONS)[0],
            searched,
            org_id="large",
            limit=1000,
            filters=SearchFilter(speakers=(name,)),
        )
        assert len(exact) == passages
        assert found(database, searched, "large", SearchFilter(speakers=(name,))) == 1.0
    assert scans(database, searched, "large", by_speaker.replace(b"BEA", b"ada")) == 1


@pytest.mark.usefixtures("few")
def test_few_recordings_are_compared_without_asking_the_index(
    database: Database, searched: EmbeddingSet, fill: Fill
) -> None:
    first, *_ = fill("large", 600)
    VectorIndexes(database).maintain()
    named = f"row(null, array['{first}']::uuid[], null, null, null, null, null, null, null)"
    assert scans(database, searched, "large", named.encode() + b"::search_filter") == 0
    assert found(database, searched, "large", SearchFilter(recordings=(str(first),))) == 1.0


@pytest.mark.usefixtures("few")
def test_a_search_in_between_keeps_its_own_settings(
    database: Database, searched: EmbeddingSet, fill: Fill
) -> None:
    fill("large", 600)
    VectorIndexes(database).maintain()
    with database.transaction() as connection:
        set_org(connection, "large", "playhead_app")
        [question] = unit_vectors(["question"], _DIMENSIONS)
        connection.execute(
            b"select * from nearest(%(set)s, %(question)s, null, 10)",
            {"set": searched.id, "question": question},
        )
        [row] = connection.execute(
            b"select current_setting('enable_sort') as sorts,"
            b" current_setting('hnsw.ef_search') as width"
        ).fetchall()
    assert row == {"sorts": "on", "width": "40"}


@pytest.mark.usefixtures("few")
def test_an_index_goes_when_its_organisation_became_small(
    database: Database, searched: EmbeddingSet, fill: Fill
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
    assert found(database, searched, "large", NO_FILTER) == 1.0


@pytest.mark.usefixtures("few")
def test_an_index_that_was_mostly_emptied_is_built_anew(
    database: Database, searched: EmbeddingSet, fill: Fill
) -> None:
    fill("large", 3000)
    indexes = VectorIndexes(database)
    [built] = [*indexes.maintain(), *indexes.index_states()][1:]
    database.run(
        b"delete from embeddings where chunk_id in"
        b" (select chunk_id from embeddings order by chunk_id limit 2700)"
    )
    database.run(b"vacuum analyze embeddings_set_%d" % searched.id)
    assert [index.action for index in indexes.maintain()] == ["rebuild"]
    [rebuilt] = indexes.index_states()
    assert rebuilt.action is None
    assert (rebuilt.bytes or 0) < (built.bytes or 0) / 4


@pytest.mark.usefixtures("few")
def test_an_index_whose_building_was_killed_is_not_asked_and_built_again(
    database: Database, searched: EmbeddingSet, fill: Fill
) -> None:
    fill("large", 600)
    indexes = VectorIndexes(database)
    [index] = indexes.maintain()
    database.run(
        b"update pg_index set indisvalid = false where indexrelid = to_regclass(%(name)s)",
        name=index.name,
    )
    assert scans(database, searched, "large", b"null") == 0
    assert found(database, searched, "large", NO_FILTER) == 1.0
    assert [change.action for change in indexes.maintain()] == ["build"]
    assert [index_state.valid for index_state in indexes.index_states()] == [True]


@dataclass(frozen=True)
class OfBench:
    """A playhead whose searched set has large and small organisations."""

    services: PipelineServices
    database: Database

    def keep(self, instance: dg.DagsterInstance) -> None:
        resources = {"playhead": dg.ResourceDefinition.hardcoded_resource(self.services)}
        assert dg.materialize([vector_indexes], instance=instance, resources=resources).success

    def check(self) -> dg.AssetCheckResult:
        result = vector_search_recall(self.services)
        assert isinstance(result, dg.AssetCheckResult)
        return result


@pytest.fixture
def of_services(database: Database, settings: Settings, fill: Fill) -> Iterator[OfBench]:
    _few_are(database, _FEW)
    fill("large", 3000)
    fill("small", 150)
    ours = settings.model_copy(update={"database_url": database.url})
    with open_pipeline_services(ours, stub_engines()) as services:
        yield OfBench(services, database)


def test_the_clock_builds_what_is_due_and_starts_no_run_after(
    of_services: OfBench, instance: dg.DagsterInstance
) -> None:
    context = dg.build_schedule_context(instance, resources={"playhead": of_services.services})
    assert isinstance(vector_index_schedule(context), dg.RunRequest)
    of_services.keep(instance)
    assert isinstance(vector_index_schedule(context), dg.SkipReason)


def test_the_nightly_check_tells_of_each_size_and_is_red_where_an_index_finds_too_little(
    of_services: OfBench, instance: dg.DagsterInstance
) -> None:
    of_services.keep(instance)
    good = of_services.check()
    assert good.passed
    assert good.metadata["up to 1,000: recall"].value == 1.0
    assert good.metadata["up to 10,000: organisations"].value == 1
    [index] = of_services.services.search.vector_indexes.index_states()
    of_services.database.run(b"drop index " + index.name.encode())
    of_services.database.run(  # of too few neighbours, and asked too hastily
        b"create index " + index.name.encode() + b" on embeddings_set_%d"
        b" using hnsw ((vector::halfvec(%d)) halfvec_cosine_ops) with (m = 2, ef_construction = 4)"
        b" where org_id = 'large'" % (index.set_id, index.dimensions)
    )
    of_services.database.run(b"alter function nearest_by_index set hnsw.ef_search = 10")
    bad = of_services.check()
    assert not bad.passed
    assert bad.severity == dg.AssetCheckSeverity.ERROR
    assert bad.metadata["up to 1,000: recall"].value == 1.0
    assert float(str(bad.metadata["up to 10,000: recall"].value)) < 0.99


def test_the_nightly_check_has_nothing_against_a_system_without_recordings(
    services: PipelineServices,
) -> None:
    result = vector_search_recall(services)
    assert isinstance(result, dg.AssetCheckResult)
    assert result.passed


def test_the_status_of_a_set_tells_of_its_indexes(
    of_services: OfBench, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", of_services.services.settings.database_url or "")
    monkeypatch.setenv("PLAYHEAD_HOME", str(of_services.services.settings.home))
    [embedding_set] = of_services.services.search.embedding_sets.live()
    told = CliRunner().invoke(models, ["status", str(embedding_set.id)])
    assert "index of large: none yet, to build" in told.output
    of_services.keep(instance)
    told = CliRunner().invoke(models, ["status", str(embedding_set.id)])
    assert "index of large: 1 MB" in told.output
    assert "small" not in told.output
