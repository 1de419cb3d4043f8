"""Data frames with fixed columns and types, even without rows.

Text and ids are ``str``, seconds and money ``float64``, counts ``int64``, timestamps
``datetime64[ns, UTC]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from playhead.answers.service import Answer
from playhead.core.records import Transcript
from playhead.search.service import SearchResult
from playhead.transcripts.word_positions import timed_text

Columns = Mapping[str, str]

_UTC: Final = "datetime64[ns, UTC]"

RECORDINGS: Final[Columns] = {
    "recording": "str",
    "title": "str",
    "kind": "str",
    "status": "str",
    "percent": "int64",
    "detail": "str",
    "language": "str",
    "duration_seconds": "float64",
    "added_at": _UTC,
    "archived": "bool",
}
WORDS: Final[Columns] = {
    "recording": "str",
    "position": "int64",
    "word": "str",
    "start_seconds": "float64",
    "end_seconds": "float64",
    "speaker": "str",
}
CHUNKS: Final[Columns] = {
    "chunk": "str",
    "recording": "str",
    "source": "str",
    "ordinal": "int64",
    "text": "str",
    "start_seconds": "float64",
    "end_seconds": "float64",
    "speaker": "str",
    "token_count": "int64",
}
HITS: Final[Columns] = {
    "recording": "str",
    "title": "str",
    "speaker": "str",
    "start_seconds": "float64",
    "end_seconds": "float64",
    "text": "str",
    "passage": "str",
    "source": "str",
    "score": "float64",
    "link": "str",
    "chunk": "str",
}
CITATIONS: Final[Columns] = {
    "sentence": "int64",
    "text": "str",
    "number": "int64",
    "recording": "str",
    "title": "str",
    "speaker": "str",
    "quote": "str",
    "start_seconds": "float64",
    "end_seconds": "float64",
    "link": "str",
}
#: Columns of spend sums; the first column is the one that they are grouped by.
SUMS: Final[Columns] = {
    "attempts": "int64",
    "failed": "int64",
    "input_tokens": "int64",
    "output_tokens": "int64",
    "audio_seconds": "float64",
    "cost_usd": "float64",
}


def to_frame(rows: Iterable[Mapping[str, Any]], columns: Columns) -> pd.DataFrame:
    """Return a frame with these columns of the rows, in this order."""
    values = [[row[name] for name in columns] for row in rows]
    return pd.DataFrame(values, columns=list(columns)).astype(dict(columns))


def words_frame(recording: str, transcript: Transcript, names: Mapping[str, str]) -> pd.DataFrame:
    """Return a frame with a row per word and its speaker.

    ``names`` are the speakers' names by label; a label without one is used as it is.
    """
    timeline = timed_text(transcript).timeline
    count = len(timeline) if transcript.words else 0
    speakers = np.array(
        [names.get(name, name) if name else None for name in timeline.names], object
    )
    at = zip(timeline.char_starts[:count], timeline.char_ends[:count], strict=True)
    columns = {
        "recording": [recording] * count,
        "position": np.arange(count),
        "word": [transcript.text[start:end] for start, end in at],
        "start_seconds": timeline.start_seconds[:count],
        "end_seconds": timeline.end_seconds[:count],
        "speaker": speakers[timeline.speaker_indices[:count]],
    }
    return pd.DataFrame(columns).astype(dict(WORDS))


def concat_frames(frames: Iterable[pd.DataFrame], columns: Columns) -> pd.DataFrame:
    """Combine frames into one, one below the other."""
    return pd.concat([to_frame([], columns), *frames], ignore_index=True)


def hits_frame(result: SearchResult) -> pd.DataFrame:
    """Return the hits of a search, best first; ``attrs`` has the ``note``."""
    frame = to_frame(({name: getattr(hit, name) for name in HITS} for hit in result.hits), HITS)
    frame.attrs["note"] = result.note
    return frame


def citations_frame(answer: Answer) -> pd.DataFrame:
    """Return a row per citation of each sentence; sentences are counted from 1.

    There is no row if the answer was not found. ``attrs`` has the other fields of the answer.
    """
    citations = {citation.number: citation for citation in answer.citations}
    rows = (
        {name: getattr(citations[number], name, None) for name in CITATIONS}
        | {"sentence": at, "text": sentence.text}
        for at, sentence in enumerate(answer.sentences, 1)
        for number in sentence.cites
    )
    frame = to_frame(rows, CITATIONS)
    fields = ("question", "found", "note", "conversation")
    frame.attrs |= {name: getattr(answer, name) for name in fields}
    return frame
