"""The local transcriber: what is said, when, and nothing that was not said."""

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


def plain_words(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def assert_sound(transcript: Transcript) -> None:
    """The promises every transcript keeps."""
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
def test_what_nobody_says_has_no_words(tmp_path: Path, sound: media_files.Sound) -> None:
    transcript = transcribe(media_files.make_audio(tmp_path / "mute.wav", sound))
    assert (transcript.text, transcript.words, transcript.segments) == ("", (), ())
    assert transcript.duration_seconds == pytest.approx(len(sound) / media_files.RATE)
    assert transcript.language == "und"


@pytest.mark.parametrize("quiet", [media_files.silence(60), media_files.noise(60, level=0.02)])
def test_a_minute_of_nothing_after_speech_adds_no_word(
    tmp_path: Path, quiet: media_files.Sound
) -> None:
    path = media_files.make_audio(
        tmp_path / "trailing.wav", np.concatenate([media_files.speech(), quiet])
    )
    transcript = transcribe(path)
    assert_sound(transcript)
    assert len(transcript.words) == 22
    assert transcript.words[-1].end < 13


def test_words_keep_their_second_across_removed_silence(tmp_path: Path) -> None:
    jfk, young = media_files.speech(), media_files.speech("en_austen_0880")
    sound = np.concatenate([media_files.silence(40), young, media_files.silence(30), jfk])
    transcript = transcribe(media_files.make_audio(tmp_path / "pauses.flac", sound))
    assert_sound(transcript)
    (first,) = (word for word in transcript.words if word.word == "young")
    (second,) = (word for word in transcript.words if word.word.startswith("Americans"))
    assert first.start == pytest.approx(40 + 1.7, abs=0.7)
    assert second.start == pytest.approx(40 + len(young) / media_files.RATE + 30 + 1.8, abs=0.7)


def test_a_file_shorter_than_a_piece_gets_the_words_and_times_of_plain_faster_whisper() -> None:
    path = media_files.SPEECH / "en_jfk.flac"
    name = "whisper-tiny.en"
    plain = WhisperModel(name, device="cpu", compute_type="int8", files=whisper_files(name))
    segments, _ = plain.transcribe(str(path), word_timestamps=True)
    wanted = [word for part in segments for word in part.words]
    words = transcribe(path).words
    assert [word.word for word in words] == [word.word.strip() for word in wanted]
    assert [word.start for word in words] == pytest.approx([word.start for word in wanted])
    assert [word.end for word in words] == pytest.approx([word.end for word in wanted])


def test_a_file_of_several_pieces_keeps_every_word_at_its_second(tmp_path: Path) -> None:
    telling = {
        "en_austen_0870": "leisure",
        "en_austen_0890": "selfish",
        "en_jfk": "Americans",
        "en_austen_0920": "respectable",
        "en_austen_0930": "amiable",
    }
    parts = [
        np.concatenate([media_files.speech(name), media_files.silence(0.8)]) for name in telling
    ]
    pieced = PiecewiseTranscriber(LocalWhisper("whisper-tiny.en"), piece_seconds=13)
    transcript = transcribe(
        media_files.make_audio(tmp_path / "long.flac", np.concatenate(parts)), pieced
    )
    assert_sound(transcript)
    at = 0.0
    for part, wanted in zip(parts, telling.values(), strict=True):
        seconds = len(part) / media_files.RATE
        assert any(
            word.word.startswith(wanted) and at < word.start < at + seconds
            for word in transcript.words
        )
        at += seconds


def test_another_piece_length_is_another_engine() -> None:
    assert (
        PiecewiseTranscriber(LocalWhisper("whisper-tiny.en"), piece_seconds=60).engine
        != TINY.engine
    )


def test_threads_that_share_the_model_do_not_mix_their_words() -> None:
    paths = [media_files.SPEECH / f"en_austen_{number}.flac" for number in ("0880", "0890", "0930")]
    alone = [transcribe(path) for path in paths]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(transcribe, paths)) == alone


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
    pieced = PiecewiseTranscriber(LocalWhisper("whisper-tiny.en"), piece_seconds=13)
    pieced.transcribe(path, language="en", progress=seconds.append)
    assert seconds == sorted(seconds)
    assert len(seconds) > 2
    assert seconds[-1] == pytest.approx(41)


@pytest.mark.parametrize("language", ["fr", "klingon", ""])
def test_a_language_the_model_does_not_know_is_refused_with_the_remedy(language: str) -> None:
    with pytest.raises(LanguageUnsupported, match="does not know the language") as caught:
        transcribe(media_files.SPEECH / "en_jfk.flac", language=language)
    assert "whisper-base" in caught.value.remedy


def test_japanese_is_recognised_and_written_without_spaces_between_words() -> None:
    base = PiecewiseTranscriber(LocalWhisper("whisper-base"))
    transcript = transcribe(media_files.SPEECH / "ja_cv_24511055.flac", base)
    assert_sound(transcript)
    assert transcript.language == "ja"
    assert all(" " not in segment.text for segment in transcript.segments)
    assert "キャンプ" in transcript.text


def test_what_is_not_media_cannot_be_transcribed(tmp_path: Path) -> None:
    (tmp_path / "letter.mp4").write_text("Dear all,")
    with pytest.raises(UnreadableMedia):
        transcribe(tmp_path / "letter.mp4")


def test_a_model_that_is_nowhere_is_unavailable_before_any_work(tmp_path: Path) -> None:
    for name in ("whisper-huge", str(tmp_path)):
        with pytest.raises(ModelUnavailable, match="no Whisper model"):
            _ = PiecewiseTranscriber(LocalWhisper(name)).engine
        with pytest.raises(ModelUnavailable, match="no Whisper model"):
            transcribe(media_files.SPEECH / "en_jfk.flac", PiecewiseTranscriber(LocalWhisper(name)))


def test_a_folder_serves_as_a_model_and_its_weights_name_the_engine(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, data in whisper_files("whisper-tiny.en").items():
        (folder / name).write_bytes(data)
    mine = PiecewiseTranscriber(LocalWhisper(str(folder)))
    assert mine.engine.model == "mine@1a5afae06a4d"
    assert JFK in plain_words(transcribe(media_files.SPEECH / "en_jfk.flac", mine).text)


def test_weights_that_are_no_model_are_unavailable_not_a_crash(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        transcribe(
            media_files.SPEECH / "en_jfk.flac", PiecewiseTranscriber(LocalWhisper(str(tmp_path)))
        )
