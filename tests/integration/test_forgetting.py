"""Forgetting: nothing of a recording is left, whoever is at it, and everything of the others is."""

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
from tests.integration.conftest import Pipeline, instant_engines, write_sound
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

Take = Callable[..., Recording]


@pytest.fixture
def transcriber() -> CanaryTranscriber:
    return CanaryTranscriber()


@pytest.fixture
def embedder() -> PausableEmbedder:
    return PausableEmbedder()


@pytest.fixture
def stored(
    settings: Settings,
    transcriber: CanaryTranscriber,
    embedder: PausableEmbedder,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Pipeline]:
    """A pipeline whose Dagster keeps its state in Postgres, as in production."""
    monkeypatch.setenv("PLAYHEAD_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
    engines = replace(
        instant_engines(),
        transcriber=transcriber,
        embedders=EmbedderRegistry("instant", {"instant": lambda: embedder}),
    )
    with (
        open_pipeline_services(settings, engines) as services,
        dg.DagsterInstance.from_config(str(_ROOT)) as instance,
    ):
        yield Pipeline(services, instance, build_definitions(settings, engines=engines))


@pytest.fixture
def take(stored: Pipeline, tmp_path: Path) -> Take:
    """Takes in half a second of sound that has these bytes in it."""

    def take(title: str, content: bytes = b"--------", org_id: str = "default") -> Recording:
        file = tmp_path / "sound.wav"
        with wave.open(str(file), "wb") as sound:
            sound.setparams((1, 2, 16_000, 0, "NONE", ""))
            sound.writeframes((title.encode() + bytes(1 + len(title.encode()) % 2)) * 20)
            sound.writeframes(content * 1000)
        return stored.services.ingest.add(file, org_id=org_id, title=title).recording

    return take


def databases(services: PipelineServices) -> list[str]:
    return [str(services.settings.database_url), dagster_tables_url(services.settings)]


def left(services: PipelineServices, *needles: str) -> set[tuple[str, str]]:
    """Everywhere but the bytes of the server, which is not ours here: (place, needle)."""
    found = find_in_files(services.settings.home, *needles)
    for url in databases(services):
        found |= {(url, needle) for needle in find_in_dump(url, *needles)}
    return found


def test_nothing_is_left_of_one_that_is_ready_and_one_that_failed(
    stored: Pipeline, take: Take
) -> None:
    services = stored.services
    ours, failed, other = take(TITLE, MARKED), take("Deaf Zanzibar", FAILING), take("A plain talk")
    stored.run(ours, failed, other, only=("raw_media", "transcript"))
    stored.run(ours, other)
    assert {word for _, word in left(services, *WORDS)} == set(WORDS), "the canaries get everywhere"
    look = delete(services, stored.instance, [ours.id, failed.id])
    assert look.found == []
    assert not left(services, *WORDS)
    assert [status.id for status in services.pipeline.recordings.statuses("default")] == [other.id]
    assert stored.materialised("embeddings") == {other.id}
    assert stored.instance.get_dynamic_partitions("recordings") == [other.id]
    with psycopg.connect(databases(services)[0]) as connection:
        rows = connection.execute("select recording_id::text from deleted_recordings").fetchall()
    assert {row[0] for row in rows} == {ours.id, failed.id}


def test_the_id_alone_is_kept_and_only_as_that_of_a_forgotten_one(
    stored: Pipeline, take: Take
) -> None:
    ours, other = take(TITLE, MARKED), take("A plain talk")
    stored.run(ours, other)
    stored.run(ours)
    delete(stored.services, stored.instance, [ours.id])
    for url in databases(stored.services):
        assert dump(url).count(ours.id) == 1
    assert not find_in_files(stored.services.settings.home, ours.id)


def test_a_run_that_it_shared_stays_with_the_others_in_it(stored: Pipeline, take: Take) -> None:
    first, second, third = (take(title) for title in ("One talk", "Two talks", "Three talks"))
    run = stored.run(first, second, third).dagster_run
    alone = stored.run(first).dagster_run
    delete(stored.services, stored.instance, [first.id])
    shared = stored.instance.get_run_by_id(run.run_id)
    assert shared is not None
    assert shared.tags["dagster/asset_partition_range_start"] == second.id
    assert shared.tags["dagster/asset_partition_range_end"] == third.id
    assert stored.instance.all_logs(run.run_id)
    gone = stored.instance.get_run_by_id(alone.run_id)
    assert gone is None or first.id not in str(gone)
    for stage in STAGES:
        assert stored.materialised(stage) == {second.id, third.id}


def test_an_assets_own_page_no_longer_shows_it_as_the_newest(stored: Pipeline, take: Take) -> None:
    other, ours = take("A plain talk"), take(TITLE, MARKED)
    stored.run(other)
    stored.run(ours)
    delete(stored.services, stored.instance, [ours.id])
    for stage in STAGES:
        event = stored.instance.get_latest_materialization_event(dg.AssetKey(stage))
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.partition == other.id


def test_the_name_of_the_file_it_came_as_goes_too(stored: Pipeline) -> None:
    """From the run that took it in, and from what the inbox's sensor remembers."""
    services, instance = stored.services, stored.instance
    inbox = services.settings.home / "inbox"
    inbox.mkdir(parents=True)
    file = write_sound(inbox / f"{TITLE}.wav")
    taken = stored.definitions.resolve_job_def("collect_file").execute_in_process(
        instance=instance, run_config={"ops": {"collect": {"config": {"name": file.name}}}}
    )
    assert taken.success
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
    [ours] = services.pipeline.recordings.statuses("default")
    assert left(services, "Zanzibar", "quokka")
    assert delete(services, instance, [ours.id]).found == []
    assert not left(services, "Zanzibar", "quokka")
    assert instance.get_run_by_id(taken.run_id) is None


def test_a_worker_that_listens_on_writes_nothing_afterwards(
    stored: Pipeline, take: Take, transcriber: CanaryTranscriber
) -> None:
    services = stored.services
    ours, other = take(TITLE, MARKED), take("A plain talk")
    transcriber.hold = True
    with ThreadPoolExecutor(1) as late:
        run = late.submit(stored.run, ours, other)
        assert transcriber.transcribing.wait(60)
        assert delete(services, stored.instance, [ours.id]).found == []
        transcriber.go_on.set()
        result = run.result()
    assert result.success, "the others in its run are not its business"
    assert stored.materialised("embeddings") == {other.id}
    assert not left(services, *WORDS)
    assert dump(databases(services)[1]).count(ours.id) == 1


def test_a_worker_that_embeds_on_leaves_no_vector(
    stored: Pipeline, take: Take, embedder: PausableEmbedder
) -> None:
    services = stored.services
    ours = take(TITLE, MARKED)
    stored.run(ours, only=("raw_media", "transcript", "document", "chunks"))
    embedder.hold = True
    with ThreadPoolExecutor(1) as late:
        run = late.submit(stored.run, ours)
        assert embedder.embedding.wait(60)
        delete(services, stored.instance, [ours.id])
        embedder.go_on.set()
        run.result()
    with psycopg.connect(databases(services)[0]) as connection:
        assert connection.execute("select count(*) from embedding_cache").fetchone() == (0,)
    assert not left(services, *WORDS)


def test_what_a_worker_tells_dagster_too_late_is_not_stored(stored: Pipeline, take: Take) -> None:
    ours, other = take(TITLE, MARKED), take("A plain talk")
    stored.run(other)
    delete(stored.services, stored.instance, [ours.id])
    for told in (
        dg.AssetMaterialization("document", partition=ours.id, metadata={"preview": SPOKEN}),
        dg.AssetObservation("transcript", partition=ours.id, description=SPOKEN),
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("transcript"),
            check_name="has_words",
            passed=True,
            metadata={"beginning": SPOKEN},
            partition=ours.id,
        ),
        dg.AssetMaterialization("document", partition=other.id, metadata={"preview": "plain"}),
    ):
        stored.instance.report_runless_asset_event(told)
    assert stored.materialised("document") == {other.id}
    assert not left(stored.services, *WORDS)
    newest = stored.instance.get_latest_materialization_event(dg.AssetKey("document"))
    assert newest is not None
    assert newest.asset_materialization is not None
    assert newest.asset_materialization.partition == other.id


def test_vectors_of_words_that_another_recording_has_stay(
    database: Database, worker: PipelineDriver
) -> None:
    ours, other = factories.add_recording(database), factories.add_recording(database)
    worker.run_all_stages(ours, ["mine alone", "ours together"])
    worker.run_all_stages(other, ["ours together"])
    RecordingDeletion(database).delete([ours.id])
    assert factories.count_rows(database, b"embedding_cache") == 1
    assert factories.count_rows(database, b"embeddings") == 1
    assert factories.count_rows(database, b"chunks") == 1
    RecordingDeletion(database).delete([other.id])
    assert factories.count_rows(database, b"embedding_cache") == 0


def test_vectors_of_words_that_it_once_had_go_too(
    database: Database, worker: PipelineDriver
) -> None:
    ours = factories.add_recording(database)
    worker.run_all_stages(ours, ["as it was first heard"])
    worker.transcribe(ours, factories.make_transcript("corrected"), version="2")
    worker.write(ours)
    worker.chunk(ours, factories.make_chunks("corrected"))
    worker.embed(ours)
    assert factories.count_rows(database, b"embedding_cache") == 2
    RecordingDeletion(database).delete([ours.id])
    assert factories.count_rows(database, b"embedding_cache") == 0


def test_what_others_said_too_is_not_looked_for(database: Database, worker: PipelineDriver) -> None:
    ours = factories.add_recording(database, title="Weekly meeting")
    other = factories.add_recording(database, title="Weekly meeting")
    worker.probe(ours)
    worker.transcribe(ours, factories.make_transcript("nobody else says this"))
    worker.probe(other)
    worker.transcribe(other, factories.make_transcript("what everybody says"))
    assert RecordingDeletion(database).identifying_texts([ours.id]) == ["nobody else says this"]


@pytest.mark.parametrize("title", ["Introduction", "a b", "Talk"])
def test_what_may_stand_anywhere_by_chance_is_not_looked_for(
    database: Database, title: str
) -> None:
    ours = factories.add_recording(database, title=title)
    assert RecordingDeletion(database).identifying_texts([ours.id]) == []


def test_a_forgetting_that_was_killed_is_finished_from_the_id_alone(
    stored: Pipeline, take: Take
) -> None:
    services = stored.services
    ours = take(TITLE, MARKED)
    stored.run(ours)
    services.deletion.delete([ours.id])  # and here it was killed
    assert services.deletion.unfinished() == [ours.id]
    assert services.deletion.deleted([ours.id, "no such id"]) == [ours.id]
    assert finish_deletion(services, stored.instance, services.deletion.unfinished()).found == []
    assert services.deletion.unfinished() == []
    assert not left(services, *WORDS)


def test_the_same_bytes_added_again_are_a_new_recording(stored: Pipeline, take: Take) -> None:
    ours = take(TITLE, MARKED)
    delete(stored.services, stored.instance, [ours.id])
    again = take(TITLE, MARKED)
    assert again.id != ours.id
    assert stored.run(again).success
    assert stored.materialised("embeddings") == {again.id}


def test_progress_of_what_is_forgotten_stops_the_worker(
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
        raise AssertionError("nothing of it may be begun")
