"""Recordings of any length from pieces: no word twice, none lost, each at its second."""

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

PIECE = 10.0


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A minute in which nobody pauses."""
    return media_files.make_audio(tmp_path / "talk.flac", speech_without_pauses(60))


@pytest.fixture
def reading(tmp_path: Path) -> Path:
    """Sentences with pauses: 41 seconds."""
    names = ("0870", "0880", "0890", "0920", "0930", "0870", "0890")
    clips = [
        np.append(media_files.speech(f"en_austen_{name}"), media_files.silence(0.8))
        for name in names
    ]
    louder = [clip * np.float32(1 - at / 50) for at, clip in enumerate(clips)]
    return media_files.make_audio(tmp_path / "reading.flac", np.concatenate(louder))


def transcribe(
    listener: FakeRecognizer,
    memory: DictPieceCache | None = None,
    aligner: FakeRecognizer | None = None,
) -> Transcript:
    return PiecewiseTranscriber(listener, aligner=aligner, piece_seconds=PIECE).transcribe(
        listener.file, language=None, progress=lambda _: None, finished=memory or DictPieceCache()
    )


def test_where_nobody_pauses_no_word_is_twice_and_none_is_lost(talk: Path) -> None:
    oracle = FakeRecognizer(talk)
    transcript = transcribe(oracle)
    assert len(oracle.piece_starts) > 6
    assert [word.word for word in transcript.words] == [
        word.word for word in words_between(0, transcript.duration_seconds)
    ]
    for word in transcript.words:
        assert word.start == pytest.approx(int(word.word[1:]) * WORD_SECONDS, abs=0.02)
    assert transcript.text == " ".join(word.word for word in transcript.words)


def test_where_two_pieces_agree_on_no_word_each_is_believed_for_its_half(talk: Path) -> None:
    turn = iter(range(100))

    def differently(words: list[Word]) -> list[Word]:
        hearing = next(turn)
        return [replace(word, word=f"{word.word}x{hearing}") for word in words]

    transcript = transcribe(FakeRecognizer(talk, transform=differently))
    places = [int(word.word[1:].split("x")[0]) for word in transcript.words]
    assert places == sorted(set(places))
    assert len(places) >= len(words_between(0, 60)) - 7  # one at most a cut


def test_pieces_heard_at_once_come_out_as_one_by_one(reading: Path) -> None:
    assert transcribe(FakeRecognizer(reading, concurrency=3)) == transcribe(FakeRecognizer(reading))


def test_where_nobody_speaks_no_engine_is_asked(tmp_path: Path) -> None:
    oracle = FakeRecognizer(
        media_files.make_audio(tmp_path / "hush.wav", media_files.noise(45, level=0.01))
    )
    transcript = transcribe(oracle)
    assert oracle.piece_starts == []
    assert (transcript.text, transcript.language) == ("", "und")


def test_a_piece_that_fails_for_good_costs_no_other_a_second_hearing(talk: Path) -> None:
    memory = DictPieceCache()

    def refuse(words: list[Word]) -> list[Word]:
        if any(word.word == "w60" for word in words) and not mended:
            raise RequestRejected("Not this one.", remedy="Another.")
        return words

    mended: list[bool] = []
    with pytest.raises(RequestRejected):
        transcribe(FakeRecognizer(talk, concurrency=2, transform=refuse), memory)
    kept = len(memory.pieces)
    assert kept >= 2
    mended.append(True)
    again = FakeRecognizer(talk, transform=refuse)
    whole = transcribe(again, memory)
    assert len(again.piece_starts) == len(memory.pieces) - kept
    assert whole == transcribe(FakeRecognizer(talk))


def test_who_is_told_to_stop_loses_nothing_that_was_finished(talk: Path) -> None:
    memory = DictPieceCache()

    def stop(seconds: float) -> None:
        if seconds > 25:
            raise WorkerStopping("Enough.", remedy="Go on.")

    with pytest.raises(WorkerStopping):
        PiecewiseTranscriber(FakeRecognizer(talk), piece_seconds=PIECE).transcribe(
            talk, language=None, progress=stop, finished=memory
        )
    again = FakeRecognizer(talk)
    kept = len(memory.pieces)
    assert kept >= 2
    assert transcribe(again, memory) == transcribe(FakeRecognizer(talk))
    assert len(again.piece_starts) == len(memory.pieces) - kept


def test_an_engine_is_asked_for_whom_the_work_is(reading: Path) -> None:
    errands: set[str] = set()

    def note(words: list[Word]) -> list[Word]:
        errands.add(current_call_context().org_id)
        return words

    with call_context(CallContext("acme", "transcript")):
        transcribe(FakeRecognizer(reading, concurrency=2, transform=note))
    assert errands == {"acme"}


def text_alone(words: list[Word]) -> str:
    return " ".join(word.word for word in words)


def worst(transcript: Transcript) -> float:
    return max(abs(int(word.word[1:]) * WORD_SECONDS - word.start) for word in transcript.words)


def test_without_times_and_aligner_words_share_the_speech_and_say_so(talk: Path) -> None:
    transcript = transcribe(FakeRecognizer(talk, transform=text_alone))
    assert transcript.timing == "interpolated"
    assert transcript.error_seconds is not None
    assert worst(transcript) <= transcript.error_seconds <= PIECE
    assert len(transcript.words) == len(words_between(0, transcript.duration_seconds))


def test_no_shared_out_word_lies_in_a_long_silence(tmp_path: Path) -> None:
    clip = media_files.speech("en_austen_0870")
    sound = np.concatenate([clip, media_files.silence(3), clip * np.float32(0.8)])
    file = media_files.make_audio(tmp_path / "apart.flac", sound)
    transcript = transcribe(FakeRecognizer(file, transform=lambda words: text_alone(words[:20])))
    end, start = len(clip) / media_files.RATE, len(clip) / media_files.RATE + 3
    assert not [word for word in transcript.words if end + 0.3 < word.start < start - 0.3]


def test_an_aligner_gives_an_engine_without_times_its_own(reading: Path) -> None:
    def misheard(words: list[Word]) -> list[Word]:
        return [word for word in words if int(word.word[1:]) % 5]  # every fifth it does not know

    aligner = FakeRecognizer(reading, transform=misheard)
    transcript = transcribe(FakeRecognizer(reading, transform=text_alone), aligner=aligner)
    assert transcript.timing == "aligned"
    assert transcript.error_seconds is not None
    assert worst(transcript) <= min(transcript.error_seconds, 2 * WORD_SECONDS)


def test_what_the_aligner_hears_too_is_where_it_hears_it(reading: Path) -> None:
    transcript = transcribe(
        FakeRecognizer(reading, transform=text_alone), aligner=FakeRecognizer(reading)
    )
    assert transcript.timing == "aligned"
    assert worst(transcript) < 0.05


def test_a_language_the_aligner_does_not_know_is_shared_out(reading: Path) -> None:
    aligner = FakeRecognizer(reading, languages=("fr",))
    transcript = transcribe(FakeRecognizer(reading, transform=text_alone), aligner=aligner)
    assert transcript.timing == "interpolated"


def test_words_that_lie_in_silence_are_not_believed_and_told_of(tmp_path: Path) -> None:
    sound = np.concatenate([media_files.speech("en_austen_0870"), media_files.silence(8)])
    file = media_files.make_audio(tmp_path / "after.flac", sound)
    oracle = FakeRecognizer(file)
    transcript = transcribe(oracle)
    assert transcript.words[-1].end < 8.5
    assert [segment.reason for segment in transcript.dropped] == ["nobody speaks there"]
    assert transcript.dropped[0].start > 7.5


def test_an_engine_that_repeats_itself_is_asked_again_by_halves(reading: Path) -> None:
    def loops_on_long_ones(words: list[Word]) -> list[Word]:
        return [replace(word, word="again") for word in words] if len(words) > 20 else words

    transcript = transcribe(FakeRecognizer(reading, transform=loops_on_long_ones))
    assert "again" not in transcript.text
    assert transcript.dropped == ()


def test_a_loop_that_no_time_allows_stays_once(tmp_path: Path) -> None:
    file = media_files.make_audio(tmp_path / "young.flac", media_files.speech("en_austen_0880"))
    transcript = transcribe(FakeRecognizer(file, transform=lambda _: "thank you very much " * 40))
    assert transcript.text == "thank you very much"
    assert "more than its time allows" in transcript.dropped[0].reason


def test_people_may_repeat_themselves(reading: Path) -> None:
    def chant(words: list[Word]) -> list[Word]:
        return [replace(word, word="ora") for word in words]

    transcript = transcribe(FakeRecognizer(reading, transform=chant))
    assert transcript.text.split().count("ora") > 50
    assert {segment.reason.split(", ")[1] for segment in transcript.dropped} == {
        "kept: its time allows it"
    }


def test_the_prompt_is_nothing_anybody_said(reading: Path) -> None:
    prompt = "Names in this talk: Ada, Grace, Barbara."
    oracle = FakeRecognizer(reading, prompt=prompt, transform=lambda _: prompt)
    transcript = transcribe(oracle)
    assert transcript.text == ""
    assert {segment.reason for segment in transcript.dropped} == {"it is the prompt"}


def test_a_little_speech_in_another_language_is_heard_in_the_usual_one(reading: Path) -> None:
    oracle = FakeRecognizer(reading)

    def noise(words: list[Word]) -> list[Word]:
        oracle.language = "cy" if len(oracle.piece_starts) == 3 else "en"
        return words

    oracle.transform = noise
    transcript = transcribe(oracle)
    assert len(oracle.piece_starts) == len(set(oracle.piece_starts)) + 1
    assert {segment.language for segment in transcript.segments} == {None}


class Diarising(FakeRecognizer):
    """Says who speaks, as far as one piece tells: always A."""

    def recognize(self, sound: Sound, *, language: str | None) -> Recognition:
        heard = super().recognize(sound, language=language)
        segments = [replace(segment, speaker="A") for segment in heard.segments or ()]
        return replace(heard, segments=tuple(segments))


def test_a_label_of_one_piece_is_not_taken_for_that_of_another(reading: Path) -> None:
    speakers = [segment.speaker for segment in transcribe(Diarising(reading)).segments]
    assert len(speakers) > 2
    assert len(set(speakers)) == len(speakers)
    assert speakers[0] == "A"


def test_who_speaks_across_a_cut_is_one_speaker(talk: Path) -> None:
    assert {segment.speaker for segment in transcribe(Diarising(talk)).segments} == {"A"}


def test_channels_are_speakers_when_asked_and_words_are_in_the_order_they_were_said(
    tmp_path: Path,
) -> None:
    first, other = media_files.speech("en_austen_0870"), media_files.speech("en_austen_0920")
    sound = np.zeros((2, len(first) + len(other)), np.float32)
    sound[0, : len(first)], sound[1, len(first) :] = first, other
    file = media_files.make_stereo(tmp_path / "call.wav", sound)

    class Whoever(FakeRecognizer):
        def recognize(self, sound: Sound, *, language: str | None) -> Recognition:
            words = tuple(replace(word, word=f"{word.word},") for word in words_between(2, 5))
            text = " ".join(word.word for word in words)
            return Recognition(text, "en", words, (Segment(text, 2, 5),))

    transcript = PiecewiseTranscriber(Whoever(file)).transcribe(
        file, language=None, progress=lambda _: None, speakers="channels"
    )
    assert [segment.speaker for segment in transcript.segments] == ["channel-1", "channel-2"]
    starts = [word.start for word in transcript.words]
    assert starts == sorted(starts)
