"""Documents by a provider: the request, valid and invalid replies, and times of paragraphs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from openai import APIConnectionError

from pipeline_assets.assets.checks import check_document
from playhead.core.errors import InvalidProviderResponse, NotAnOpenAIEndpoint, RequestRejected
from playhead.core.protocols.writer import Writer
from playhead.core.records import Segment, Transcript, Word
from playhead.core.usage import Usage
from playhead.engines.remote import RemoteEngines
from playhead.engines.writing.llm_reply import INSTRUCTIONS
from playhead.providers.model_names import RemoteModel
from tests.support.provider_servers import (
    FakeProvider,
    PlainClient,
    ReceivedRequest,
    ServerReply,
    completed_stream,
    json_reply,
    response_object,
    stream_reply,
)

SENTENCES = [
    "We meet on Monday.",
    "The budget is ten thousand.",
    "Ada will write to the council.",
    "Who brings the keys?",
]


def make_transcript(*texts: str, language: str = "en", speaker: str | None = None) -> Transcript:
    """Return a transcript of one second per word in which every text is a segment."""
    words, segments, at = [], [], 0.0
    for text in texts:
        start = at
        for word in text.split():
            words.append(Word(word, at, at + 1.0))
            at += 1.0
        segments.append(Segment(text, start, at, speaker))
    return Transcript(" ".join(texts), language, at, tuple(words), tuple(segments))


TRANSCRIPT = make_transcript(*SENTENCES)


def make_notes(*parts: tuple[str, list[tuple[str, list[Any]]]], title: str = "The meeting") -> str:
    sections = [
        {"heading": heading, "paragraphs": [{"text": t, "cites": c} for t, c in paragraphs]}
        for heading, paragraphs in parts
    ]
    return json.dumps({"title": title, "sections": sections})


GOOD = make_notes(
    ("Dates", [("They meet on Monday.", [1])]),
    ("Money", [("Ten thousand, and Ada writes.", [3, 2]), ("Keys are open.", [4])]),
)


def make_writer(
    api: FakeProvider,
    model: str = "gpt-6-luna",
    provider_client: PlainClient | None = None,
    **settings: Any,
) -> Writer:
    writer = provider_client or PlainClient()
    engines = RemoteEngines(api.settings(writer.provider, **settings), lambda *_: writer)
    return engines.writer(RemoteModel(writer.provider, model))


def write_document(writer: Writer, transcript: Transcript = TRANSCRIPT) -> Any:
    return writer.write(transcript, title="monday.mp3", kind="meeting")


DELTA = {"type": "response.output_text.delta", "delta": GOOD}


@pytest.mark.parametrize(
    "reply",
    [
        stream_reply([DELTA]),
        stream_reply([DELTA], ending="data: [DONE]\n\n"),
        stream_reply([DELTA], ending='event: x\ndata: {"type": "response.comp'),
        stream_reply([DELTA], ending="data: {nonsense}\n\n"),
        stream_reply([]),
        json_reply({}),
        json_reply(response_object(GOOD)),
        ServerReply(b"<!doctype html>", kind="text/html"),
        completed_stream(GOOD, status="failed", error={"code": "server_error"}),
        completed_stream(GOOD, status="in_progress"),
        completed_stream(GOOD, output=[]),
        completed_stream(""),
        completed_stream("{}"),
        completed_stream("Here is your summary."),
        completed_stream(make_notes(("A", [("B", [])]))),
        completed_stream(make_notes(("A", [("B", [5])]))),
        completed_stream(make_notes(("A", [("B", [0])]))),
        completed_stream(make_notes(("A", [("B", ["1"])]))),
        completed_stream(make_notes(("A", [("B", [True])]))),
        completed_stream(make_notes(("A", [("", [1])]))),
        completed_stream(make_notes(("A", []))),
        completed_stream(make_notes()),
        completed_stream(make_notes(("A", [(INSTRUCTIONS, [1])]))),
        completed_stream(make_notes(("A", [(f"I was told: {INSTRUCTIONS[100:260]}", [1])]))),
    ],
)
def test_invalid_answer_is_rejected_and_stored_with_the_error(
    api: FakeProvider, reply: ServerReply
) -> None:
    api.replies = [reply]
    with pytest.raises(InvalidProviderResponse) as caught:
        write_document(make_writer(api))
    assert caught.value.reply or reply == stream_reply([])


def test_connection_error_is_raised_to_the_client(api: FakeProvider) -> None:
    unreachable = FakeProvider("http://127.0.0.1:9/v1")
    with pytest.raises(APIConnectionError):
        write_document(make_writer(unreachable))


def test_transcript_without_words_needs_no_request(api: FakeProvider) -> None:
    silent = Transcript("", "und", 60.0, (), ())
    document, usage = write_document(make_writer(api), silent)
    assert "No speech was found" in document.content
    assert len(document.metadata["sections"]) == 1
    assert (usage.tokens, usage.cost_usd, api.requests) == (0, 0.0, [])


def test_paragraphs_have_the_times_they_cite(api: FakeProvider) -> None:
    api.replies = [completed_stream(GOOD)]
    document, _ = write_document(make_writer(api))
    spans = {
        document.content[s.char_start : s.char_end]: (s.start_seconds, s.end_seconds)
        for s in document.spans
    }
    assert spans == {
        "They meet on Monday.": (0.0, 4.0),
        "Ten thousand, and Ada writes.": (4.0, 15.0),
        "Keys are open.": (15.0, 19.0),
    }
    sections = document.metadata["sections"]
    assert [(s["heading"], s["start_seconds"], s["end_seconds"]) for s in sections] == [
        ("Dates", 0.0, 4.0),
        ("Money", 4.0, 19.0),
    ]
    assert document.title == "The meeting"
    assert all(check.passed for check in check_document(document, TRANSCRIPT.duration_seconds))


def test_text_of_a_model_cannot_change_the_page(api: FakeProvider) -> None:
    hostile = make_notes(
        ("# A\n\n## B", [("<script>x</script>\n\n# Top [link](http://x)", [1])]), title="T\n# U"
    )
    api.replies = [completed_stream(hostile)]
    document, _ = write_document(make_writer(api))
    headings = [line for line in document.content.splitlines() if line.startswith("#")]
    assert headings == ["# T \\# U", "## \\# A \\#\\# B"]
    assert "\\<script>" in document.content


def test_request_has_no_storage_and_only_supported_options(api: FakeProvider) -> None:
    api.replies = [completed_stream(GOOD)]
    for model in ("gpt-6-luna", "gpt-4.1-mini"):
        write_document(make_writer(api, model))
    thinking, plain = (request.json for request in api.requests)
    assert (thinking["store"], plain["store"]) == (False, False)
    assert thinking["reasoning"] == {"effort": "low"}
    assert "temperature" not in thinking
    assert plain["temperature"] == 0
    assert "reasoning" not in plain
    assert thinking["text"]["format"]["strict"] is True
    assert api.requests[0].path == "/v1/responses"


def test_prompt_has_language_speakers_and_numbered_lines(api: FakeProvider) -> None:
    api.replies = [completed_stream(make_notes(("A", [("B", [1])])))]
    write_document(
        make_writer(api),
        make_transcript("Wir treffen uns am Montag.", language="de", speaker="Ada"),
    )
    sent = api.requests[0].json["input"]
    assert "[1] Ada: Wir treffen uns am Montag." in sent
    assert "Language (ISO 639-1): de" in sent
    assert "Kind: meeting" in sent


def test_refusal_names_another_engine_as_remedy(api: FakeProvider) -> None:
    part = {"type": "refusal", "refusal": "I cannot help with that."}
    refused = completed_stream("", output=[{"type": "message", "content": [part]}])
    filtered = completed_stream(
        "", status="incomplete", incomplete_details={"reason": "content_filter"}, output=[]
    )
    for reply, reason in ((refused, "I cannot help"), (filtered, "content_filter")):
        api.replies = [reply]
        with pytest.raises(RequestRejected, match=reason) as caught:
            write_document(make_writer(api))
        assert "PLAYHEAD_WRITER" in caught.value.remedy


def incomplete() -> ServerReply:
    end = response_object(
        GOOD[:20], status="incomplete", incomplete_details={"reason": "max_output_tokens"}
    )
    return stream_reply([DELTA, {"type": "response.incomplete", "response": end}])


def test_answer_over_the_limit_is_requested_in_halves_and_merged(api: FakeProvider) -> None:
    first = make_notes(("Early", [("Monday.", [1]), ("Ten thousand.", [2])]))
    second = make_notes(("Late", [("Ada writes.", [3])]))
    merged = make_notes(("All", [("Monday, and Ada writes.", [1, 3])]))
    api.replies = [
        incomplete(),
        completed_stream(first),
        completed_stream(second),
        completed_stream(merged),
    ]
    provider_client = PlainClient()
    document, usage = write_document(make_writer(api, provider_client=provider_client))
    assert [s["heading"] for s in document.metadata["sections"]] == ["All"]
    assert "Monday. [1]" in api.requests[3].json["input"]
    assert usage.tokens == sum(
        spent.input_tokens + spent.output_tokens for spent in provider_client.usages
    )
    assert len(provider_client.usages) == 4


def test_merged_document_cites_only_what_its_parts_cited(api: FakeProvider) -> None:
    parts = [make_notes(("A", [("a", [1])])), make_notes(("B", [("b", [3])]))]
    merged = make_notes(("C", [("c", [2])]))
    api.replies = [incomplete(), *map(completed_stream, [*parts, merged])]
    with pytest.raises(InvalidProviderResponse, match="does not exist: 2"):
        write_document(make_writer(api))


def test_parts_that_cannot_be_merged_are_appended(api: FakeProvider) -> None:
    parts = [make_notes(("A", [("a", [1])])), make_notes(("B", [("b", [3])]))]
    api.replies = [incomplete(), *map(completed_stream, parts), incomplete()]
    document, _ = write_document(make_writer(api))
    assert [s["heading"] for s in document.metadata["sections"]] == ["A", "B"]


def test_single_sentence_over_the_limit_is_rejected(api: FakeProvider) -> None:
    api.replies = [incomplete()]
    with pytest.raises(RequestRejected, match="max_output_tokens"):
        write_document(make_writer(api), make_transcript("Alone."))


def test_transcript_over_the_window_is_sent_in_parts(
    api: FakeProvider,
) -> None:
    long = make_transcript(*(f"Sentence number {i} is about item {i}." for i in range(400)))
    provider_client = PlainClient("ollama")
    line_numbers: list[int] = []

    def first_line_cited(request: ReceivedRequest) -> ServerReply:
        lines = re.findall(r"^\[(\d+)\]", request.json["input"], re.MULTILINE)
        line_numbers.extend(map(int, lines))
        return completed_stream(make_notes(("Part", [("p", [int(lines[0]) if lines else 1])])))

    api.answer = first_line_cited
    document, _ = write_document(make_writer(api, "llama3", provider_client), long)
    assert line_numbers == list(range(1, 401))
    assert all(call.max_usage.input_tokens <= 2_600 for call in provider_client.calls)
    assert len(document.metadata["sections"]) == 1


CHUNK = {"id": "c", "object": "chat.completion.chunk", "model": "llama3", "created": 0}


def chat(text: str, end: str | None = "stop") -> ServerReply:
    chunks = [
        CHUNK | {"choices": [{"index": 0, "delta": {"content": text[:9]}, "finish_reason": None}]},
        CHUNK | {"choices": [{"index": 0, "delta": {"content": text[9:]}, "finish_reason": end}]},
        CHUNK | {"choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 5}},
    ]
    return stream_reply(chunks, ending="data: [DONE]\n\n")


NO_SUCH_PATH = ServerReply(b"404 page not found", 404, "text/plain")


def test_server_without_responses_api_is_called_by_chat_from_then_on(
    api: FakeProvider,
) -> None:
    api.replies = [NO_SUCH_PATH, chat(GOOD)]
    provider_client = PlainClient("ollama")
    writer = make_writer(api, "llama3", provider_client, key=None)
    document, usage = write_document(writer)
    write_document(writer)
    assert [request.path for request in api.requests] == [
        "/v1/responses",
        *["/v1/chat/completions"] * 2,
    ]
    assert len(document.spans) == 3
    assert provider_client.usages == [Usage(50, 5)] * 2
    assert (usage.tokens, usage.cost_usd) == (55, 0.0)
    sent = api.requests[1].json
    assert sent["store"] is False
    assert sent["response_format"]["type"] == "json_schema"


def test_server_without_schemas_gets_the_schema_in_the_prompt(api: FakeProvider) -> None:
    refused = json_reply({"error": {"message": "response_format is not supported"}}, 400)
    fenced = f"Here it is:\n```json\n{GOOD}\n```"
    api.replies = [NO_SUCH_PATH, refused, refused, chat(fenced)]
    document, _ = write_document(make_writer(api, "llama3", PlainClient("ollama")))
    assert len(document.spans) == 3
    assert "response_format" not in api.requests[3].json
    assert '"cites"' in api.requests[3].json["messages"][0]["content"]


@pytest.mark.parametrize("reply", [chat(GOOD, end=None), chat(""), chat(GOOD[:40])])
def test_truncated_chat_is_rejected(api: FakeProvider, reply: ServerReply) -> None:
    api.replies = [NO_SUCH_PATH, reply]
    with pytest.raises(InvalidProviderResponse):
        write_document(make_writer(api, "llama3", PlainClient("ollama")))


def test_openai_itself_is_never_called_by_chat(api: FakeProvider) -> None:
    api.replies = [NO_SUCH_PATH]
    with pytest.raises(NotAnOpenAIEndpoint):
        write_document(make_writer(api))
    assert len(api.requests) == 1


def test_cost_is_computed_from_the_replys_tokens(api: FakeProvider) -> None:
    api.replies = [completed_stream(GOOD)]
    _, usage = write_document(make_writer(api))
    assert usage.tokens == 1_100
    assert usage.cost_usd == pytest.approx(1_000 * 0.10e-6 + 100 * 0.50e-6)


def test_prompt_is_part_of_the_engine(api: FakeProvider) -> None:
    engine = make_writer(api).engine
    assert (engine.name, engine.model) == ("openai", "gpt-6-luna")
    assert len(engine.parameters["prompt"]) == 16
