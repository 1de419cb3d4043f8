"""Documents by a provider: what is sent, what is believed, and where every paragraph was said."""

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
    Asked,
    PlainWire,
    Server,
    Told,
    completed,
    responded,
    streamed,
    told,
)

SENTENCES = [
    "We meet on Monday.",
    "The budget is ten thousand.",
    "Ada will write to the council.",
    "Who brings the keys?",
]


def spoken(*said: str, language: str = "en", speaker: str | None = None) -> Transcript:
    """A sentence takes a second a word and is a segment."""
    words, segments, at = [], [], 0.0
    for one in said:
        start = at
        for word in one.split():
            words.append(Word(word, at, at + 1.0))
            at += 1.0
        segments.append(Segment(one, start, at, speaker))
    return Transcript(" ".join(said), language, at, tuple(words), tuple(segments))


TRANSCRIPT = spoken(*SENTENCES)


def notes(*parts: tuple[str, list[tuple[str, list[Any]]]], title: str = "The meeting") -> str:
    sections = [
        {"heading": heading, "paragraphs": [{"text": t, "cites": c} for t, c in paragraphs]}
        for heading, paragraphs in parts
    ]
    return json.dumps({"title": title, "sections": sections})


GOOD = notes(
    ("Dates", [("They meet on Monday.", [1])]),
    ("Money", [("Ten thousand, and Ada writes.", [3, 2]), ("Keys are open.", [4])]),
)


def writer(
    api: Server,
    model: str = "gpt-6-luna",
    provider_client: PlainWire | None = None,
    **settings: Any,
) -> Writer:
    made = provider_client or PlainWire()
    engines = RemoteEngines(api.settings(made.provider, **settings), lambda *_: made)
    return engines.writer(RemoteModel(made.provider, model))


def write(made: Writer, transcript: Transcript = TRANSCRIPT) -> Any:
    return made.write(transcript, title="monday.mp3", kind="meeting")


DELTA = {"type": "response.output_text.delta", "delta": GOOD}


@pytest.mark.parametrize(
    "lie",
    [
        streamed([DELTA]),
        streamed([DELTA], ending="data: [DONE]\n\n"),
        streamed([DELTA], ending='event: x\ndata: {"type": "response.comp'),
        streamed([DELTA], ending="data: {nonsense}\n\n"),
        streamed([]),
        told({}),
        told(responded(GOOD)),
        Told(b"<!doctype html>", kind="text/html"),
        completed(GOOD, status="failed", error={"code": "server_error"}),
        completed(GOOD, status="in_progress"),
        completed(GOOD, output=[]),
        completed(""),
        completed("{}"),
        completed("Here is your summary."),
        completed(notes(("A", [("B", [])]))),
        completed(notes(("A", [("B", [5])]))),
        completed(notes(("A", [("B", [0])]))),
        completed(notes(("A", [("B", ["1"])]))),
        completed(notes(("A", [("B", [True])]))),
        completed(notes(("A", [("", [1])]))),
        completed(notes(("A", []))),
        completed(notes()),
        completed(notes(("A", [(INSTRUCTIONS, [1])]))),
        completed(notes(("A", [(f"I was told: {INSTRUCTIONS[100:260]}", [1])]))),
    ],
)
def test_an_answer_that_cannot_be_right_is_not_believed_and_is_there_to_look_at(
    api: Server, lie: Told
) -> None:
    api.replies = [lie]
    with pytest.raises(InvalidProviderResponse) as caught:
        write(writer(api))
    assert caught.value.reply or lie == streamed([])


def test_a_connection_lost_in_the_middle_is_the_wires_to_judge(api: Server) -> None:
    gone = Server("http://127.0.0.1:9/v1")
    with pytest.raises(APIConnectionError):
        write(writer(gone))


def test_a_transcript_without_words_asks_nobody(api: Server) -> None:
    silent = Transcript("", "und", 60.0, (), ())
    document, usage = write(writer(api), silent)
    assert "No speech was found" in document.content
    assert len(document.metadata["sections"]) == 1
    assert (usage.tokens, usage.cost_usd, api.asked) == (0, 0.0, [])


def test_every_paragraph_points_at_the_seconds_it_cites(api: Server) -> None:
    api.replies = [completed(GOOD)]
    document, _ = write(writer(api))
    said = {
        document.content[s.char_start : s.char_end]: (s.start_seconds, s.end_seconds)
        for s in document.spans
    }
    assert said == {
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


def test_what_a_model_writes_cannot_change_the_page(api: Server) -> None:
    hostile = notes(
        ("# A\n\n## B", [("<script>x</script>\n\n# Top [link](http://x)", [1])]), title="T\n# U"
    )
    api.replies = [completed(hostile)]
    document, _ = write(writer(api))
    headings = [line for line in document.content.splitlines() if line.startswith("#")]
    assert headings == ["# T \\# U", "## \\# A \\#\\# B"]
    assert "\\<script>" in document.content


def test_nothing_is_stored_and_only_what_the_model_takes_is_sent(api: Server) -> None:
    api.replies = [completed(GOOD)]
    for model in ("gpt-6-luna", "gpt-4.1-mini"):
        write(writer(api, model))
    thinking, plain = (one.json for one in api.asked)
    assert (thinking["store"], plain["store"]) == (False, False)
    assert thinking["reasoning"] == {"effort": "low"}
    assert "temperature" not in thinking
    assert plain["temperature"] == 0
    assert "reasoning" not in plain
    assert thinking["text"]["format"]["strict"] is True
    assert api.asked[0].path == "/v1/responses"


def test_the_model_is_told_the_language_the_speakers_and_numbered_lines(api: Server) -> None:
    api.replies = [completed(notes(("A", [("B", [1])])))]
    write(writer(api), spoken("Wir treffen uns am Montag.", language="de", speaker="Ada"))
    sent = api.asked[0].json["input"]
    assert "[1] Ada: Wir treffen uns am Montag." in sent
    assert "Language (ISO 639-1): de" in sent
    assert "Kind: meeting" in sent


def test_a_refusal_is_told_with_another_engine_as_remedy(api: Server) -> None:
    part = {"type": "refusal", "refusal": "I cannot help with that."}
    refused = completed("", output=[{"type": "message", "content": [part]}])
    filtered = completed(
        "", status="incomplete", incomplete_details={"reason": "content_filter"}, output=[]
    )
    for reply, why in ((refused, "I cannot help"), (filtered, "content_filter")):
        api.replies = [reply]
        with pytest.raises(RequestRejected, match=why) as caught:
            write(writer(api))
        assert "PLAYHEAD_WRITER" in caught.value.remedy


def incomplete() -> Told:
    end = responded(
        GOOD[:20], status="incomplete", incomplete_details={"reason": "max_output_tokens"}
    )
    return streamed([DELTA, {"type": "response.incomplete", "response": end}])


def test_an_answer_that_does_not_fit_is_asked_for_in_halves_and_merged(api: Server) -> None:
    first = notes(("Early", [("Monday.", [1]), ("Ten thousand.", [2])]))
    second = notes(("Late", [("Ada writes.", [3])]))
    merged = notes(("All", [("Monday, and Ada writes.", [1, 3])]))
    api.replies = [incomplete(), completed(first), completed(second), completed(merged)]
    provider_client = PlainWire()
    document, usage = write(writer(api, provider_client=provider_client))
    assert [s["heading"] for s in document.metadata["sections"]] == ["All"]
    assert "Monday. [1]" in api.asked[3].json["input"]
    assert usage.tokens == sum(one.input_tokens + one.output_tokens for one in provider_client.used)
    assert len(provider_client.used) == 4


def test_a_merged_write_up_may_cite_only_what_its_parts_cited(api: Server) -> None:
    parts = [notes(("A", [("a", [1])])), notes(("B", [("b", [3])]))]
    merged = notes(("C", [("c", [2])]))
    api.replies = [incomplete(), *map(completed, [*parts, merged])]
    with pytest.raises(InvalidProviderResponse, match="not given: 2"):
        write(writer(api))


def test_parts_that_cannot_be_merged_stay_one_behind_the_other(api: Server) -> None:
    parts = [notes(("A", [("a", [1])])), notes(("B", [("b", [3])]))]
    api.replies = [incomplete(), *map(completed, parts), incomplete()]
    document, _ = write(writer(api))
    assert [s["heading"] for s in document.metadata["sections"]] == ["A", "B"]


def test_a_single_sentence_that_is_too_much_for_the_model_is_refused(api: Server) -> None:
    api.replies = [incomplete()]
    with pytest.raises(RequestRejected, match="max_output_tokens"):
        write(writer(api), spoken("Alone."))


def test_a_transcript_longer_than_the_model_reads_is_sent_in_parts_that_fit(api: Server) -> None:
    long = spoken(*(f"Sentence number {i} is about item {i}." for i in range(400)))
    provider_client = PlainWire("ollama")
    given: list[int] = []

    def first_line_cited(asked: Asked) -> Told:
        lines = re.findall(r"^\[(\d+)\]", asked.json["input"], re.MULTILINE)
        given.extend(map(int, lines))
        return completed(notes(("Part", [("p", [int(lines[0]) if lines else 1])])))

    api.answer = first_line_cited
    document, _ = write(writer(api, "llama3", provider_client), long)
    assert given == list(range(1, 401))
    assert all(ask.max_usage.input_tokens <= 2_600 for ask in provider_client.asked)
    assert len(document.metadata["sections"]) == 1


CHUNK = {"id": "c", "object": "chat.completion.chunk", "model": "llama3", "created": 0}


def chat(text: str, end: str | None = "stop") -> Told:
    whole = [
        CHUNK | {"choices": [{"index": 0, "delta": {"content": text[:9]}, "finish_reason": None}]},
        CHUNK | {"choices": [{"index": 0, "delta": {"content": text[9:]}, "finish_reason": end}]},
        CHUNK | {"choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 5}},
    ]
    return streamed(whole, ending="data: [DONE]\n\n")


NO_SUCH_PATH = Told(b"404 page not found", 404, "text/plain")


def test_a_server_without_responses_is_asked_by_chat_and_from_then_on_only_so(
    api: Server,
) -> None:
    api.replies = [NO_SUCH_PATH, chat(GOOD)]
    provider_client = PlainWire("ollama")
    made = writer(api, "llama3", provider_client, key=None)
    document, usage = write(made)
    write(made)
    assert [one.path for one in api.asked] == ["/v1/responses", *["/v1/chat/completions"] * 2]
    assert len(document.spans) == 3
    assert provider_client.used == [Usage(50, 5)] * 2
    assert (usage.tokens, usage.cost_usd) == (55, 0.0)
    sent = api.asked[1].json
    assert sent["store"] is False
    assert sent["response_format"]["type"] == "json_schema"


def test_a_server_that_takes_no_schema_is_told_in_words(api: Server) -> None:
    refused = told({"error": {"message": "response_format is not supported"}}, 400)
    fenced = f"Here it is:\n```json\n{GOOD}\n```"
    api.replies = [NO_SUCH_PATH, refused, refused, chat(fenced)]
    document, _ = write(writer(api, "llama3", PlainWire("ollama")))
    assert len(document.spans) == 3
    assert "response_format" not in api.asked[3].json
    assert '"cites"' in api.asked[3].json["messages"][0]["content"]


@pytest.mark.parametrize("reply", [chat(GOOD, end=None), chat(""), chat(GOOD[:40])])
def test_a_chat_that_breaks_off_is_not_believed(api: Server, reply: Told) -> None:
    api.replies = [NO_SUCH_PATH, reply]
    with pytest.raises(InvalidProviderResponse):
        write(writer(api, "llama3", PlainWire("ollama")))


def test_openai_itself_is_never_asked_by_another_way(api: Server) -> None:
    api.replies = [NO_SUCH_PATH]
    with pytest.raises(NotAnOpenAIEndpoint):
        write(writer(api))
    assert len(api.asked) == 1


def test_the_price_is_that_of_the_tokens_the_reply_tells(api: Server) -> None:
    api.replies = [completed(GOOD)]
    _, usage = write(writer(api))
    assert usage.tokens == 1_100
    assert usage.cost_usd == pytest.approx(1_000 * 0.10e-6 + 100 * 0.50e-6)


def test_the_prompt_is_a_part_of_the_recipe(api: Server) -> None:
    engine = writer(api).engine
    assert (engine.name, engine.model) == ("openai", "gpt-6-luna")
    assert len(engine.parameters["prompt"]) == 16
