"""A recording through the whole pipeline with a writer and an embedder behind a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import dagster as dg
import pytest

from pipeline_assets.definitions import build_definitions
from playhead.core.records import Recording
from playhead.core.settings import Settings
from playhead.engines.registry import EmbedderRegistry, Engines
from playhead.engines.remote import RemoteEngines
from playhead.engines.transcription.stub import StubTranscriber
from playhead.providers.model_names import RemoteModel
from playhead.services.context import PipelineServices, open_pipeline_services
from tests.integration.conftest import Pipeline
from tests.support.factories import unit_vectors
from tests.support.provider_servers import Asked, PlainWire, Server, Told, completed, told

Add = Callable[[str], Recording]

NOTES = json.dumps(
    {
        "title": "Trees",
        "sections": [
            {"heading": "All", "paragraphs": [{"text": "They name trees.", "cites": [1, 2]}]}
        ],
    }
)


def provider(asked: Asked) -> Told:
    if asked.path == "/v1/responses":
        return completed(NOTES)
    vectors = unit_vectors(asked.json["input"], 8)
    return told({"data": [{"index": i, "embedding": v.tolist()} for i, v in enumerate(vectors)]})


@pytest.fixture
def services(settings: Settings, api: Server) -> Iterator[PipelineServices]:
    api.answer = provider
    remote = RemoteEngines(api.settings("own", key=None), lambda name, *_: PlainWire(name))
    engines = Engines(
        StubTranscriber(),
        remote.writer(RemoteModel("own", "llama3")),
        EmbedderRegistry("own:nomic", {}, remote.embedder),
    )
    with open_pipeline_services(settings, engines) as services:
        yield services


@pytest.fixture
def pipeline(services: PipelineServices, instance: dg.DagsterInstance) -> Pipeline:
    return Pipeline(
        services, instance, build_definitions(services.settings, engines=services.engines)
    )


def test_a_recording_is_written_up_embedded_and_searchable_and_asked_for_once(
    pipeline: Pipeline, services: PipelineServices, add: Add, api: Server
) -> None:
    recording = add("a.wav")
    assert pipeline.run(recording).success
    assert pipeline.materialised("embeddings") == {recording.id}
    current = services.pipeline.results.current_results([recording])[recording.id]
    document = services.pipeline.content.document(recording, current["document", 0].id)
    [span] = document.spans
    assert document.content[span.char_start : span.char_end] == "They name trees."
    active = services.search.embedding_sets.active()
    assert active is not None
    assert (active.name, active.dimensions) == ("own:nomic", 8)
    assert services.search.embedding_sets.progress(active).lacking == 0
    asked = len(api.asked)
    assert pipeline.run(recording).success
    assert len(api.asked) == asked


def test_all_passages_of_a_recording_go_in_one_request(
    pipeline: Pipeline, add: Add, api: Server
) -> None:
    assert pipeline.run(add("a.wav")).success
    sent = [one.json["input"] for one in api.asked if one.path == "/v1/embeddings"]
    assert sent[0] == ["How many dimensions?"]
    assert len(sent) == 2
    assert "They name trees." in " ".join(sent[1])
