"""Assemble the transcript of a recording from its pieces.

Times are mapped to the recording, voices are merged, and the main language is determined.
``piecewise.py`` transcribes the pieces, ``overlap_merge.py`` merges them where they overlap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from faster_whisper.vad import SpeechTimestampsMap

from playhead.core.protocols.transcriber import UNKNOWN_LANGUAGE
from playhead.core.records import TIMINGS, DroppedSpeech, Timing, Transcript, Word
from playhead.engines.transcription.overlap_merge import merge_overlap, relabel_speakers
from playhead.engines.transcription.pause_splitting import AudioPiece
from playhead.engines.transcription.timed_segments import (
    TimedSegment,
    build_transcript,
    timed_segments,
)
from playhead.media.decode import RATE


@dataclass(slots=True)
class TranscriptAssembler:
    """The assembled pieces of one voice, in seconds of the sound that was split."""

    lines: list[TimedSegment] = field(default_factory=list)  # each with its language
    dropped: list[DroppedSpeech] = field(default_factory=list)
    seconds: float = 0.0
    timing: Timing = "native"
    error_seconds: float | None = None
    spoken: Counter[str] = field(default_factory=Counter)  # characters by language
    _pieces: int = 0
    _overlap: float = 0.0

    @property
    def language(self) -> str | None:
        """Return the language of the largest share of speech so far, or None."""
        return max(self.spoken, key=lambda language: self.spoken[language]) if self.spoken else None

    def add(self, piece: AudioPiece, said: Transcript | None) -> None:
        """Add the next piece with its transcript; None if it has no speech."""
        self._pieces += 1
        if said is not None:
            self._put(PieceTimeMap(piece), said)
        self.seconds, self._overlap = piece.end / RATE, piece.overlap / RATE

    def transcript(self, language: str | None) -> Transcript:
        """Return the transcript of all pieces; ``language`` is used if it has no words."""
        spoken = self.language or language or UNKNOWN_LANGUAGE
        return replace(
            build_transcript(self.lines, spoken, self.seconds),
            timing=self.timing,
            error_seconds=self.error_seconds,
            dropped=tuple(self.dropped),
        )

    def weigh(self, other: Transcript | TranscriptAssembler) -> None:
        """Keep the least precise timing of all pieces."""
        self.timing = max(self.timing, other.timing, key=TIMINGS.index)
        if other.error_seconds is not None:
            self.error_seconds = max(self.error_seconds or 0.0, other.error_seconds)

    def _put(self, clock: PieceTimeMap, said: Transcript) -> None:
        lines = relabel_speakers(_map_times(clock, said), self._pieces)
        for line in lines:
            self.spoken[line.language or UNKNOWN_LANGUAGE] += len(line.text)
        both = (self.seconds - self._overlap, self.seconds)
        self.lines = (
            merge_overlap(self.lines, lines, both) if self._overlap else [*self.lines, *lines]
        )
        self.dropped += [clock.dropped(dropped) for dropped in said.dropped]
        if lines:
            self.weigh(said)


class PieceTimeMap:
    """Mapping from the seconds of a piece's sound to those of the sound that was split."""

    def __init__(self, piece: AudioPiece) -> None:
        kept = [{"start": start, "end": end} for start, end in piece.kept]
        self._map = SpeechTimestampsMap(kept, RATE)

    def word(self, word: Word) -> Word:
        """Return the word with mapped times, wholly in the stretch that contains its middle."""
        stretch = self._map.get_chunk_index((word.start + word.end) / 2)
        start, end = (self._map.get_original_time(at, stretch) for at in (word.start, word.end))
        return replace(word, start=float(start), end=float(end))

    def dropped(self, dropped_speech: DroppedSpeech) -> DroppedSpeech:
        """Return the dropped speech with mapped times."""
        at = self.word(Word(dropped_speech.text, dropped_speech.start, dropped_speech.end))
        return replace(dropped_speech, start=at.start, end=at.end)


def merge_channels(
    voices: Sequence[tuple[str, TranscriptAssembler]], language: str | None
) -> Transcript:
    """Merge the transcripts of several simultaneous voices, each labelled with its name."""
    whole = TranscriptAssembler(_interleave([(name, voice.lines) for name, voice in voices]))
    for _, voice in voices:
        whole.dropped += voice.dropped
        whole.spoken += voice.spoken
        whole.seconds = max(whole.seconds, voice.seconds)
        whole.weigh(voice)
    return whole.transcript(language)


def _map_times(clock: PieceTimeMap, said: Transcript) -> Iterable[TimedSegment]:
    for line in timed_segments(said.segments, said.words):
        words = tuple(clock.word(word) for word in line.words)
        yield replace(line, words=words, language=line.language or said.language)


def _interleave(voices: Sequence[tuple[str, Sequence[TimedSegment]]]) -> list[TimedSegment]:
    """Return the segments of several voices in the order of their words, labelled by voice.

    When a voice speaks over another, its words keep their seconds, and the other voice continues in
    a segment of its own.
    """
    said = sorted(
        (
            (word.start, word.end, voice, number, at)
            for voice, (_, lines) in enumerate(voices)
            for number, line in enumerate(lines)
            for at, word in enumerate(line.words)
        ),
    )
    turns: list[tuple[int, int, set[int]]] = []
    for _, _, voice, number, at in said:
        if not turns or turns[-1][:2] != (voice, number):
            turns.append((voice, number, set()))
        turns[-1][2].add(at)
    lines = (
        (voices[voice][0], voices[voice][1][number].with_only(words))
        for voice, number, words in turns
    )
    return [replace(line, speaker=name) for name, line in lines if line]
