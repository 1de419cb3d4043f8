"""Speech recognition by a provider: the request, valid and invalid replies, limited servers."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import av
import numpy as np
import pytest
from openai import APIConnectionError

from playhead.core.errors import (
    InputTooLong,
    InvalidProviderResponse,
    LanguageUnsupported,
    ModelUnavailable,
    RequestRejected,
)
from playhead.core.protocols.transcriber import SpeechRecognizer
from playhead.core.records import Segment, Word
from playhead.core.usage import Usage
from playhead.engines.remote import RemoteEngines
from playhead.providers.model_names import RemoteModel
from tests.support import media_files
from tests.support.provider_servers import (
    FakeProvider,
    PlainClient,
    ReceivedRequest,
    ServerReply,
    json_reply,
)

SPEECH = media_files.speech("en_austen_0880")
SECONDS = len(SPEECH) / media_files.RATE
FIRST_WORD = {"word": "young", "start": 0.5, "end": 1.0}
VERBOSE = {
    "task": "transcribe",
    "language": "english",
    "duration": SECONDS,
    "text": "young man",
    "words": [FIRST_WORD, {"word": "man", "start": 1.0, "end": 1.25}],
    "segments": [{"id": 0, "text": " young man", "start": 0.5, "end": 1.25}],
    "usage": {"type": "duration", "seconds": 6},
}


def make_recognizer(
    api: FakeProvider, model: str, provider_client: PlainClient | None = None, key: str | None = "k"
) -> SpeechRecognizer:
    client = provider_client or PlainClient()
    settings = api.settings(client.provider, key)
    engines = RemoteEngines(settings, lambda *_: client)
    return engines.recognizer(RemoteModel(client.provider, model))


def parse_form(formats: ReceivedRequest) -> dict[str, bytes]:
    """Return the fields of a multipart body."""
    boundary = formats.headers["content-type"].split("boundary=")[1].encode()
    fields = {}
    for part in formats.body.split(b"--" + boundary)[1:-1]:
        head, _, value = part.strip(b"\r\n").partition(b"\r\n\r\n")
        fields[head.split(b'name="')[1].split(b'"')[0].decode()] = value
    return fields


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"text": None},
        {"text": 3},
        VERBOSE | {"text": ""},
        VERBOSE | {"words": None},
        VERBOSE | {"words": []},
        VERBOSE | {"words": "young"},
        VERBOSE | {"words": [{"word": None, "start": 0, "end": 1}]},
        VERBOSE | {"words": [{"word": "young", "start": "0", "end": 1}]},
        VERBOSE | {"words": [FIRST_WORD | {"start": float("nan")}]},
        VERBOSE | {"words": [FIRST_WORD | {"end": SECONDS + 60}]},
        VERBOSE | {"words": [FIRST_WORD | {"start": -1.0}]},
        VERBOSE | {"words": [FIRST_WORD | {"end": 0.2}]},
        VERBOSE | {"words": [*reversed(VERBOSE["words"])]},  # type: ignore[call-overload]
        VERBOSE | {"segments": [3]},
    ],
)
def test_invalid_reply_is_rejected_and_stored_with_the_error(
    api: FakeProvider, reply: dict[str, Any]
) -> None:
    api.replies = [json_reply(reply)]
    with pytest.raises(InvalidProviderResponse) as caught:
        make_recognizer(api, "whisper-1").recognize(SPEECH, language="en")
    assert caught.value.reply == api.replies[0].body


@pytest.mark.parametrize(
    "reply",
    [
        ServerReply(b'{"text": "you'),
        ServerReply(b""),
        ServerReply(b"<!doctype html><title>Log in</title>", kind="text/html"),
        ServerReply(b'["text"]'),
    ],
    ids=["torn", "empty", "a page", "a list"],
)
def test_malformed_body_is_rejected(api: FakeProvider, reply: ServerReply) -> None:
    api.replies = [reply]
    with pytest.raises(InvalidProviderResponse) as caught:
        make_recognizer(api, "gpt-transcribe").recognize(SPEECH, language=None)
    assert caught.value.reply == reply.body


def test_audio_is_sent_unchanged(api: FakeProvider) -> None:
    api.replies = [json_reply({"text": "young man"})]
    make_recognizer(api, "gpt-transcribe").recognize(SPEECH, language="en")
    fields = parse_form(api.requests[0])
    with av.open(BytesIO(fields["file"])) as sent:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in sent.decode(audio=0)])
    assert np.abs(sound / 32768 - SPEECH).max() < 1e-4
    assert (fields["model"], fields["language"]) == (b"gpt-transcribe", b"en")
    assert fields["response_format"] == b"json"
    assert "prompt" not in fields


def test_words_segments_and_language_are_parsed(
    api: FakeProvider,
) -> None:
    api.replies = [json_reply(VERBOSE)]
    recognition = make_recognizer(api, "whisper-1").recognize(SPEECH, language=None)
    assert recognition.words == (Word("young", 0.5, 1.0), Word("man", 1.0, 1.25))
    assert recognition.segments == (Segment("young man", 0.5, 1.25),)
    assert (recognition.text, recognition.language) == ("young man", "en")
    fields = parse_form(api.requests[0])
    assert fields["response_format"] == b"verbose_json"
    assert "language" not in fields


def test_model_without_times_returns_only_text(api: FakeProvider) -> None:
    api.replies = [json_reply({"text": " young man ", "languages": [{"code": "en"}]})]
    recognition = make_recognizer(api, "gpt-transcribe").recognize(SPEECH, language=None)
    assert (recognition.text, recognition.language, recognition.words, recognition.segments) == (
        "young man",
        "en",
        None,
        None,
    )


def test_model_with_speakers_returns_their_labels(api: FakeProvider) -> None:
    turns = [
        {"text": "Yes.", "start": 0.0, "end": 1.0, "speaker": "A"},
        {"text": "No.", "start": 0.8, "end": 2.0, "speaker": "B"},
    ]
    api.replies = [json_reply({"text": "Yes. No.", "segments": turns})]
    recognition = make_recognizer(api, "gpt-4o-transcribe-diarize").recognize(SPEECH, language="en")
    assert recognition.segments is not None
    assert [segment.speaker for segment in recognition.segments] == ["A", "B"]
    assert recognition.words is None
    fields = parse_form(api.requests[0])
    assert (fields["response_format"], fields["chunking_strategy"]) == (b"diarized_json", b"auto")


def test_silence_is_an_empty_text(api: FakeProvider) -> None:
    api.replies = [json_reply(VERBOSE | {"text": "", "words": [], "segments": []})]
    recognition = make_recognizer(api, "whisper-1").recognize(media_files.silence(2), language=None)
    assert (recognition.text, recognition.words, recognition.segments) == ("", (), ())


def test_last_word_that_overruns_ends_with_the_piece(api: FakeProvider) -> None:
    overrun = VERBOSE | {"words": [FIRST_WORD | {"end": SECONDS + 0.4}], "text": "young"}
    api.replies = [json_reply(overrun)]
    recognition = make_recognizer(api, "whisper-1").recognize(SPEECH, language="en")
    assert recognition.words is not None
    assert recognition.words[-1].end == pytest.approx(SECONDS)


def test_server_without_word_times_is_sent_a_simpler_request_once(
    api: FakeProvider,
) -> None:
    refused = json_reply({"error": {"message": "timestamp_granularities: not supported"}}, 400)
    api.replies = [refused, refused, json_reply({"text": "young man"})]
    recognizer = make_recognizer(api, "large-v3", PlainClient("speaches"), key=None)
    assert recognizer.recognize(SPEECH, language="en").words is None
    assert recognizer.recognize(SPEECH, language="en").text == "young man"
    formats = [parse_form(request)["response_format"].decode() for request in api.requests]
    assert formats == ["verbose_json", "verbose_json", "json", "json"]
    assert recognizer.concurrency == 1


def test_server_that_ignores_options_returns_what_it_has(
    api: FakeProvider,
) -> None:
    api.replies = [json_reply({"text": "young man"})]
    recognition = make_recognizer(api, "large-v3", PlainClient("speaches")).recognize(
        SPEECH, language="en"
    )
    assert (recognition.text, recognition.words, recognition.segments) == ("young man", None, None)
    assert len(api.requests) == 1


def test_request_that_every_variant_fails_is_rejected(api: FakeProvider) -> None:
    api.replies = [json_reply({"error": {"message": "corrupted file"}}, 400)]
    with pytest.raises(RequestRejected, match="corrupted file"):
        make_recognizer(api, "large-v3", PlainClient("speaches")).recognize(SPEECH, language="en")
    assert len(api.requests) == 3


def test_unknown_model_is_unavailable_after_one_request(api: FakeProvider) -> None:
    api.replies = [
        json_reply({"error": {"message": "no such model", "code": "model_not_found"}}, 404)
    ]
    with pytest.raises(ModelUnavailable):
        make_recognizer(api, "large-v9", PlainClient("speaches")).recognize(SPEECH, language="en")
    assert len(api.requests) == 1


def test_unsupported_language_is_named_with_a_remedy(api: FakeProvider) -> None:
    api.replies = [json_reply({"error": {"message": "Language 'tlh' is not supported."}}, 400)]
    with pytest.raises(LanguageUnsupported, match="'tlh'") as caught:
        make_recognizer(api, "whisper-1").recognize(SPEECH, language="tlh")
    assert "PLAYHEAD_TRANSCRIBER" in caught.value.remedy


def test_longest_piece_of_noise_is_under_the_file_limit(
    api: FakeProvider,
) -> None:
    api.replies = [json_reply({"text": ""})]
    whisper = make_recognizer(api, "whisper-1")
    noise = media_files.noise(whisper.max_seconds, level=1.0)
    client = PlainClient()
    make_recognizer(api, "whisper-1", client).recognize(noise, language="en")
    assert 15_000_000 < len(api.requests[0].body) <= 25_000_000
    with pytest.raises(InputTooLong):
        whisper.recognize(media_files.silence(whisper.max_seconds + 1), language="en")
    assert len(api.requests) == 1


def test_usage_is_taken_from_the_reply_or_the_maximum(
    api: FakeProvider,
) -> None:
    tokens = {"type": "tokens", "input_tokens": 60, "output_tokens": 5, "total_tokens": 65}
    cases: list[tuple[str, Any, Usage]] = [
        ("whisper-1", VERBOSE, Usage(audio_seconds=6.0)),
        (
            "gpt-4o-transcribe",
            {"text": "a", "usage": tokens},
            Usage(60, 5, audio_seconds=SECONDS),
        ),
        ("gpt-transcribe", {"text": "a"}, Usage(audio_seconds=SECONDS)),
    ]
    provider_client = PlainClient()
    for model, reply, used in cases:
        api.replies = [json_reply(reply)]
        make_recognizer(api, model, provider_client).recognize(SPEECH, language="en")
        assert provider_client.usages[-1] == used
        max_usage = provider_client.calls[-1].max_usage
        assert max_usage.input_tokens >= used.input_tokens
        assert max_usage.output_tokens >= used.output_tokens


def test_connection_error_is_raised_to_the_client(api: FakeProvider) -> None:
    unreachable = FakeProvider("http://127.0.0.1:9/v1")
    with pytest.raises(APIConnectionError):
        make_recognizer(unreachable, "whisper-1").recognize(SPEECH, language="en")


def test_engine_differs_by_model_and_provider(api: FakeProvider) -> None:
    engines = [
        make_recognizer(api, "whisper-1").engine,
        make_recognizer(api, "gpt-transcribe").engine,
        make_recognizer(api, "whisper-1", PlainClient("speaches")).engine,
    ]
    assert [(engine.name, engine.model) for engine in engines] == [
        ("openai", "whisper-1"),
        ("openai", "gpt-transcribe"),
        ("speaches", "whisper-1"),
    ]
