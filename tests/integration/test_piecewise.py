"""Transcription in pieces: no word is repeated or lost, and each is at its time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from playhead.core.call_context import CallContext, call_context, current_call_context
from playhead.core.errors import RequestRejected, WorkerStopping
from playhead.core.protocols.transcriber import Recognition
from playhead.core.records import Segment, Transcript, Word
from playhead.engines.transcription.piecewise import PiecewiseTranscriber
from tests.support import media_files
from tests.support.fake_recognizers import (
    WORD_SECONDS,
    DictPieceCache,
    FakeRecognizer,
    speech_without_pauses,
    words_between,
)
from tests.support.media_files import Sound

PIECE_SECONDS = 10.0


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Return a minute of speech without pauses."""
    return media_files.make_audio(tmp_path / "talk.flac", speech_without_pauses(60))


@pytest.fixture
def reading(tmp_path: Path) -> Path:
    """Return 41 seconds of sentences with pauses."""
    names = ("0870", "0880", "0890", "0920", "0930", "0870", "0890")
    clips = [
        np.append(media_files.speech(f"en_austen_{name}"), media_files.silence(0.8))
        for name in names
    ]
    louder = [clip * np.float32(1 - at / 50) for at, clip in enumerate(clips)]
    return media_files.make_audio(tmp_path / "reading.flac", np.concatenate(louder))


def transcribe(
    recognizer: FakeRecognizer,
    cache: DictPieceCache | None = None,
    aligner: FakeRecognizer | None = None,
) -> Transcript:
    return PiecewiseTranscriber(
        recognizer, aligner=aligner, piece_seconds=PIECE_SECONDS
    ).transcribe(
        recognizer.file, language=None, progress=lambda _: None, finished=cache or DictPieceCache()
    )


def test_pieces_without_pauses_repeat_and_lose_no_word(talk: Path) -> None:
    recognizer = FakeRecognizer(talk)
    transcript = transcribe(recognizer)
    assert len(recognizer.piece_starts) > 6
    assert [word.word for word in transcript.words] == [
        word.word for word in words_between(0, transcript.duration_seconds)
    ]
    for word in transcript.words:
        assert word.start == pytest.approx(int(word.word[1:]) * WORD_SECONDS, abs=0.02)
    assert transcript.text == " ".join(word.word for word in transcript.words)


def test_pieces_that_disagree_keep_half_of_the_overlap_each(talk: Path) -> None:
    numbers = iter(range(100))

    def rename_words(words: list[Word]) -> list[Word]:
        number = next(numbers)
        return [replace(word, word=f"{word.word}x{number}") for word in words]

    transcript = transcribe(FakeRecognizer(talk, transform=rename_words))
    numbers_found = [int(word.word[1:].split("x")[0]) for word in transcript.words]
    assert numbers_found == sorted(set(numbers_found))
    assert len(numbers_found) >= len(words_between(0, 60)) - 7  # at most one per boundary


def test_pieces_transcribed_concurrently_give_the_same_transcript(reading: Path) -> None:
    assert transcribe(FakeRecognizer(reading, concurrency=3)) == transcribe(FakeRecognizer(reading))


def test_silence_is_not_sent_to_the_engine(tmp_path: Path) -> None:
    recognizer = FakeRecognizer(
        media_files.make_audio(tmp_path / "hush.wav", media_files.noise(45, level=0.01))
    )
    transcript = transcribe(recognizer)
    assert recognizer.piece_starts == []
    assert (transcript.text, transcript.language) == ("", "und")


def test_failed_piece_does_not_repeat_the_finished_ones(talk: Path) -> None:
    cache = DictPieceCache()

    def fail_piece(words: list[Word]) -> list[Word]:
        if any(word.word == "w60" for word in words) and not fixed:
            raise RequestRejected("Not this one.", remedy="Another.")
        return words

    fixed: list[bool] = []
    with pytest.raises(RequestRejected):
        transcribe(FakeRecognizer(talk, concurrency=2, transform=fail_piece), cache)
    stored_pieces = len(cache.pieces)
    assert stored_pieces >= 2
    fixed.append(True)
    second = FakeRecognizer(talk, transform=fail_piece)
    transcript = transcribe(second, cache)
    assert len(second.piece_starts) == len(cache.pieces) - stored_pieces
    assert transcript == transcribe(FakeRecognizer(talk))


def test_stopped_transcription_keeps_finished_pieces(talk: Path) -> None:
    cache = DictPieceCache()

    def stop(seconds: float) -> None:
        if seconds > 25:
            raise WorkerStopping("Enough.", remedy="Go on.")

    with pytest.raises(WorkerStopping):
        PiecewiseTranscriber(FakeRecognizer(talk), piece_seconds=PIECE_SECONDS).transcribe(
            talk, language=None, progress=stop, finished=cache
        )
    second = FakeRecognizer(talk)
    stored_pieces = len(cache.pieces)
    assert stored_pieces >= 2
    assert transcribe(second, cache) == transcribe(FakeRecognizer(talk))
    assert len(second.piece_starts) == len(cache.pieces) - stored_pieces


def test_call_context_reaches_the_engine_threads(reading: Path) -> None:
    org_ids: set[str] = set()

    def record_context(words: list[Word]) -> list[Word]:
        org_ids.add(current_call_context().org_id)
        return words

    with call_context(CallContext("acme", "transcript")):
        transcribe(FakeRecognizer(reading, concurrency=2, transform=record_context))
    assert org_ids == {"acme"}


def join_words(words: list[Word]) -> str:
    return " ".join(word.word for word in words)


def max_error(transcript: Transcript) -> float:
    return max(abs(int(word.word[1:]) * WORD_SECONDS - word.start) for word in transcript.words)


def test_untimed_words_are_interpolated_without_an_aligner(talk: Path) -> None:
    transcript = transcribe(FakeRecognizer(talk, transform=join_words))
    assert transcript.timing == "interpolated"
    assert transcript.error_seconds is not None
    assert max_error(transcript) <= transcript.error_seconds <= PIECE_SECONDS
    assert len(transcript.words) == len(words_between(0, transcript.duration_seconds))


def test_interpolated_words_are_not_placed_in_a_long_silence(tmp_path: Path) -> None:
    clip = media_files.speech("en_austen_0870")
    sound = np.concatenate([clip, media_files.silence(3), clip * np.float32(0.8)])
    file = media_files.make_audio(tmp_path / "apart.flac", sound)
    transcript = transcribe(FakeRecognizer(file, transform=lambda words: join_words(words[:20])))
    end, start = len(clip) / media_files.RATE, len(clip) / media_files.RATE + 3
    assert not [word for word in transcript.words if end + 0.3 < word.start < start - 0.3]


def test_aligner_adds_times_to_an_engine_without_them(reading: Path) -> None:
    def drop_words(words: list[Word]) -> list[Word]:
        return [word for word in words if int(word.word[1:]) % 5]  # misses every fifth word

    aligner = FakeRecognizer(reading, transform=drop_words)
    transcript = transcribe(FakeRecognizer(reading, transform=join_words), aligner=aligner)
    assert transcript.timing == "aligned"
    assert transcript.error_seconds is not None
    assert max_error(transcript) <= min(transcript.error_seconds, 2 * WORD_SECONDS)


def test_aligned_words_have_the_aligners_times(reading: Path) -> None:
    transcript = transcribe(
        FakeRecognizer(reading, transform=join_words), aligner=FakeRecognizer(reading)
    )
    assert transcript.timing == "aligned"
    assert max_error(transcript) < 0.05


def test_language_unknown_to_the_aligner_is_interpolated(reading: Path) -> None:
    aligner = FakeRecognizer(reading, languages=("fr",))
    transcript = transcribe(FakeRecognizer(reading, transform=join_words), aligner=aligner)
    assert transcript.timing == "interpolated"


def test_words_in_silence_are_dropped_and_reported(tmp_path: Path) -> None:
    sound = np.concatenate([media_files.speech("en_austen_0870"), media_files.silence(8)])
    file = media_files.make_audio(tmp_path / "after.flac", sound)
    recognizer = FakeRecognizer(file)
    transcript = transcribe(recognizer)
    assert transcript.words[-1].end < 8.5
    assert [segment.reason for segment in transcript.dropped] == ["no speech at this time"]
    assert transcript.dropped[0].start > 7.5


def test_looping_piece_is_transcribed_again_by_halves(reading: Path) -> None:
    def repeat_long_pieces(words: list[Word]) -> list[Word]:
        return [replace(word, word="again") for word in words] if len(words) > 20 else words

    transcript = transcribe(FakeRecognizer(reading, transform=repeat_long_pieces))
    assert "again" not in transcript.text
    assert transcript.dropped == ()


def test_loop_longer_than_its_time_is_reduced_to_one_phrase(tmp_path: Path) -> None:
    file = media_files.make_audio(tmp_path / "young.flac", media_files.speech("en_austen_0880"))
    transcript = transcribe(FakeRecognizer(file, transform=lambda _: "thank you very much " * 40))
    assert transcript.text == "thank you very much"
    assert "faster than it can be spoken" in transcript.dropped[0].reason


def test_spoken_repetition_is_kept(reading: Path) -> None:
    def repeat_one_word(words: list[Word]) -> list[Word]:
        return [replace(word, word="ora") for word in words]

    transcript = transcribe(FakeRecognizer(reading, transform=repeat_one_word))
    assert transcript.text.split().count("ora") > 50
    assert {segment.reason.split(", ")[1] for segment in transcript.dropped} == {
        "kept: slow enough to be spoken"
    }


def test_prompt_in_the_transcript_is_removed(reading: Path) -> None:
    prompt = "Names in this talk: Ada, Grace, Barbara."
    recognizer = FakeRecognizer(reading, prompt=prompt, transform=lambda _: prompt)
    transcript = transcribe(recognizer)
    assert transcript.text == ""
    assert {segment.reason for segment in transcript.dropped} == {"repeats the prompt"}


def test_short_piece_in_another_language_is_transcribed_in_the_usual_one(reading: Path) -> None:
    recognizer = FakeRecognizer(reading)

    def change_language(words: list[Word]) -> list[Word]:
        recognizer.language = "cy" if len(recognizer.piece_starts) == 3 else "en"
        return words

    recognizer.transform = change_language
    transcript = transcribe(recognizer)
    assert len(recognizer.piece_starts) == len(set(recognizer.piece_starts)) + 1
    assert {segment.language for segment in transcript.segments} == {None}


class DiarizingRecognizer(FakeRecognizer):
    """A recognizer that labels all speech of a piece as speaker A."""

    def recognize(self, sound: Sound, *, language: str | None) -> Recognition:
        recognition = super().recognize(sound, language=language)
        segments = [replace(segment, speaker="A") for segment in recognition.segments or ()]
        return replace(recognition, segments=tuple(segments))


def test_speaker_labels_of_different_pieces_are_distinct(reading: Path) -> None:
    speakers = [segment.speaker for segment in transcribe(DiarizingRecognizer(reading)).segments]
    assert len(speakers) > 2
    assert len(set(speakers)) == len(speakers)
    assert speakers[0] == "A"


def test_speaker_across_a_piece_boundary_keeps_the_label(talk: Path) -> None:
    assert {segment.speaker for segment in transcribe(DiarizingRecognizer(talk)).segments} == {"A"}


def test_channels_become_speakers_with_words_in_time_order(
    tmp_path: Path,
) -> None:
    first, other = media_files.speech("en_austen_0870"), media_files.speech("en_austen_0920")
    sound = np.zeros((2, len(first) + len(other)), np.float32)
    sound[0, : len(first)], sound[1, len(first) :] = first, other
    file = media_files.make_stereo(tmp_path / "call.wav", sound)

    class FixedRecognizer(FakeRecognizer):
        def recognize(self, sound: Sound, *, language: str | None) -> Recognition:
            words = tuple(replace(word, word=f"{word.word},") for word in words_between(2, 5))
            text = " ".join(word.word for word in words)
            return Recognition(text, "en", words, (Segment(text, 2, 5),))

    transcript = PiecewiseTranscriber(FixedRecognizer(file)).transcribe(
        file, language=None, progress=lambda _: None, speakers="channels"
    )
    assert [segment.speaker for segment in transcript.segments] == ["channel-1", "channel-2"]
    starts = [word.start for word in transcript.words]
    assert starts == sorted(starts)
