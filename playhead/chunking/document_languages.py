"""Languages of a document's parts, derived from the speech that they were written from."""

from __future__ import annotations

from bisect import bisect_right

from playhead.core.records import Document
from playhead.core.sentences import LanguageRuns, merge_runs
from playhead.transcripts.word_positions import TimedText


def document_languages(document: Document, transcript: TimedText) -> LanguageRuns:
    """Return the language runs of a document.

    Each timed part has the language that was spoken at its time.
    """
    runs = [(0, transcript.language)]
    if transcript.languages:
        times = transcript.timeline.seconds([(at, at + 1) for at in transcript.breaks])
        starts = [start or 0.0 for start, _ in times]
        for span in document.spans:
            segment = max(0, bisect_right(starts, span.start_seconds) - 1)
            runs.append((span.char_start, transcript.languages[segment]))
    return merge_runs(runs)
