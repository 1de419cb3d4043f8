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
    characters_by_language: Counter[str] = field(default_factory=Counter)  # characters by language
    _pieces: int = 0
    _overlap: float = 0.0

    @property
    def language(self) -> str | None:
        """Return the language of the largest share of speech so far, or None."""
        return (
            max(
                self.characters_by_language,
                key=lambda language: self.characters_by_language[language],
            )
            if self.characters_by_language
            else None
        )

    def add(self, piece: AudioPiece, transcript: Transcript | None) -> None:
        """Add the next piece with its transcript; None if it has no speech."""
        self._pieces += 1
        if transcript is not None:
            self._put(PieceTimeMap(piece), transcript)
        self.seconds, self._overlap = piece.end / RATE, piece.overlap / RATE

    def transcript(self, language: str | None) -> Transcript:
        """Return the transcript of all pieces; ``language`` is used if it has no words."""
        main_language = self.language or language or UNKNOWN_LANGUAGE
        return replace(
            build_transcript(self.lines, main_language, self.seconds),
            timing=self.timing,
            error_seconds=self.error_seconds,
            dropped=tuple(self.dropped),
        )

    def weigh(self, other: Transcript | TranscriptAssembler) -> None:
        """Keep the least precise timing of all pieces."""
        self.timing = max(self.timing, other.timing, key=TIMINGS.index)
        if other.error_seconds is not None:
            self.error_seconds = max(self.error_seconds or 0.0, other.error_seconds)

    def _put(self, time_map: PieceTimeMap, transcript: Transcript) -> None:
        lines = relabel_speakers(_map_times(time_map, transcript), self._pieces)
        for line in lines:
            self.characters_by_language[line.language or UNKNOWN_LANGUAGE] += len(line.text)
        overlap = (self.seconds - self._overlap, self.seconds)
        self.lines = (
            merge_overlap(self.lines, lines, overlap) if self._overlap else [*self.lines, *lines]
        )
        self.dropped += [time_map.dropped(dropped) for dropped in transcript.dropped]
        if lines:
            self.weigh(transcript)


class PieceTimeMap:
    """Mapping from the seconds of a piece's sound to those of the sound that was split."""

    def __init__(self, piece: AudioPiece) -> None:
        chunks = [{"start": start, "end": end} for start, end in piece.ranges]
        self._map = SpeechTimestampsMap(chunks, RATE)

    def word(self, word: Word) -> Word:
        """Return the word with mapped times, within the chunk that contains its middle."""
        chunk = self._map.get_chunk_index((word.start + word.end) / 2)
        start, end = (self._map.get_original_time(at, chunk) for at in (word.start, word.end))
        return replace(word, start=float(start), end=float(end))

    def dropped(self, dropped_speech: DroppedSpeech) -> DroppedSpeech:
        """Return the dropped speech with mapped times."""
        at = self.word(Word(dropped_speech.text, dropped_speech.start, dropped_speech.end))
        return replace(dropped_speech, start=at.start, end=at.end)


def merge_channels(
    channels: Sequence[tuple[str, TranscriptAssembler]], language: str | None
) -> Transcript:
    """Merge the transcripts of several simultaneous voices, each labelled with its name."""
    merged = TranscriptAssembler(_interleave([(name, channel.lines) for name, channel in channels]))
    for _, channel in channels:
        merged.dropped += channel.dropped
        merged.characters_by_language += channel.characters_by_language
        merged.seconds = max(merged.seconds, channel.seconds)
        merged.weigh(channel)
    return merged.transcript(language)


def _map_times(time_map: PieceTimeMap, transcript: Transcript) -> Iterable[TimedSegment]:
    for line in timed_segments(transcript.segments, transcript.words):
        words = tuple(time_map.word(word) for word in line.words)
        yield replace(line, words=words, language=line.language or transcript.language)


def _interleave(channels: Sequence[tuple[str, Sequence[TimedSegment]]]) -> list[TimedSegment]:
    """Return the segments of several voices in the order of their words, labelled by voice.

    When a voice speaks over another, its words keep their seconds, and the other voice continues in
    a segment of its own.
    """
    words_in_order = sorted(
        (
            (word.start, word.end, channel, number, index)
            for channel, (_, lines) in enumerate(channels)
            for number, line in enumerate(lines)
            for index, word in enumerate(line.words)
        ),
    )
    groups: list[tuple[int, int, set[int]]] = []
    for _, _, channel, number, index in words_in_order:
        if not groups or groups[-1][:2] != (channel, number):
            groups.append((channel, number, set()))
        groups[-1][2].add(index)
    lines = (
        (channels[channel][0], channels[channel][1][number].with_only(words))
        for channel, number, words in groups
    )
    return [replace(line, speaker=name) for name, line in lines if line]
