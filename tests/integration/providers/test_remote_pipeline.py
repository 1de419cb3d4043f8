"""A recording processed with a writer and an embedder behind a network."""

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
from tests.support.provider_servers import (
    FakeProvider,
    PlainClient,
    ReceivedRequest,
    ServerReply,
    completed_stream,
    json_reply,
)

Add = Callable[[str], Recording]

NOTES = json.dumps(
    {
        "title": "Trees",
        "sections": [
            {"heading": "All", "paragraphs": [{"text": "They name trees.", "cites": [1, 2]}]}
        ],
    }
)


def answer_request(request: ReceivedRequest) -> ServerReply:
    if request.path == "/v1/responses":
        return completed_stream(NOTES)
    vectors = unit_vectors(request.json["input"], 8)
    return json_reply(
        {"data": [{"index": i, "embedding": v.tolist()} for i, v in enumerate(vectors)]}
    )


@pytest.fixture
def services(settings: Settings, api: FakeProvider) -> Iterator[PipelineServices]:
    api.answer = answer_request
    remote = RemoteEngines(api.settings("own", key=None), lambda name, *_: PlainClient(name))
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


def test_recording_is_processed_by_remote_engines_with_one_call_each(
    pipeline: Pipeline, services: PipelineServices, add: Add, api: FakeProvider
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
    request_count = len(api.requests)
    assert pipeline.run(recording).success
    assert len(api.requests) == request_count


def test_chunks_of_a_recording_are_embedded_in_one_request(
    pipeline: Pipeline, add: Add, api: FakeProvider
) -> None:
    assert pipeline.run(add("a.wav")).success
    sent = [request.json["input"] for request in api.requests if request.path == "/v1/embeddings"]
    assert sent[0] == ["How many dimensions?"]
    assert len(sent) == 2
    assert "They name trees." in " ".join(sent[1])
