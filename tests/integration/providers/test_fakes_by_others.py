"""Our adapters against servers that others wrote to stand in for OpenAI, over a real socket.

aimock (npm) speaks transcription, Responses and embeddings, and breaks when told to; llmock (PyPI)
tears streams and judges how politely a client behaved. Neither knows OpenAI's limits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

import numpy as np
import openai
import pytest
from llmock.pytest_plugin import LLMock
from pydantic import SecretStr

from playhead.core.errors import InvalidProviderResponse
from playhead.core.settings import Provider, Settings
from playhead.engines.remote import RemoteEngines
from playhead.providers.model_names import RemoteModel
from tests.support import media_files
from tests.support.provider_servers import PlainWire
from tests.support.synthetic_transcripts import talk

LUNA = RemoteModel("openai", "gpt-6-luna")
PARAGRAPH = {"text": "It begins.", "cites": [1, 2]}
NOTES = json.dumps(
    {"title": "A talk", "sections": [{"heading": "Start", "paragraphs": [PARAGRAPH]}]}
)


def engines(base_url: str, name: str = "openai", tries: int = 1) -> RemoteEngines:
    provider = Provider(base_url=base_url, api_key=SecretStr("test-key"))
    settings = Settings(providers={name: provider}, openai_api_key=None)
    provider_client = PlainWire(name, tries=tries)
    return RemoteEngines(settings, lambda *_: provider_client)


@contextmanager
def breaking(base_url: str, field: str) -> Iterator[None]:
    """aimock breaks every request in this way."""
    address = base_url.removesuffix("/v1") + "/__aimock/chaos"
    body = json.dumps({field: 1.0}).encode()
    urlopen(Request(address, body, {"content-type": "application/json"}, method="POST")).close()
    try:
        yield
    finally:
        urlopen(Request(address, method="DELETE")).close()


def test_aimock_a_model_with_word_times_is_heard(aimock: str) -> None:
    whisper = engines(aimock).recognizer(RemoteModel("openai", "whisper-1"))
    heard = whisper.recognize(media_files.speech(), language="en")
    assert heard.words is not None
    assert [word.word for word in heard.words][:4] == ["And", "so", "my", "fellow"]
    assert heard.language == "en"


def test_aimock_a_model_without_times_is_heard(aimock: str) -> None:
    newest = engines(aimock).recognizer(RemoteModel("openai", "gpt-transcribe"))
    heard = newest.recognize(media_files.speech(), language=None)
    assert (heard.text, heard.words, heard.language) == ("And so my fellow Americans", None, "en")


def test_aimock_a_transcript_is_written_up(aimock: str) -> None:
    document, usage = engines(aimock).writer(LUNA).write(talk(1, 5), title="x", kind="lecture")
    assert document.title == "What to ask"
    [span] = document.spans
    assert document.content[span.char_start : span.char_end].startswith("Ask what you can do")
    assert usage.tokens > 0


def test_aimock_texts_are_embedded(aimock: str) -> None:
    own = engines(aimock, "own").embedder(RemoteModel("own", "some-embedder"))
    vectors = own.embed(["one", "two"])
    assert vectors.shape == (2, own.dimensions)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_aimock_openais_own_model_is_not_believed_where_its_vectors_have_another_length(
    aimock: str,
) -> None:
    """aimock's are not of length 1, which OpenAI promises."""
    with pytest.raises(InvalidProviderResponse, match="length 1"):
        engines(aimock).embedder(RemoteModel("openai", "text-embedding-3-small")).embed(["one"])


@pytest.mark.parametrize(
    ("rate", "raised"),
    [
        ("malformedRate", InvalidProviderResponse),
        ("disconnectRate", openai.APIConnectionError),
        ("dropRate", openai.InternalServerError),
        ("rateLimitRate", openai.RateLimitError),
    ],
)
def test_aimock_what_it_breaks_never_becomes_a_result(
    aimock: str, rate: str, raised: type[Exception]
) -> None:
    broken = engines(aimock)
    with breaking(aimock, rate):
        for attempt in (
            lambda: broken.recognizer(RemoteModel("openai", "whisper-1")).recognize(
                media_files.silence(1), language=None
            ),
            lambda: broken.writer(LUNA).write(talk(1, 5), title="x", kind="lecture"),
            lambda: broken.embedder(RemoteModel("openai", "text-embedding-3-small")).embed(["a"]),
        ):
            with pytest.raises(raised):
                attempt()


def test_llmock_a_torn_stream_is_asked_again_and_nothing_of_it_is_kept(llmock: LLMock) -> None:
    """Its strict verdict: no failure, no warning."""
    llmock.pace(20)  # so that a torn stream is not sent to its end before we hang up
    writer = engines(llmock.base_url(), tries=2).writer(LUNA)
    faults = (llmock.truncate, llmock.corrupt, llmock.disconnect)
    for number, fault in enumerate(faults):
        fault(after_chunks=3)
        llmock.reply(NOTES, times=2)
        document, _ = writer.write(talk(number, 3), title="x", kind="lecture")
        assert [section["heading"] for section in document.metadata["sections"]] == ["Start"]
    assert len(llmock.requests) == 2 * len(faults)
    assert all(request.body["store"] is False for request in llmock.requests)
    llmock.assert_resilient(strict=True)


def test_llmock_texts_are_embedded_without_a_word_against_it(llmock: LLMock) -> None:
    own = engines(llmock.base_url(), "own").embedder(RemoteModel("own", "some-embedder"))
    assert own.embed(["one", "two", "three"]).shape == (3, 1536)
    llmock.assert_resilient(strict=True)


def test_llmock_a_chat_server_that_tears_its_stream_is_asked_again(llmock: LLMock) -> None:
    from llmock.scenarios import Fail, Match

    llmock.pace(20)

    llmock.add(Fail(404, times=1, match=Match(path="/v1/responses")))
    own = engines(llmock.base_url(), "own", tries=2).writer(RemoteModel("own", "llama3"))
    llmock.reply(NOTES, times=3)
    llmock.truncate(after_chunks=3)
    document, _ = own.write(talk(1, 3), title="x", kind="lecture")
    assert document.title == "A talk"
    llmock.assert_resilient(strict=True)
