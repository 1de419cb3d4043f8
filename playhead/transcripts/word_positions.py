"""Locate the words and segments of a transcript in its text, and validate their times."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from playhead.core.errors import InvalidEngineOutput
from playhead.core.records import Segment, TimedSpan, Transcript, Word
from playhead.core.sentences import LanguageRuns, Range, merge_runs
from playhead.transcripts.timeline import Timeline

#: Tolerance in seconds of a time at its bound: engines count in frames of 0.02 s and round.
TOLERANCE_SECONDS = 0.05

#: Words in a row that must match before text without words is skipped, and the maximum length of
#: that text: about five minutes of speech.
ANCHOR_WORDS = 4
MAX_ANCHOR_CHARACTERS = 5_000


@dataclass(frozen=True, slots=True)
class TimedText:
    """A transcript in the form that it is chunked in.

    ``timeline`` has a row per word with the speaker of its segment, or a row per segment if the
    engine timed no words. ``breaks`` are the characters where segments begin. ``languages`` is the
    language from each break on, empty if there is only one.
    """

    text: str
    language: str
    duration_seconds: float
    timeline: Timeline
    breaks: Sequence[int]
    languages: tuple[str, ...] = ()

    @property
    def language_runs(self) -> LanguageRuns:
        """Return where each language begins in the text."""
        return merge_runs([(0, self.language), *zip(self.breaks, self.languages, strict=False)])


def timed_text(transcript: Transcript) -> TimedText:
    segments = segment_timeline(transcript.text, transcript.segments)
    words = word_timeline(transcript.text, transcript.words)
    return TimedText(
        transcript.text,
        transcript.language,
        transcript.duration_seconds,
        _by_speakers(words, segments) if len(words) else segments,
        segments.char_starts.tolist(),
        _languages(transcript),
    )


def language_runs(transcript: Transcript) -> LanguageRuns:
    """Return where each language begins in the transcript's text."""
    languages = _languages(transcript)
    starts = [start for start, _ in _segment_places(transcript).values()] if languages else []
    return merge_runs([(0, transcript.language), *zip(starts, languages, strict=True)])


def _languages(transcript: Transcript) -> tuple[str, ...]:
    """Return the language of each segment found in the text; empty if there is only one."""
    if not any(segment.language for segment in transcript.segments):
        return ()
    languages = [transcript.segments[i].language for i in _segment_places(transcript)]
    return tuple(language or transcript.language for language in languages)


def _segment_places(transcript: Transcript) -> dict[int, Range]:
    return locate_words(transcript.text, [segment.text for segment in transcript.segments])


def word_timeline(text: str, words: Sequence[Word]) -> Timeline:
    """Return the timeline of the words in ``text``, in order.

    White space that a word carries is not included. A word that is not found at its position in the
    sequence is left out, never placed elsewhere.
    """
    at = locate_words(text, [word.word for word in words])
    return Timeline.of([TimedSpan(*at[i], words[i].start, words[i].end) for i in at])


def segment_timeline(text: str, segments: Sequence[Segment]) -> Timeline:
    """Return the timeline of the segments in ``text`` with their speakers.

    Segments are located as in ``word_timeline``.
    """
    at = locate_words(text, [segment.text for segment in segments])
    return Timeline.of(
        [TimedSpan(*at[i], segments[i].start, segments[i].end, segments[i].speaker) for i in at]
    )


def check_times(transcript: Transcript) -> None:
    """Raise ``InvalidEngineOutput`` if times are impossible or a word is not in the text.

    Times are impossible if a word or segment ends before it starts, if starts or ends decrease, are
    negative or lie past ``duration_seconds``, each by more than ``TOLERANCE_SECONDS``.
    """
    duration = transcript.duration_seconds
    faults = [
        *_time_faults("word", transcript.words, duration),
        *_time_faults("segment", transcript.segments, duration),
    ]
    words = [word for word in transcript.words if word.word.strip()]
    placed = locate_words(transcript.text, [word.word for word in words])
    if missing := [word for i, word in enumerate(words) if i not in placed]:
        faults.append(
            f"{len(missing)} of {len(words)} words are not in the text in this order, "
            f"first {missing[0].word!r} at {missing[0].start:.2f} s"
        )
    if faults:
        raise InvalidEngineOutput(
            f"the transcript is inconsistent ({len(faults)} problems): {faults[0]}",
            remedy="Transcribe the recording again; use another engine if it happens again.",
        )


def _time_faults(name: str, timed: Sequence[Word | Segment], duration: float) -> Iterator[str]:
    start, end = 0.0, 0.0
    for number, item in enumerate(timed, 1):
        label = f"{name} {number} ({item.start} to {item.end} s)"
        if not (math.isfinite(item.start) and math.isfinite(item.end)):
            yield f"{label} has no finite times"
        if item.start < start - TOLERANCE_SECONDS or item.end < end - TOLERANCE_SECONDS:
            yield f"{label} goes back in time: the previous one is {start} to {end} s"
        if item.end < item.start - TOLERANCE_SECONDS:
            yield f"{label} ends before it starts"
        if item.end > duration + TOLERANCE_SECONDS:
            yield f"{label} ends after the recording, which ends at {duration} s"
        start, end = item.start, item.end


def _by_speakers(words: Timeline, segments: Timeline) -> Timeline:
    """Add to each word the speaker of its segment, or of the one that holds most of it."""
    if len(segments.names) == 1:
        return words
    at = np.searchsorted(segments.char_ends, words.char_starts, "right")
    at = np.minimum(at, len(segments) - 1)
    speakers = segments.speaker_indices[at]
    before, after = segments.char_starts[at], segments.char_ends[at]
    crossing = np.flatnonzero((words.char_starts < before) | (after < words.char_ends))
    ranges = zip(
        words.char_starts[crossing].tolist(), words.char_ends[crossing].tolist(), strict=True
    )
    speakers[crossing] = [segments.names.index(name) for name in segments.speakers(list(ranges))]
    return replace(words, speaker_indices=speakers, names=segments.names)


def locate_words(text: str, pieces: Sequence[str]) -> dict[int, tuple[int, int]]:
    """Return ``{index of piece: (char_start, char_end)}`` of the pieces found in sequence.

    A piece is found directly after the last one, or where several pieces in a row match again.
    """
    found: dict[int, tuple[int, int]] = {}
    cursor = 0
    for i, piece in enumerate(pieces):
        bare = piece.strip()
        if end := _match_at_cursor(text, cursor, bare):
            cursor = end
            found[i] = (end - len(bare), end)
            continue
        reach = cursor + MAX_ANCHOR_CHARACTERS
        at = text.find(bare, cursor, reach + len(bare)) if bare else -1
        if at < 0:
            continue
        if not _match_ahead(text, cursor, at, at + len(bare), pieces[i + 1 : i + 2]):
            at = _anchor(text, cursor, reach, pieces[i : i + ANCHOR_WORDS])
        if at >= 0:
            cursor = at + len(bare)
            found[i] = (at, cursor)
    return found


def _match_at_cursor(text: str, cursor: int, bare: str) -> int | None:
    """Return the end of a piece at the cursor, or None.

    The piece may follow at most one space and must not be followed by a letter or digit. This is
    the fast path for nearly all pieces.
    """
    start = cursor + text.startswith(" ", cursor)
    end = start + len(bare)
    if bare and text.startswith(bare, start) and not text[end : end + 1].isalnum():
        return end
    return None


def _match_ahead(text: str, cursor: int, at: int, end: int, following: Sequence[str]) -> bool:
    """Return whether a match further on is safe to accept.

    Only white space and punctuation may be skipped, and no word may be split. Scripts without
    spaces have no visible word boundary, so there the next piece must follow directly.
    """
    if any(map(str.isalnum, text[cursor:at])):
        return False
    inside_word = text[end - 1].isalnum() and text[end : end + 1].isalnum()
    return not inside_word or any(text.startswith(piece, end) for piece in following if piece)


def _anchor(text: str, cursor: int, reach: int, pieces: Sequence[str]) -> int:
    """Return where in ``[cursor, reach)`` the pieces occur in a row, or -1.

    Only white space and punctuation may be between them. Fewer than two are no proof.
    """
    bare = [re.escape(piece.strip()) for piece in pieces if piece.strip()]
    if len(bare) < 2:
        return -1
    row = re.compile(r"(?<!\w)" + r"[\W_]*".join(bare) + r"(?!\w)")
    found = row.search(text, cursor, reach)
    return found.start() if found else -1
