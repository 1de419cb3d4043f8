"""The local Whisper transcriber: the spoken words at their time, and nothing else."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from faster_whisper import WhisperModel

from playhead.core.errors import LanguageUnsupported, ModelUnavailable, UnreadableMedia
from playhead.core.packaged_models import whisper_files
from playhead.core.records import Transcript
from playhead.engines.transcription.piecewise import PiecewiseTranscriber
from playhead.engines.transcription.whisper import LocalWhisper
from tests.support import media_files

TINY = PiecewiseTranscriber(LocalWhisper("whisper-tiny.en"))
JFK = "ask not what your country can do for you"


def transcribe(
    path: Path, model: PiecewiseTranscriber = TINY, language: str | None = None
) -> Transcript:
    return model.transcribe(path, language=language, progress=lambda seconds: None)


def normalize(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def assert_valid(transcript: Transcript) -> None:
    """Check every invariant of transcripts."""
    times = [time for word in transcript.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert not times or (times[0] >= 0 and times[-1] <= transcript.duration_seconds)
    at = 0
    for word in transcript.words:
        assert word.word == word.word.strip() != ""
        at = transcript.text.index(word.word, at) + len(word.word)
    assert transcript.text == " ".join(segment.text for segment in transcript.segments)
    assert all(a.end <= b.start for a, b in pairwise(transcript.segments))


@pytest.mark.parametrize(
    "sound",
    [
        media_files.silence(60),
        media_files.silence(0.05),
        media_files.noise(60),
        media_files.noise(60, level=0.5),
        media_files.noise(60, level=0.003),
        media_files.tone(60),
        media_files.tone(60, hertz=150),
    ],
    ids=["silence", "blink", "noise", "loud noise", "faint noise", "tone", "hum"],
)
def test_sound_without_speech_has_no_words(tmp_path: Path, sound: media_files.Sound) -> None:
    transcript = transcribe(media_files.make_audio(tmp_path / "mute.wav", sound))
    assert (transcript.text, transcript.words, transcript.segments) == ("", (), ())
    assert transcript.duration_seconds == pytest.approx(len(sound) / media_files.RATE)
    assert transcript.language == "und"


@pytest.mark.parametrize("quiet", [media_files.silence(60), media_files.noise(60, level=0.02)])
def test_silence_after_speech_adds_no_word(tmp_path: Path, quiet: media_files.Sound) -> None:
    path = media_files.make_audio(
        tmp_path / "trailing.wav", np.concatenate([media_files.speech(), quiet])
    )
    transcript = transcribe(path)
    assert_valid(transcript)
    assert len(transcript.words) == 22
    assert transcript.words[-1].end < 13


def test_words_keep_their_time_across_removed_silence(tmp_path: Path) -> None:
    jfk, young = media_files.speech(), media_files.speech("en_austen_0880")
    sound = np.concatenate([media_files.silence(40), young, media_files.silence(30), jfk])
    transcript = transcribe(media_files.make_audio(tmp_path / "pauses.flac", sound))
    assert_valid(transcript)
    (first,) = (word for word in transcript.words if word.word == "young")
    (second,) = (word for word in transcript.words if word.word.startswith("Americans"))
    assert first.start == pytest.approx(40 + 1.7, abs=0.7)
    assert second.start == pytest.approx(40 + len(young) / media_files.RATE + 30 + 1.8, abs=0.7)


def test_short_file_matches_plain_faster_whisper() -> None:
    path = media_files.SPEECH / "en_jfk.flac"
    name = "whisper-tiny.en"
    reference = WhisperModel(name, device="cpu", compute_type="int8", files=whisper_files(name))
    segments, _ = reference.transcribe(str(path), word_timestamps=True)
    expected = [word for part in segments for word in part.words]
    words = transcribe(path).words
    assert [word.word for word in words] == [word.word.strip() for word in expected]
    assert [word.start for word in words] == pytest.approx([word.start for word in expected])
    assert [word.end for word in words] == pytest.approx([word.end for word in expected])


def test_words_of_a_file_in_several_pieces_are_at_their_time(tmp_path: Path) -> None:
    keywords = {
        "en_austen_0870": "leisure",
        "en_austen_0890": "selfish",
        "en_jfk": "Americans",
        "en_austen_0920": "respectable",
        "en_austen_0930": "amiable",
    }
    parts = [
        np.concatenate([media_files.speech(name), media_files.silence(0.8)]) for name in keywords
    ]
    transcriber = PiecewiseTranscriber(LocalWhisper("whisper-tiny.en"), piece_seconds=13)
    transcript = transcribe(
        media_files.make_audio(tmp_path / "long.flac", np.concatenate(parts)), transcriber
    )
    assert_valid(transcript)
    at = 0.0
    for part, expected in zip(parts, keywords.values(), strict=True):
        seconds = len(part) / media_files.RATE
        assert any(
            word.word.startswith(expected) and at < word.start < at + seconds
            for word in transcript.words
        )
        at += seconds


def test_piece_length_is_part_of_the_engine() -> None:
    assert (
        PiecewiseTranscriber(LocalWhisper("whisper-tiny.en"), piece_seconds=60).engine
        != TINY.engine
    )


def test_threads_sharing_a_model_do_not_mix_their_words() -> None:
    paths = [media_files.SPEECH / f"en_austen_{number}.flac" for number in ("0880", "0890", "0930")]
    sequential = [transcribe(path) for path in paths]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(transcribe, paths)) == sequential


def test_progress_rises_to_the_end_of_the_recording(tmp_path: Path) -> None:
    seconds: list[float] = []
    sound = np.concatenate(
        [
            media_files.speech(),
            media_files.silence(10),
            media_files.speech(),
            media_files.silence(9),
        ]
    )
    path = media_files.make_audio(tmp_path / "some.wav", sound)
    transcriber = PiecewiseTranscriber(LocalWhisper("whisper-tiny.en"), piece_seconds=13)
    transcriber.transcribe(path, language="en", progress=seconds.append)
    assert seconds == sorted(seconds)
    assert len(seconds) > 2
    assert seconds[-1] == pytest.approx(41)


@pytest.mark.parametrize("language", ["fr", "klingon", ""])
def test_unsupported_language_is_rejected_with_a_remedy(language: str) -> None:
    with pytest.raises(LanguageUnsupported, match="does not support the language") as caught:
        transcribe(media_files.SPEECH / "en_jfk.flac", language=language)
    assert "whisper-base" in caught.value.remedy


def test_japanese_is_transcribed_without_spaces_between_words() -> None:
    base = PiecewiseTranscriber(LocalWhisper("whisper-base"))
    transcript = transcribe(media_files.SPEECH / "ja_cv_24511055.flac", base)
    assert_valid(transcript)
    assert transcript.language == "ja"
    assert all(" " not in segment.text for segment in transcript.segments)
    assert "キャンプ" in transcript.text


def test_file_that_is_not_media_cannot_be_transcribed(tmp_path: Path) -> None:
    (tmp_path / "letter.mp4").write_text("Dear all,")
    with pytest.raises(UnreadableMedia):
        transcribe(tmp_path / "letter.mp4")


def test_unknown_model_is_unavailable_before_any_work(tmp_path: Path) -> None:
    for name in ("whisper-huge", str(tmp_path)):
        with pytest.raises(ModelUnavailable, match="no Whisper model"):
            _ = PiecewiseTranscriber(LocalWhisper(name)).engine
        with pytest.raises(ModelUnavailable, match="no Whisper model"):
            transcribe(media_files.SPEECH / "en_jfk.flac", PiecewiseTranscriber(LocalWhisper(name)))


def test_model_folder_is_named_by_its_weights(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, data in whisper_files("whisper-tiny.en").items():
        (folder / name).write_bytes(data)
    custom = PiecewiseTranscriber(LocalWhisper(str(folder)))
    assert custom.engine.model == "mine@1a5afae06a4d"
    assert JFK in normalize(transcribe(media_files.SPEECH / "en_jfk.flac", custom).text)


def test_invalid_weights_are_reported_as_unavailable(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        transcribe(
            media_files.SPEECH / "en_jfk.flac", PiecewiseTranscriber(LocalWhisper(str(tmp_path)))
        )
