"""Mapping from character positions to seconds and speakers.

An hour of speech is 9,000 words, so they are stored in columns and not as objects: creating a
``TimedSpan`` for each takes twice as long as chunking the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from playhead.core.errors import InvalidEngineOutput
from playhead.core.records import TimedSpan
from playhead.core.sentences import Range

Integers = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]

_PACKED = {"char_starts": "<i4", "char_ends": "<i4", "start_seconds": "<f8", "end_seconds": "<f8"}
_PACKED |= {"speaker_indices": "<i4"}
_BYTES = sum(np.dtype(kind).itemsize for kind in _PACKED.values())


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Columns of timed spans of a text.

    Characters ``[char_starts[i], char_ends[i])`` are spoken from ``start_seconds[i]`` to
    ``end_seconds[i]`` by ``names[voices[i]]``. Neither column of characters may decrease
    (``check_order``). ``names[0]`` is None: no known speaker.
    """

    char_starts: Integers
    char_ends: Integers
    start_seconds: Floats
    end_seconds: Floats
    speaker_indices: Integers
    names: tuple[str | None, ...]

    @classmethod
    def of(cls, spans: Sequence[TimedSpan]) -> Timeline:
        names: dict[str | None, int] = {None: 0}
        return cls(
            np.array([span.char_start for span in spans], np.int32),
            np.array([span.char_end for span in spans], np.int32),
            np.array([span.start_seconds for span in spans], np.float64),
            np.array([span.end_seconds for span in spans], np.float64),
            np.array([names.setdefault(span.speaker, len(names)) for span in spans], np.int32),
            tuple(names),
        )

    def pack(self) -> bytes:
        """Return the columns one after the other, ``_BYTES`` per row, without ``names``."""
        columns = (getattr(self, name).astype(kind) for name, kind in _PACKED.items())
        return b"".join(column.tobytes() for column in columns)

    @classmethod
    def unpack(cls, packed: bytes, names: tuple[str | None, ...]) -> Timeline:
        rows, offset = len(packed) // _BYTES, 0
        columns: dict[str, NDArray[Any]] = {}
        for name, kind in _PACKED.items():
            columns[name] = np.frombuffer(packed, kind, rows, offset)
            offset += columns[name].nbytes
        return cls(**columns, names=names)

    def __len__(self) -> int:
        return len(self.char_starts)

    def check_order(self) -> None:
        """Raise ``InvalidEngineOutput`` if either column of characters decreases."""
        decreasing = (np.diff(self.char_starts) < 0) | (np.diff(self.char_ends) < 0)
        if decreasing.any():
            at = int(np.argmax(decreasing))
            before, after = (f"{self.char_starts[i]} to {self.char_ends[i]}" for i in (at, at + 1))
            raise InvalidEngineOutput(
                f"timed spans are out of order: characters {before} come before {after}",
                remedy="Sort the spans by position; they must not contain one another.",
            )

    def within(self, ranges: Sequence[Range]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return for each range the first row that overlaps it and the one after the last.

        Both are equal if no row overlaps the range.
        """
        starts, ends = np.array(ranges, np.int32).reshape(-1, 2).T
        first = np.searchsorted(self.char_ends, starts, "right")
        return first, np.maximum(first, np.searchsorted(self.char_starts, ends, "left"))

    def seconds(self, ranges: Sequence[Range]) -> list[tuple[float, float] | tuple[None, None]]:
        """Return the start and end in seconds of each range of characters.

        ``(None, None)`` if no row overlaps the range.
        """
        rows = np.column_stack(self.within(ranges))
        timed = rows[:, 0] < rows[:, 1]
        edges = rows[timed].ravel()  # reduceat reduces from each edge to the next; use every second
        starts = np.minimum.reduceat(np.append(self.start_seconds, np.inf), edges)[::2]
        ends = np.maximum.reduceat(np.append(self.end_seconds, -np.inf), edges)[::2]
        found = zip(starts.tolist(), ends.tolist(), strict=True)
        return [next(found) if has_time else (None, None) for has_time in timed.tolist()]

    def speakers(self, ranges: Sequence[Range]) -> list[str | None]:
        """Return the speaker with the longest speech, in seconds, in each range.

        The first of equals wins. None if that is speech without a speaker, or if there is no
        speech. A row that overlaps the range partly counts by its share of characters.
        """
        if len(self.names) == 1:
            return [None] * len(ranges)
        rows = zip(*self.within(ranges), ranges, strict=True)
        return [self._speaker(slice(first, last), *at) for first, last, at in rows]

    def _speaker(self, rows: slice, start: int, end: int) -> str | None:
        starts, ends, indices = (
            self.char_starts[rows],
            self.char_ends[rows],
            self.speaker_indices[rows],
        )
        if not len(indices):
            return None
        shared = np.minimum(ends, end) - np.maximum(starts, start)
        seconds = self.end_seconds[rows] - self.start_seconds[rows]
        seconds_by_speaker = np.bincount(indices, shared / np.maximum(1, ends - starts) * seconds)
        return self.names[int(indices[np.argmax(seconds_by_speaker[indices])])]
