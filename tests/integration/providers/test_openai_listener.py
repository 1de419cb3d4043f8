"""Hearing by a provider: what is sent, what is believed of the reply, and what a server lacks."""

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
from tests.support.provider_servers import Asked, PlainWire, Server, Told, told

SPEECH = media_files.speech("en_austen_0880")
SECONDS = len(SPEECH) / media_files.RATE
SAID = {"word": "young", "start": 0.5, "end": 1.0}
VERBOSE = {
    "task": "transcribe",
    "language": "english",
    "duration": SECONDS,
    "text": "young man",
    "words": [SAID, {"word": "man", "start": 1.0, "end": 1.25}],
    "segments": [{"id": 0, "text": " young man", "start": 0.5, "end": 1.25}],
    "usage": {"type": "duration", "seconds": 6},
}


def listener(
    api: Server, model: str, provider_client: PlainWire | None = None, key: str | None = "k"
) -> SpeechRecognizer:
    made = provider_client or PlainWire()
    settings = api.settings(made.provider, key)
    engines = RemoteEngines(settings, lambda *_: made)
    return engines.recognizer(RemoteModel(made.provider, model))


def form(asked: Asked) -> dict[str, bytes]:
    """The fields of a multipart body."""
    boundary = asked.headers["content-type"].split("boundary=")[1].encode()
    fields = {}
    for part in asked.body.split(b"--" + boundary)[1:-1]:
        head, _, value = part.strip(b"\r\n").partition(b"\r\n\r\n")
        fields[head.split(b'name="')[1].split(b'"')[0].decode()] = value
    return fields


@pytest.mark.parametrize(
    "lie",
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
        VERBOSE | {"words": [SAID | {"start": float("nan")}]},
        VERBOSE | {"words": [SAID | {"end": SECONDS + 60}]},
        VERBOSE | {"words": [SAID | {"start": -1.0}]},
        VERBOSE | {"words": [SAID | {"end": 0.2}]},
        VERBOSE | {"words": [*reversed(VERBOSE["words"])]},  # type: ignore[call-overload]
        VERBOSE | {"segments": [3]},
    ],
)
def test_a_reply_that_cannot_be_right_is_not_believed_and_is_there_to_look_at(
    api: Server, lie: dict[str, Any]
) -> None:
    api.replies = [told(lie)]
    with pytest.raises(InvalidProviderResponse) as caught:
        listener(api, "whisper-1").recognize(SPEECH, language="en")
    assert caught.value.reply == api.replies[0].body


@pytest.mark.parametrize(
    "reply",
    [
        Told(b'{"text": "you'),
        Told(b""),
        Told(b"<!doctype html><title>Log in</title>", kind="text/html"),
        Told(b'["text"]'),
    ],
    ids=["torn", "empty", "a page", "a list"],
)
def test_a_body_that_is_no_reply_is_not_believed(api: Server, reply: Told) -> None:
    api.replies = [reply]
    with pytest.raises(InvalidProviderResponse) as caught:
        listener(api, "gpt-transcribe").recognize(SPEECH, language=None)
    assert caught.value.reply == reply.body


def test_the_sound_arrives_as_it_was_cut(api: Server) -> None:
    api.replies = [told({"text": "young man"})]
    listener(api, "gpt-transcribe").recognize(SPEECH, language="en")
    fields = form(api.asked[0])
    with av.open(BytesIO(fields["file"])) as sent:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in sent.decode(audio=0)])
    assert np.abs(sound / 32768 - SPEECH).max() < 1e-4
    assert (fields["model"], fields["language"]) == (b"gpt-transcribe", b"en")
    assert fields["response_format"] == b"json"
    assert "prompt" not in fields


def test_words_and_segments_come_with_their_times_and_the_language_by_its_code(
    api: Server,
) -> None:
    api.replies = [told(VERBOSE)]
    heard = listener(api, "whisper-1").recognize(SPEECH, language=None)
    assert heard.words == (Word("young", 0.5, 1.0), Word("man", 1.0, 1.25))
    assert heard.segments == (Segment("young man", 0.5, 1.25),)
    assert (heard.text, heard.language) == ("young man", "en")
    fields = form(api.asked[0])
    assert fields["response_format"] == b"verbose_json"
    assert "language" not in fields


def test_a_model_without_times_gives_text_and_no_times(api: Server) -> None:
    api.replies = [told({"text": " young man ", "languages": [{"code": "en"}]})]
    heard = listener(api, "gpt-transcribe").recognize(SPEECH, language=None)
    assert (heard.text, heard.language, heard.words, heard.segments) == (
        "young man",
        "en",
        None,
        None,
    )


def test_a_model_that_knows_voices_names_them(api: Server) -> None:
    spoken = [
        {"text": "Yes.", "start": 0.0, "end": 1.0, "speaker": "A"},
        {"text": "No.", "start": 0.8, "end": 2.0, "speaker": "B"},
    ]
    api.replies = [told({"text": "Yes. No.", "segments": spoken})]
    heard = listener(api, "gpt-4o-transcribe-diarize").recognize(SPEECH, language="en")
    assert heard.segments is not None
    assert [one.speaker for one in heard.segments] == ["A", "B"]
    assert heard.words is None
    fields = form(api.asked[0])
    assert (fields["response_format"], fields["chunking_strategy"]) == (b"diarized_json", b"auto")


def test_silence_is_an_empty_text_and_no_lie(api: Server) -> None:
    api.replies = [told(VERBOSE | {"text": "", "words": [], "segments": []})]
    heard = listener(api, "whisper-1").recognize(media_files.silence(2), language=None)
    assert (heard.text, heard.words, heard.segments) == ("", (), ())


def test_a_last_word_that_overruns_by_a_little_ends_with_the_piece(api: Server) -> None:
    late = VERBOSE | {"words": [SAID | {"end": SECONDS + 0.4}], "text": "young"}
    api.replies = [told(late)]
    heard = listener(api, "whisper-1").recognize(SPEECH, language="en")
    assert heard.words is not None
    assert heard.words[-1].end == pytest.approx(SECONDS)


def test_a_server_that_knows_no_word_times_is_asked_for_less_and_once_only(api: Server) -> None:
    refused = told({"error": {"message": "timestamp_granularities: not supported"}}, 400)
    api.replies = [refused, refused, told({"text": "young man"})]
    own = listener(api, "large-v3", PlainWire("speaches"), key=None)
    assert own.recognize(SPEECH, language="en").words is None
    assert own.recognize(SPEECH, language="en").text == "young man"
    asked = [form(one)["response_format"].decode() for one in api.asked]
    assert asked == ["verbose_json", "verbose_json", "json", "json"]
    assert own.concurrency == 1


def test_a_server_that_ignores_what_it_is_asked_is_taken_at_what_it_gives(api: Server) -> None:
    api.replies = [told({"text": "young man"})]
    heard = listener(api, "large-v3", PlainWire("speaches")).recognize(SPEECH, language="en")
    assert (heard.text, heard.words, heard.segments) == ("young man", None, None)
    assert len(api.asked) == 1


def test_what_every_way_refuses_is_refused(api: Server) -> None:
    api.replies = [told({"error": {"message": "corrupted file"}}, 400)]
    with pytest.raises(RequestRejected, match="corrupted file"):
        listener(api, "large-v3", PlainWire("speaches")).recognize(SPEECH, language="en")
    assert len(api.asked) == 3


def test_a_model_nobody_has_is_unavailable_and_asked_for_once(api: Server) -> None:
    api.replies = [told({"error": {"message": "no such model", "code": "model_not_found"}}, 404)]
    with pytest.raises(ModelUnavailable):
        listener(api, "large-v9", PlainWire("speaches")).recognize(SPEECH, language="en")
    assert len(api.asked) == 1


def test_a_language_the_model_does_not_take_is_named_with_the_remedy(api: Server) -> None:
    api.replies = [told({"error": {"message": "Language 'tlh' is not supported."}}, 400)]
    with pytest.raises(LanguageUnsupported, match="'tlh'") as caught:
        listener(api, "whisper-1").recognize(SPEECH, language="tlh")
    assert "PLAYHEAD_TRANSCRIBER" in caught.value.remedy


def test_the_longest_piece_is_a_file_the_provider_takes_even_if_it_is_noise(api: Server) -> None:
    api.replies = [told({"text": ""})]
    whisper = listener(api, "whisper-1")
    noise = media_files.noise(whisper.max_seconds, level=1.0)
    whisper_wire = PlainWire()
    listener(api, "whisper-1", whisper_wire).recognize(noise, language="en")
    assert 15_000_000 < len(api.asked[0].body) <= 25_000_000
    with pytest.raises(InputTooLong):
        whisper.recognize(media_files.silence(whisper.max_seconds + 1), language="en")
    assert len(api.asked) == 1


def test_what_was_used_is_what_the_reply_tells_and_else_the_most_it_can_be(api: Server) -> None:
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
    provider_client = PlainWire()
    for model, reply, used in cases:
        api.replies = [told(reply)]
        listener(api, model, provider_client).recognize(SPEECH, language="en")
        assert provider_client.used[-1] == used
        at_most = provider_client.asked[-1].max_usage
        assert at_most.input_tokens >= used.input_tokens
        assert at_most.output_tokens >= used.output_tokens


def test_a_server_that_is_not_there_is_the_wires_to_judge(api: Server) -> None:
    gone = Server("http://127.0.0.1:9/v1")
    with pytest.raises(APIConnectionError):
        listener(gone, "whisper-1").recognize(SPEECH, language="en")


def test_another_model_or_provider_is_another_engine(api: Server) -> None:
    engines = [
        listener(api, "whisper-1").engine,
        listener(api, "gpt-transcribe").engine,
        listener(api, "whisper-1", PlainWire("speaches")).engine,
    ]
    assert [(one.name, one.model) for one in engines] == [
        ("openai", "whisper-1"),
        ("openai", "gpt-transcribe"),
        ("speaches", "whisper-1"),
    ]
