"""Answers by a provider: what is sent, what is heard while it comes, and what a lie comes to."""

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
from tests.support.provider_servers import (
    PlainWire,
    Server,
    Told,
    completed,
    responded,
    streamed,
    told,
)
from tests.support.recognizer_listening import FIRST, GOOD, SECOND, Listening, reply, request

QUESTION = request("What is dialed?", "To start, dial six.", "No!")


def answerer(
    api: Server, model: str = "gpt-6-luna", provider_client: PlainWire | None = None
) -> Answerer:
    made = provider_client or PlainWire()
    engines = RemoteEngines(api.settings(made.provider), lambda *_: made)
    return engines.answerer(RemoteModel(made.provider, model))


def delta(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "delta": text}


TORN = [
    streamed([delta(GOOD)]),
    streamed([delta(GOOD)], ending="data: [DONE]\n\n"),
    streamed([delta(GOOD)], ending='event: x\ndata: {"type": "response.comp'),
    streamed([]),
    told(responded(GOOD)),
    completed(GOOD, status="failed", error={"code": "server_error"}),
    completed(GOOD[:-5]),
    completed("{}"),
    completed('{"found": true, "sentences": [{"text": "a", "citations": "b"}]}'),
]


def test_an_answer_without_its_end_or_of_another_shape_is_not_believed(api: Server) -> None:
    for lie in TORN:
        api.replies = [lie]
        with pytest.raises(InvalidProviderResponse):
            answerer(api).answer(QUESTION, Listening())


def test_what_was_heard_of_an_attempt_that_broke_off_does_not_count(api: Server) -> None:
    api.replies = [streamed([delta(GOOD)]), completed(reply(("Other.", [(1, "dial six")])))]
    sink = Listening()
    answerer(api, provider_client=PlainWire(tries=2)).answer(QUESTION, sink)
    assert sink.heard == [DraftSentence("Other.", (DraftCitation(1, "dial six"),))]
    assert sink.begun == 2


def test_sentences_come_out_while_the_stream_goes_on(api: Server) -> None:
    halves = [GOOD[: GOOD.index("Zw")], GOOD[GOOD.index("Zw") :]]
    end = {"type": "response.completed", "response": responded(GOOD)}
    api.replies = [streamed([*map(delta, halves), end])]
    sink = Listening()
    assert answerer(api).answer(QUESTION, sink) is None
    assert sink.heard == [FIRST, SECOND]


def test_a_server_that_tells_all_at_the_end_is_heard_then(api: Server) -> None:
    end = {"type": "response.completed", "response": responded(GOOD)}
    api.replies = [streamed([end])]
    sink = Listening()
    answerer(api).answer(QUESTION, sink)
    assert sink.heard == [FIRST, SECOND]


def test_not_found_is_silence_whatever_else_is_written(api: Server) -> None:
    api.replies = [completed(reply(("A lie.", [(1, "dial six")]), found=False))]
    sink = Listening()
    answerer(api).answer(QUESTION, sink)
    assert sink.heard == []


def test_an_answer_that_was_cut_off_counts_as_far_as_it_came_and_says_so(api: Server) -> None:
    cut = GOOD[: GOOD.index("Zw")]
    why = {"reason": "max_output_tokens"}
    end = responded(cut, status="incomplete", incomplete_details=why)
    api.replies = [streamed([delta(cut), {"type": "response.incomplete", "response": end}])]
    sink = Listening()
    note = answerer(api).answer(QUESTION, sink)
    assert sink.heard == [FIRST]
    assert note
    assert "cut off" in note


def test_a_refusal_is_told_with_another_engine_as_remedy(api: Server) -> None:
    part = {"type": "refusal", "refusal": "I cannot help with that."}
    api.replies = [completed("", output=[{"type": "message", "content": [part]}])]
    with pytest.raises(RequestRejected, match="cannot help") as caught:
        answerer(api).answer(QUESTION, Listening())
    assert "PLAYHEAD_ANSWERER" in caught.value.remedy


def test_nothing_is_stored_no_tool_is_in_reach_and_only_what_the_model_takes_is_sent(
    api: Server,
) -> None:
    api.replies = [completed(GOOD)]
    for model in ("gpt-6-luna", "gpt-4.1-mini"):
        answerer(api, model).answer(QUESTION, Listening())
    thinking, plain = (one.json for one in api.asked)
    assert (thinking["store"], plain["store"]) == (False, False)
    assert not {"tools", "tool_choice", "previous_response_id"} & {*thinking, *plain}
    assert (thinking["reasoning"], plain["temperature"]) == ({"effort": "low"}, 0)
    assert thinking["text"]["format"]["strict"] is True


def test_passages_stand_between_fences_that_change_with_every_request(api: Server) -> None:
    api.replies = [completed(GOOD)]
    for _ in range(2):
        answerer(api).answer(QUESTION, Listening())
    sent = [one.json["input"].splitlines() for one in api.asked]
    fences = [[line for line in lines if line.startswith("=====")] for lines in sent]
    assert all(len(one) == 2 and one[0] == one[1] for one in fences)
    assert fences[0] != fences[1]
    first = sent[0]
    inside = first[first.index(fences[0][0]) + 1 : len(first) - 1 - first[::-1].index(fences[0][0])]
    assert "Passage 1: A talk, Ada" in inside
    assert "[00:00:00] To start, dial six." in inside
    assert first[-1] == "Question: What is dialed?"


def test_no_more_passages_are_sent_than_the_model_reads(api: Server) -> None:
    api.replies = [completed(GOOD)]
    provider_client = PlainWire("ollama")
    long = request("What is it?", *[f"Sentence {n} is about item {n}." for n in range(40)])
    many = type(long)(long.question, [long.excerpts[0]] * 8, long.similarity, long.embedder)
    answerer(api, "llama3", provider_client).answer(many, Listening())
    assert provider_client.asked[0].max_usage.input_tokens <= 2_600
    assert "Passage 1:" in api.asked[0].json["input"]
    endless = request("What is it?", "word " * 5_000)
    with pytest.raises(InputTooLong):
        answerer(api, "llama3", PlainWire("ollama")).answer(endless, Listening())


CHUNK = {"id": "c", "object": "chat.completion.chunk", "model": "llama3", "created": 0}


def chat(*parts: str) -> Told:
    choices = [
        {"index": 0, "delta": {"content": part}, "finish_reason": None} for part in parts
    ] + [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    return streamed([CHUNK | {"choices": [one]} for one in choices], ending="data: [DONE]\n\n")


def test_a_server_without_responses_is_asked_by_chat_and_heard_as_well(api: Server) -> None:
    api.replies = [Told(b"404 page not found", 404, "text/plain"), chat(GOOD[:9], GOOD[9:])]
    sink = Listening()
    answerer(api, "llama3", PlainWire("ollama")).answer(QUESTION, sink)
    assert sink.heard == [FIRST, SECOND]
    assert api.asked[1].path == "/v1/chat/completions"
    api.replies = [Told(b"404 page not found", 404, "text/plain")]
    with pytest.raises(NotAnOpenAIEndpoint):
        answerer(api).answer(QUESTION, sink)


def test_the_prompt_is_a_part_of_who_answers(api: Server) -> None:
    engine = answerer(api).engine
    assert (engine.name, engine.model) == ("openai", "gpt-6-luna")
    assert len(engine.parameters["prompt"]) == 16
