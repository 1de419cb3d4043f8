"""Add a time to every word, whatever times an engine gives.

    words with times         stay as they are
    no words, an aligner     a local model recognizes the same sound, and the engine's words are
                             aligned with its words; words without a counterpart share the time
                             between their neighbours
    neither                  words share the time with speech, within the engine's segments if
                             there are any, in proportion to their characters

The result states the method and how far off a word may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from playhead.core.audio import Samples
from playhead.core.errors import LanguageUnsupported
from playhead.core.protocols.transcriber import UNKNOWN_LANGUAGE, Recognition, SpeechRecognizer
from playhead.core.records import Segment, Timing, Transcript, Word
from playhead.core.sentences import split_sentences
from playhead.engines.transcription.timed_segments import build_transcript, timed_segments
from playhead.media.decode import RATE
from playhead.transcripts.alignment import count_letters, edit_tokens
from playhead.transcripts.correction import correct_all

#: Maximum error of a word that the aligner recognized, too: in clips joined at known seconds no
#: word was further off, and 19 of 20 were within 0.4 s (``python -m benchmarks.word_times``).
ALIGNMENT_ERROR_SECONDS: Final = 1.5

TimeRange = tuple[float, float]  # seconds [start, end)


@dataclass(frozen=True, slots=True)
class _Times:
    """Words with times, the method of timing, and the maximum error in seconds."""

    words: Sequence[Word]
    timing: Timing
    error_seconds: float | None


def add_word_times(
    recognition: Recognition,
    sound: Samples,
    speech: Sequence[TimeRange],
    aligner: SpeechRecognizer | None,
) -> Transcript:
    """Return a transcript with a time for every word.

    ``speech`` are the time ranges of ``sound`` with speech, in seconds.
    """
    seconds = len(sound) / RATE
    language = recognition.language or UNKNOWN_LANGUAGE
    segments = recognition.segments or _single_segment(recognition.text, seconds)
    times = _use_native(recognition, segments, seconds)
    if times is None and aligner is not None:
        times = _align_segments(segments, sound, recognition.language, aligner)
    times = times or _interpolate(segments, speech, seconds)
    lines = timed_segments(
        recognition.segments or _sentences(recognition.text, language), times.words
    )
    transcript = build_transcript(lines, language, seconds)
    return replace(transcript, timing=times.timing, error_seconds=times.error_seconds)


def _single_segment(text: str, seconds: float) -> tuple[Segment, ...]:
    return (Segment(text, 0.0, seconds),) if text.strip() else ()


def _sentences(text: str, language: str) -> list[Segment]:
    """Return the sentences as segments whose times are still 0; the words give them later."""
    texts = (text[start:end].strip() for start, end in split_sentences(text, language))
    return [Segment(sentence, 0.0, 0.0) for sentence in texts if sentence]


def _use_native(
    recognition: Recognition, segments: Sequence[Segment], seconds: float
) -> _Times | None:
    """Return the engine's own times; words that it did not time lie between their neighbours.

    Returns None if there are segments but no words.
    """
    if not recognition.words:
        return None if segments else _Times((), "native", None)
    text = " ".join(segment.text for segment in segments)
    if count_letters("".join(word.word for word in recognition.words)) == count_letters(text):
        return _Times(recognition.words, "native", None)
    words, error = _align(recognition.words, None, segments, seconds)
    return _Times(words, "native", error)


def _align_segments(
    segments: Sequence[Segment], sound: Samples, language: str | None, aligner: SpeechRecognizer
) -> _Times | None:
    """Return times from an aligner's words for the same sound.

    Returns None if the aligner does not know the language, or recognizes none of the words.
    """
    try:
        recognition = aligner.recognize(sound, language=language)
    except LanguageUnsupported:
        return None
    words, error = _align(recognition.words or (), recognition.text, segments, len(sound) / RATE)
    return _Times(words, "aligned", error) if words else None


def _align(
    known: Sequence[Word], text: str | None, segments: Sequence[Segment], seconds: float
) -> tuple[Sequence[Word], float]:
    """Return the words of ``segments`` with the times of their known words, and the maximum error.

    The error in seconds is the largest distance between known words around an unknown one. No words
    are returned if none was known.
    """
    text = text if text is not None else " ".join(word.word for word in known)
    before = Transcript(text, "", seconds, tuple(known), (Segment(text, 0.0, seconds),))
    words = correct_all(before, segments).words if known else ()
    timed = {(word.start, word.end, count_letters(word.word)) for word in known}
    is_known = [(word.start, word.end, count_letters(word.word)) in timed for word in words]
    if not any(is_known):
        return (), 0.0
    return words, max([ALIGNMENT_ERROR_SECONDS, *_gaps(words, is_known, seconds)])


def _gaps(words: Sequence[Word], is_known: Sequence[bool], seconds: float) -> Iterator[float]:
    """Yield the distance in seconds between the known words around each run of unknown ones."""
    known = [i for i, known in enumerate(is_known) if known]
    for before, after in pairwise([-1, *known, len(words)]):
        if after - before > 1:
            start = words[before].start if before >= 0 else 0.0
            yield (words[after].end if after < len(words) else seconds) - start


def _interpolate(
    segments: Sequence[Segment], speech: Sequence[TimeRange], seconds: float
) -> _Times:
    """Return words spread over the speech in their segment.

    The maximum error is the length of the longest segment, since a word may be anywhere in its
    segment.
    """
    words = [word for segment in segments for word in _spread(segment, speech)]
    max_length = max((segment.end - segment.start for segment in segments), default=seconds)
    return _Times(words, "interpolated", max_length)


def _spread(segment: Segment, speech: Sequence[TimeRange]) -> Iterator[Word]:
    """Yield the words of a segment in sequence, over the time with speech.

    Each word takes a share of that time in proportion to its characters.
    """
    inside = [(max(start, segment.start), min(end, segment.end)) for start, end in speech]
    speech_ranges = [(start, end) for start, end in inside if start < end]
    speech_ranges = speech_ranges or [(segment.start, segment.end)]
    texts = [segment.text[start:end] for start, end in edit_tokens(segment.text)]
    sums = [0, *accumulate(map(len, texts))]
    total = sum(end - start for start, end in speech_ranges)
    for text, (first, last) in zip(texts, pairwise(sums), strict=True):
        yield Word(
            text,
            _position_at(speech_ranges, total * first / sums[-1]),
            _position_at(speech_ranges, total * last / sums[-1]),
        )


def _position_at(speech_ranges: Sequence[TimeRange], seconds: float) -> float:
    """Return the time at which this many seconds have been spoken."""
    for start, end in speech_ranges:
        if seconds <= end - start:
            return start + seconds
        seconds -= end - start
    return speech_ranges[-1][1]
