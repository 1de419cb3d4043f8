"""Provider adapters against servers that others wrote to stand in for OpenAI, over a real socket.

aimock (npm) has transcription, Responses and embeddings, and injects faults; llmock (PyPI) breaks
streams and reports how well a client behaved. Neither has OpenAI's limits.
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
from tests.support.provider_servers import PlainClient
from tests.support.synthetic_transcripts import make_talk

LUNA = RemoteModel("openai", "gpt-6-luna")
PARAGRAPH = {"text": "It begins.", "cites": [1, 2]}
NOTES = json.dumps(
    {"title": "A talk", "sections": [{"heading": "Start", "paragraphs": [PARAGRAPH]}]}
)


def engines(base_url: str, name: str = "openai", tries: int = 1) -> RemoteEngines:
    provider = Provider(base_url=base_url, api_key=SecretStr("test-key"))
    settings = Settings(providers={name: provider}, openai_api_key=None)
    provider_client = PlainClient(name, tries=tries)
    return RemoteEngines(settings, lambda *_: provider_client)


@contextmanager
def inject_faults(base_url: str, field: str) -> Iterator[None]:
    """Make aimock break every request in this way."""
    address = base_url.removesuffix("/v1") + "/__aimock/chaos"
    body = json.dumps({field: 1.0}).encode()
    urlopen(Request(address, body, {"content-type": "application/json"}, method="POST")).close()
    try:
        yield
    finally:
        urlopen(Request(address, method="DELETE")).close()


def test_aimock_model_with_word_times_is_recognized(aimock: str) -> None:
    whisper = engines(aimock).recognizer(RemoteModel("openai", "whisper-1"))
    recognition = whisper.recognize(media_files.speech(), language="en")
    assert recognition.words is not None
    assert [word.word for word in recognition.words][:4] == ["And", "so", "my", "fellow"]
    assert recognition.language == "en"


def test_aimock_model_without_times_is_recognized(aimock: str) -> None:
    newest = engines(aimock).recognizer(RemoteModel("openai", "gpt-transcribe"))
    recognition = newest.recognize(media_files.speech(), language=None)
    assert (recognition.text, recognition.words, recognition.language) == (
        "And so my fellow Americans",
        None,
        "en",
    )


def test_aimock_transcript_is_written_up(aimock: str) -> None:
    document, usage = engines(aimock).writer(LUNA).write(make_talk(1, 5), title="x", kind="lecture")
    assert document.title == "What to ask"
    [span] = document.spans
    assert document.content[span.char_start : span.char_end].startswith("Ask what you can do")
    assert usage.tokens > 0


def test_aimock_texts_are_embedded(aimock: str) -> None:
    own = engines(aimock, "own").embedder(RemoteModel("own", "some-embedder"))
    vectors = own.embed(["one", "two"])
    assert vectors.shape == (2, own.dimensions)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_aimock_vectors_of_wrong_length_are_rejected_for_openai(
    aimock: str,
) -> None:
    """Check vectors that are not of length 1, which OpenAI guarantees."""
    with pytest.raises(InvalidProviderResponse, match="length 1"):
        engines(aimock).embedder(RemoteModel("openai", "text-embedding-3-small")).embed(["one"])


@pytest.mark.parametrize(
    ("rate", "error"),
    [
        ("malformedRate", InvalidProviderResponse),
        ("disconnectRate", openai.APIConnectionError),
        ("dropRate", openai.InternalServerError),
        ("rateLimitRate", openai.RateLimitError),
    ],
)
def test_aimock_faults_never_become_a_result(
    aimock: str, rate: str, error: type[Exception]
) -> None:
    broken = engines(aimock)
    with inject_faults(aimock, rate):
        for attempt in (
            lambda: broken.recognizer(RemoteModel("openai", "whisper-1")).recognize(
                media_files.silence(1), language=None
            ),
            lambda: broken.writer(LUNA).write(make_talk(1, 5), title="x", kind="lecture"),
            lambda: broken.embedder(RemoteModel("openai", "text-embedding-3-small")).embed(["a"]),
        ):
            with pytest.raises(error):
                attempt()


def test_llmock_broken_stream_is_retried_and_discarded(llmock: LLMock) -> None:
    """Require llmock's strict report: no failure, no warning."""
    llmock.pace(20)  # else a broken stream may be sent to its end before the client hangs up
    writer = engines(llmock.base_url(), tries=2).writer(LUNA)
    faults = (llmock.truncate, llmock.corrupt, llmock.disconnect)
    for number, fault in enumerate(faults):
        fault(after_chunks=3)
        llmock.reply(NOTES, times=2)
        document, _ = writer.write(make_talk(number, 3), title="x", kind="lecture")
        assert [section["heading"] for section in document.metadata["sections"]] == ["Start"]
    assert len(llmock.requests) == 2 * len(faults)
    assert all(request.body["store"] is False for request in llmock.requests)
    llmock.assert_resilient(strict=True)


def test_llmock_texts_are_embedded_without_warnings(llmock: LLMock) -> None:
    own = engines(llmock.base_url(), "own").embedder(RemoteModel("own", "some-embedder"))
    assert own.embed(["one", "two", "three"]).shape == (3, 1536)
    llmock.assert_resilient(strict=True)


def test_llmock_broken_chat_stream_is_retried(llmock: LLMock) -> None:
    from llmock.scenarios import Fail, Match

    llmock.pace(20)

    llmock.add(Fail(404, times=1, match=Match(path="/v1/responses")))
    own = engines(llmock.base_url(), "own", tries=2).writer(RemoteModel("own", "llama3"))
    llmock.reply(NOTES, times=3)
    llmock.truncate(after_chunks=3)
    document, _ = own.write(make_talk(1, 3), title="x", kind="lecture")
    assert document.title == "A talk"
    llmock.assert_resilient(strict=True)
