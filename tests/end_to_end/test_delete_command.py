"""The delete command on a real home: no byte is left in a dump or on disk."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from pipeline_assets.definitions import build_definitions
from playhead.core.records import Recording
from playhead.core.settings import Settings
from playhead.postgres.database_urls import app_url, dagster_tables_url
from playhead.services.context import PipelineServices, open_pipeline_services
from tests.end_to_end.conftest import Home
from tests.integration.conftest import Pipeline, stub_engines
from tests.support.residue_markers import (
    FAILING,
    MARKED,
    TITLE,
    WORDS,
    CanaryTranscriber,
    find_in_dump,
    find_in_files,
)

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def transcriber() -> CanaryTranscriber:
    return CanaryTranscriber()


@pytest.fixture
def pipeline(
    home: Home, transcriber: CanaryTranscriber, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """Yield a pipeline on the home's own databases and embedded server."""
    monkeypatch.setenv("PLAYHEAD_HOME", str(home.folder))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    settings = Settings(home=home.folder)
    engines = replace(stub_engines(), transcriber=transcriber)
    with (
        open_pipeline_services(settings, engines) as services,
        dg.DagsterInstance.from_config(str(_ROOT)) as instance,
    ):
        yield Pipeline(services, instance, build_definitions(settings, engines=engines))


def add_recording(
    services: PipelineServices, title: str, content: bytes = b"--------"
) -> Recording:
    file = services.settings.home.parent / "sound.wav"
    with wave.open(str(file), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(content * 1000 + title.encode("utf-16"))
    return services.ingest.add(file, org_id="default", title=title).recording


def find_residue(services: PipelineServices, *needles: str) -> set[tuple[str, str]]:
    """Return (place, needle) in dumps of both databases and all files, also the server's."""
    urls = (app_url(services.settings), dagster_tables_url(services.settings))
    in_dumps = {(url, needle) for url in urls for needle in find_in_dump(url, *needles)}
    return in_dumps | find_in_files(services.settings.home, *needles)


def partition_keys(services: PipelineServices) -> set[str]:
    """Return the stored partition keys; an instance caches them for a second."""
    with psycopg.connect(dagster_tables_url(services.settings)) as connection:
        rows = connection.execute("select partition from dynamic_partitions").fetchall()
    return {row[0] for row in rows}


@pytest.mark.slow
def test_deletion_leaves_no_byte_in_dumps_or_files(home: Home, pipeline: Pipeline) -> None:
    services = pipeline.services
    deleted = add_recording(services, TITLE, MARKED)
    failed = add_recording(services, "Deaf Zanzibar", FAILING)
    other = add_recording(services, "A plain talk")
    pipeline.run(deleted, failed, other, only=("raw_media", "transcript"))
    pipeline.run(deleted, other)
    residue = find_residue(services, *WORDS, deleted.id, failed.id)
    assert {needle for _, needle in residue} == {*WORDS, deleted.id, failed.id}
    [report] = home.json("delete", deleted.id, failed.id, "--yes")
    assert report["look"]["found"] == []
    assert not find_residue(services, *WORDS)
    assert not find_in_files(home.folder, deleted.id, failed.id)
    assert [line["id"] for line in home.json("list")] == [other.id]
    assert {hit["recording"] for hit in home.json("search", "amber birch cedar")} == {other.id}
    home.playhead("show", deleted.id, exits=1)


@pytest.mark.slow
def test_deletion_leaves_no_byte_after_a_late_worker(
    home: Home, pipeline: Pipeline, transcriber: CanaryTranscriber
) -> None:
    services = pipeline.services
    deleted, other = add_recording(services, TITLE, MARKED), add_recording(services, "A plain talk")
    transcriber.hold = True
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(pipeline.run, deleted, other)
        assert transcriber.transcribing.wait(60)
        home.playhead("delete", deleted.id, "--yes")
        transcriber.go_on.set()
        run.result()
    assert not find_residue(services, *WORDS)
    assert not find_in_files(home.folder, deleted.id)
    assert pipeline.materialised("embeddings") == {other.id}


def test_deletion_needs_a_confirmation(home: Home, pipeline: Pipeline) -> None:
    deleted = add_recording(pipeline.services, TITLE, MARKED)
    home.playhead("delete", deleted.id, exits=1)
    home.playhead("delete", "01a20126-2c76-75ee-a0d8-85f69dacc231", "--yes", exits=1)
    home.playhead("delete", exits=2)
    home.playhead("delete", deleted.id, "--yes", "--org", "other", exits=1)
    assert [line["title"] for line in home.json("list")] == [TITLE]


def test_archived_recording_is_searchable_but_not_processed(home: Home, pipeline: Pipeline) -> None:
    services = pipeline.services
    deleted, other = add_recording(services, "An old talk"), add_recording(services, "A new talk")
    pipeline.run(deleted, other)
    [report] = home.json("archive", deleted.id)
    assert report == {"recording": deleted.id, "title": "An old talk", "archived": True}
    assert partition_keys(services) == {other.partition_key}
    assert [line["id"] for line in home.json("list")] == [other.id]
    assert [line["archived"] for line in home.json("list", "--archived")] == [True, False]
    assert deleted.id in {hit["recording"] for hit in home.json("search", "amber birch cedar")}
    assert len(home.json("show", deleted.id)[0]["lineage"]) == 5
    home.playhead("unarchive", deleted.id)
    assert partition_keys(services) == {deleted.partition_key, other.partition_key}
    assert pipeline.materialised("embeddings") == {deleted.id, other.id}
    home.playhead("archive", exits=2)
    assert len(home.json("archive", "--before", "2100-01-01")) == 2
    assert home.json("list") == []
