"""Deletion: no trace of a recording is left, and nothing of the others is removed."""

from __future__ import annotations

import json
import time
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.scheduler.instigation import InstigatorType, TickData, TickStatus

from pipeline_assets.definitions import build_definitions
from pipeline_assets.maintenance.delete_recording import delete, finish_deletion
from playhead.core.errors import RecordingDeleted
from playhead.core.records import STAGES, Recording
from playhead.core.settings import Settings
from playhead.engines.registry import EmbedderRegistry
from playhead.postgres.database import Database
from playhead.postgres.database_urls import dagster_tables_url
from playhead.postgres.deletion.rows import RecordingDeletion
from playhead.postgres.pipeline.stage_results import StageResults
from playhead.services.context import PipelineServices, open_pipeline_services
from tests.integration.conftest import Pipeline, stub_engines, write_sound
from tests.support import factories
from tests.support.factories import PipelineDriver
from tests.support.residue_markers import (
    FAILING,
    MARKED,
    SPOKEN,
    TITLE,
    WORDS,
    CanaryTranscriber,
    PausableEmbedder,
    dump,
    find_in_dump,
    find_in_files,
)

_ROOT = Path(__file__).parents[2]

Add = Callable[..., Recording]


@pytest.fixture
def transcriber() -> CanaryTranscriber:
    return CanaryTranscriber()


@pytest.fixture
def embedder() -> PausableEmbedder:
    return PausableEmbedder()


@pytest.fixture
def pipeline(
    settings: Settings,
    transcriber: CanaryTranscriber,
    embedder: PausableEmbedder,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Pipeline]:
    """Return a pipeline whose Dagster stores its state in Postgres, as in production."""
    monkeypatch.setenv("PLAYHEAD_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
    engines = replace(
        stub_engines(),
        transcriber=transcriber,
        embedders=EmbedderRegistry("stub", {"stub": lambda: embedder}),
    )
    with (
        open_pipeline_services(settings, engines) as services,
        dg.DagsterInstance.from_config(str(_ROOT)) as instance,
    ):
        yield Pipeline(services, instance, build_definitions(settings, engines=engines))


@pytest.fixture
def add(pipeline: Pipeline, tmp_path: Path) -> Add:
    """Return a function that adds half a second of sound with these bytes in it."""

    def add(title: str, content: bytes = b"--------", org_id: str = "default") -> Recording:
        file = tmp_path / "sound.wav"
        with wave.open(str(file), "wb") as sound:
            sound.setparams((1, 2, 16_000, 0, "NONE", ""))
            sound.writeframes((title.encode() + bytes(1 + len(title.encode()) % 2)) * 20)
            sound.writeframes(content * 1000)
        return pipeline.services.ingest.add(file, org_id=org_id, title=title).recording

    return add


def databases(services: PipelineServices) -> list[str]:
    return [str(services.settings.database_url), dagster_tables_url(services.settings)]


def find_residue(services: PipelineServices, *needles: str) -> set[tuple[str, str]]:
    """Return (place, needle) everywhere but in the server's own files."""
    residue = find_in_files(services.settings.home, *needles)
    for url in databases(services):
        residue |= {(url, needle) for needle in find_in_dump(url, *needles)}
    return residue


def test_deletion_removes_all_traces_of_ready_and_failed_recordings(
    pipeline: Pipeline, add: Add
) -> None:
    services = pipeline.services
    deleted, failed, other = add(TITLE, MARKED), add("Deaf Zanzibar", FAILING), add("A plain talk")
    pipeline.run(deleted, failed, other, only=("raw_media", "transcript"))
    pipeline.run(deleted, other)
    assert {word for _, word in find_residue(services, *WORDS)} == set(WORDS), (
        "the canaries get everywhere"
    )
    report = delete(services, pipeline.instance, [deleted.id, failed.id])
    assert report.found == []
    assert not find_residue(services, *WORDS)
    assert [status.id for status in services.pipeline.recordings.statuses("default")] == [other.id]
    assert pipeline.materialised("embeddings") == {other.id}
    assert pipeline.instance.get_dynamic_partitions("recordings") == [other.partition_key]
    with psycopg.connect(databases(services)[0]) as connection:
        rows = connection.execute("select recording_id::text from deleted_recordings").fetchall()
    assert {row[0] for row in rows} == {deleted.id, failed.id}


def test_deletion_keeps_only_the_id_in_the_list_of_deleted_recordings(
    pipeline: Pipeline, add: Add
) -> None:
    deleted, other = add(TITLE, MARKED), add("A plain talk")
    pipeline.run(deleted, other)
    pipeline.run(deleted)
    delete(pipeline.services, pipeline.instance, [deleted.id])
    for url in databases(pipeline.services):
        assert dump(url).count(deleted.id) == 1
    assert not find_in_files(pipeline.services.settings.home, deleted.id)


def test_deletion_keeps_shared_runs_for_the_other_recordings(pipeline: Pipeline, add: Add) -> None:
    first, second, third = (add(title) for title in ("One talk", "Two talks", "Three talks"))
    run = pipeline.run(first, second, third).dagster_run
    own_run = pipeline.run(first).dagster_run
    delete(pipeline.services, pipeline.instance, [first.id])
    shared = pipeline.instance.get_run_by_id(run.run_id)
    assert shared is not None
    assert shared.tags["dagster/asset_partition_range_start"] == second.partition_key
    assert shared.tags["dagster/asset_partition_range_end"] == third.partition_key
    assert pipeline.instance.all_logs(run.run_id)
    deleted = pipeline.instance.get_run_by_id(own_run.run_id)
    assert deleted is None or first.id not in str(deleted)
    for stage in STAGES:
        assert pipeline.materialised(stage) == {second.id, third.id}


def test_deletion_removes_the_recording_from_the_asset_page(pipeline: Pipeline, add: Add) -> None:
    other, deleted = add("A plain talk"), add(TITLE, MARKED)
    pipeline.run(other)
    pipeline.run(deleted)
    delete(pipeline.services, pipeline.instance, [deleted.id])
    for stage in STAGES:
        event = pipeline.instance.get_latest_materialization_event(dg.AssetKey(stage))
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.partition == other.partition_key


def test_deletion_removes_the_name_of_the_added_file(pipeline: Pipeline) -> None:
    """Check the run that added it and the cursor of the inbox sensor."""
    services, instance = pipeline.services, pipeline.instance
    inbox = services.settings.home / "inbox"
    inbox.mkdir(parents=True)
    file = write_sound(inbox / f"{TITLE}.wav")
    result = pipeline.definitions.resolve_job_def("ingest_inbox_file").execute_in_process(
        instance=instance, run_config={"ops": {"ingest_file": {"config": {"name": file.name}}}}
    )
    assert result.success
    instance.create_tick(
        TickData(
            instigator_origin_id="inbox",
            instigator_name="inbox",
            instigator_type=InstigatorType.SENSOR,
            status=TickStatus.SKIPPED,
            timestamp=time.time(),
            cursor=json.dumps({file.name: [1, 2]}),
        )
    )
    [deleted] = services.pipeline.recordings.statuses("default")
    assert find_residue(services, "Zanzibar", "quokka")
    assert delete(services, instance, [deleted.id]).found == []
    assert not find_residue(services, "Zanzibar", "quokka")
    assert instance.get_run_by_id(result.run_id) is None


def test_deletion_during_transcription_leaves_no_trace(
    pipeline: Pipeline, add: Add, transcriber: CanaryTranscriber
) -> None:
    services = pipeline.services
    deleted, other = add(TITLE, MARKED), add("A plain talk")
    transcriber.hold = True
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(pipeline.run, deleted, other)
        assert transcriber.transcribing.wait(60)
        assert delete(services, pipeline.instance, [deleted.id]).found == []
        transcriber.go_on.set()
        result = run.result()
    assert result.success, "the run continues for the other recordings"
    assert pipeline.materialised("embeddings") == {other.id}
    assert not find_residue(services, *WORDS)
    assert dump(databases(services)[1]).count(deleted.id) == 1


def test_deletion_during_embedding_leaves_no_vector(
    pipeline: Pipeline, add: Add, embedder: PausableEmbedder
) -> None:
    services = pipeline.services
    deleted = add(TITLE, MARKED)
    pipeline.run(deleted, only=("raw_media", "transcript", "document", "chunks"))
    embedder.hold = True
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(pipeline.run, deleted)
        assert embedder.embedding.wait(60)
        delete(services, pipeline.instance, [deleted.id])
        embedder.go_on.set()
        run.result()
    with psycopg.connect(databases(services)[0]) as connection:
        assert connection.execute("select count(*) from embedding_cache").fetchone() == (0,)
    assert not find_residue(services, *WORDS)


def test_dagster_events_of_a_deleted_recording_are_rejected(pipeline: Pipeline, add: Add) -> None:
    deleted, other = add(TITLE, MARKED), add("A plain talk")
    pipeline.run(other)
    delete(pipeline.services, pipeline.instance, [deleted.id])
    for event in (
        dg.AssetMaterialization(
            "document", partition=deleted.partition_key, metadata={"preview": SPOKEN}
        ),
        dg.AssetObservation("transcript", partition=deleted.partition_key, description=SPOKEN),
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("transcript"),
            check_name="has_words",
            passed=True,
            metadata={"beginning": SPOKEN},
            partition=deleted.partition_key,
        ),
        dg.AssetMaterialization(
            "document", partition=other.partition_key, metadata={"preview": "plain"}
        ),
    ):
        pipeline.instance.report_runless_asset_event(event)
    assert pipeline.materialised("document") == {other.id}
    assert not find_residue(pipeline.services, *WORDS)
    newest = pipeline.instance.get_latest_materialization_event(dg.AssetKey("document"))
    assert newest is not None
    assert newest.asset_materialization is not None
    assert newest.asset_materialization.partition == other.partition_key


def test_deletion_keeps_vectors_of_texts_shared_with_other_recordings(
    database: Database, worker: PipelineDriver
) -> None:
    deleted, other = factories.add_recording(database), factories.add_recording(database)
    worker.run_all_stages(deleted, ["mine alone", "ours together"])
    worker.run_all_stages(other, ["ours together"])
    RecordingDeletion(database).delete([deleted.id])
    assert factories.count_rows(database, b"embedding_cache") == 1
    assert factories.count_rows(database, b"embeddings") == 1
    assert factories.count_rows(database, b"chunks") == 1
    RecordingDeletion(database).delete([other.id])
    assert factories.count_rows(database, b"embedding_cache") == 0


def test_deletion_removes_vectors_of_superseded_texts(
    database: Database, worker: PipelineDriver
) -> None:
    deleted = factories.add_recording(database)
    worker.run_all_stages(deleted, ["as it was first heard"])
    worker.transcribe(deleted, factories.make_transcript("corrected"), version="2")
    worker.write(deleted)
    worker.chunk(deleted, factories.make_chunks("corrected"))
    worker.embed(deleted)
    assert factories.count_rows(database, b"embedding_cache") == 2
    RecordingDeletion(database).delete([deleted.id])
    assert factories.count_rows(database, b"embedding_cache") == 0


def test_identifying_texts_exclude_texts_of_other_recordings(
    database: Database, worker: PipelineDriver
) -> None:
    deleted = factories.add_recording(database, title="Weekly meeting")
    other = factories.add_recording(database, title="Weekly meeting")
    worker.probe(deleted)
    worker.transcribe(deleted, factories.make_transcript("nobody else says this"))
    worker.probe(other)
    worker.transcribe(other, factories.make_transcript("what everybody says"))
    assert RecordingDeletion(database).identifying_texts([deleted.id]) == ["nobody else says this"]


@pytest.mark.parametrize("title", ["Introduction", "a b", "Talk"])
def test_identifying_texts_exclude_common_titles(database: Database, title: str) -> None:
    deleted = factories.add_recording(database, title=title)
    assert RecordingDeletion(database).identifying_texts([deleted.id]) == []


def test_interrupted_deletion_is_finished_from_the_id(pipeline: Pipeline, add: Add) -> None:
    services = pipeline.services
    deleted = add(TITLE, MARKED)
    pipeline.run(deleted)
    services.deletion.delete([deleted.id])  # the process is killed here
    assert services.deletion.unfinished() == [deleted.id]
    assert services.deletion.deleted([deleted.id, "no such id"]) == [deleted.id]
    assert finish_deletion(services, pipeline.instance, services.deletion.unfinished()).found == []
    assert services.deletion.unfinished() == []
    assert not find_residue(services, *WORDS)


def test_deleted_bytes_added_again_are_a_new_recording(pipeline: Pipeline, add: Add) -> None:
    deleted = add(TITLE, MARKED)
    delete(pipeline.services, pipeline.instance, [deleted.id])
    again = add(TITLE, MARKED)
    assert again.id != deleted.id
    assert pipeline.run(again).success
    assert pipeline.materialised("embeddings") == {again.id}


def test_progress_of_a_deleted_recording_stops_the_worker(
    database: Database, worker: PipelineDriver
) -> None:
    recording = factories.add_recording(database)
    ledger: StageResults = worker.results
    with worker.claim(recording, factories.make_recipe("raw_media"), {"a": "b"}) as claim:
        ledger.progress([claim], 10, "working")
        RecordingDeletion(database).delete([recording.id])
        with pytest.raises(RecordingDeleted):
            ledger.progress([claim], 20, "working")
    with (
        pytest.raises(RecordingDeleted),
        worker.claim(recording, factories.make_recipe("raw_media"), {"a": "c"}),
    ):
        raise AssertionError("the claim must be refused")
