"""Answers by a provider: the request, the sentences as they stream, and invalid replies."""

from __future__ import annotations

from typing import Any

import pytest

from playhead.core.errors import (
    InputTooLong,
    InvalidProviderResponse,
    NotAnOpenAIEndpoint,
    RequestRejected,
)
from playhead.core.protocols.answerer import Answerer, DraftCitation, DraftSentence
from playhead.engines.remote import RemoteEngines
from playhead.providers.model_names import RemoteModel
from tests.support.answer_replies import (
    FIRST,
    GOOD,
    SECOND,
    CollectingSink,
    make_reply,
    make_request,
)
from tests.support.provider_servers import (
    FakeProvider,
    PlainClient,
    ServerReply,
    completed_stream,
    json_reply,
    response_object,
    stream_reply,
)

QUESTION = make_request("What is dialed?", "To start, dial six.", "No!")


def make_answerer(
    api: FakeProvider, model: str = "gpt-6-luna", provider_client: PlainClient | None = None
) -> Answerer:
    client = provider_client or PlainClient()
    engines = RemoteEngines(api.settings(client.provider), lambda *_: client)
    return engines.answerer(RemoteModel(client.provider, model))


def delta(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "delta": text}


INVALID_REPLIES = [
    stream_reply([delta(GOOD)]),
    stream_reply([delta(GOOD)], ending="data: [DONE]\n\n"),
    stream_reply([delta(GOOD)], ending='event: x\ndata: {"type": "response.comp'),
    stream_reply([]),
    json_reply(response_object(GOOD)),
    completed_stream(GOOD, status="failed", error={"code": "server_error"}),
    completed_stream(GOOD[:-5]),
    completed_stream("{}"),
    completed_stream('{"found": true, "sentences": [{"text": "a", "citations": "b"}]}'),
]


def test_incomplete_or_malformed_answer_is_rejected(api: FakeProvider) -> None:
    for reply in INVALID_REPLIES:
        api.replies = [reply]
        with pytest.raises(InvalidProviderResponse):
            make_answerer(api).answer(QUESTION, CollectingSink())


def test_sentences_of_a_failed_attempt_are_discarded(api: FakeProvider) -> None:
    api.replies = [
        stream_reply([delta(GOOD)]),
        completed_stream(make_reply(("Other.", [(1, "dial six")]))),
    ]
    sink = CollectingSink()
    make_answerer(api, provider_client=PlainClient(tries=2)).answer(QUESTION, sink)
    assert sink.sentences == [DraftSentence("Other.", (DraftCitation(1, "dial six"),))]
    assert sink.starts == 2


def test_sentences_are_emitted_while_the_stream_continues(api: FakeProvider) -> None:
    halves = [GOOD[: GOOD.index("Zw")], GOOD[GOOD.index("Zw") :]]
    end = {"type": "response.completed", "response": response_object(GOOD)}
    api.replies = [stream_reply([*map(delta, halves), end])]
    sink = CollectingSink()
    assert make_answerer(api).answer(QUESTION, sink) is None
    assert sink.sentences == [FIRST, SECOND]


def test_answer_sent_only_at_the_end_is_emitted(api: FakeProvider) -> None:
    end = {"type": "response.completed", "response": response_object(GOOD)}
    api.replies = [stream_reply([end])]
    sink = CollectingSink()
    make_answerer(api).answer(QUESTION, sink)
    assert sink.sentences == [FIRST, SECOND]


def test_answer_not_found_emits_no_sentence(api: FakeProvider) -> None:
    api.replies = [completed_stream(make_reply(("A lie.", [(1, "dial six")]), found=False))]
    sink = CollectingSink()
    make_answerer(api).answer(QUESTION, sink)
    assert sink.sentences == []


def test_truncated_answer_is_kept_with_a_note(api: FakeProvider) -> None:
    partial = GOOD[: GOOD.index("Zw")]
    details = {"reason": "max_output_tokens"}
    end = response_object(partial, status="incomplete", incomplete_details=details)
    api.replies = [stream_reply([delta(partial), {"type": "response.incomplete", "response": end}])]
    sink = CollectingSink()
    note = make_answerer(api).answer(QUESTION, sink)
    assert sink.sentences == [FIRST]
    assert note
    assert "cut off" in note


def test_refusal_names_another_engine_as_remedy(api: FakeProvider) -> None:
    part = {"type": "refusal", "refusal": "I cannot help with that."}
    api.replies = [completed_stream("", output=[{"type": "message", "content": [part]}])]
    with pytest.raises(RequestRejected, match="cannot help") as caught:
        make_answerer(api).answer(QUESTION, CollectingSink())
    assert "PLAYHEAD_ANSWERER" in caught.value.remedy


def test_request_has_no_storage_no_tools_and_only_supported_options(
    api: FakeProvider,
) -> None:
    api.replies = [completed_stream(GOOD)]
    for model in ("gpt-6-luna", "gpt-4.1-mini"):
        make_answerer(api, model).answer(QUESTION, CollectingSink())
    thinking, plain = (request.json for request in api.requests)
    assert (thinking["store"], plain["store"]) == (False, False)
    assert not {"tools", "tool_choice", "previous_response_id"} & {*thinking, *plain}
    assert (thinking["reasoning"], plain["temperature"]) == ({"effort": "low"}, 0)
    assert thinking["text"]["format"]["strict"] is True


def test_excerpts_are_fenced_by_a_token_that_changes_per_request(api: FakeProvider) -> None:
    api.replies = [completed_stream(GOOD)]
    for _ in range(2):
        make_answerer(api).answer(QUESTION, CollectingSink())
    sent = [request.json["input"].splitlines() for request in api.requests]
    fences = [[line for line in lines if line.startswith("=====")] for lines in sent]
    assert all(len(fence) == 2 and fence[0] == fence[1] for fence in fences)
    assert fences[0] != fences[1]
    first = sent[0]
    inside = first[first.index(fences[0][0]) + 1 : len(first) - 1 - first[::-1].index(fences[0][0])]
    assert "Passage 1: A talk, Ada" in inside
    assert "[00:00:00] To start, dial six." in inside
    assert first[-1] == "Question: What is dialed?"


def test_excerpts_are_limited_to_the_models_window(api: FakeProvider) -> None:
    api.replies = [completed_stream(GOOD)]
    provider_client = PlainClient("ollama")
    long = make_request("What is it?", *[f"Sentence {n} is about item {n}." for n in range(40)])
    many = type(long)(long.question, [long.excerpts[0]] * 8, long.similarity, long.embedder)
    make_answerer(api, "llama3", provider_client).answer(many, CollectingSink())
    assert provider_client.calls[0].max_usage.input_tokens <= 2_600
    assert "Passage 1:" in api.requests[0].json["input"]
    endless = make_request("What is it?", "word " * 5_000)
    with pytest.raises(InputTooLong):
        make_answerer(api, "llama3", PlainClient("ollama")).answer(endless, CollectingSink())


CHUNK = {"id": "c", "object": "chat.completion.chunk", "model": "llama3", "created": 0}


def chat(*parts: str) -> ServerReply:
    choices = [
        {"index": 0, "delta": {"content": part}, "finish_reason": None} for part in parts
    ] + [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    return stream_reply(
        [CHUNK | {"choices": [choice]} for choice in choices], ending="data: [DONE]\n\n"
    )


def test_server_without_responses_api_is_called_by_chat(api: FakeProvider) -> None:
    api.replies = [ServerReply(b"404 page not found", 404, "text/plain"), chat(GOOD[:9], GOOD[9:])]
    sink = CollectingSink()
    make_answerer(api, "llama3", PlainClient("ollama")).answer(QUESTION, sink)
    assert sink.sentences == [FIRST, SECOND]
    assert api.requests[1].path == "/v1/chat/completions"
    api.replies = [ServerReply(b"404 page not found", 404, "text/plain")]
    with pytest.raises(NotAnOpenAIEndpoint):
        make_answerer(api).answer(QUESTION, sink)


def test_prompt_is_part_of_the_engine(api: FakeProvider) -> None:
    engine = make_answerer(api).engine
    assert (engine.name, engine.model) == ("openai", "gpt-6-luna")
    assert len(engine.parameters["prompt"]) == 16
