"""The error tree. Each class says whether another try can help; each error names a remedy.

    PlayheadError
    ├── PermanentError          the same input will fail the same way
    │   ├── EmptyFile
    │   ├── UnreadableMedia     not media at all, or damaged beyond decoding
    │   ├── TruncatedMedia
    │   ├── NoAudioTrack
    │   ├── InvalidResult       an engine's reply broke its own contract
    │   └── BadCorrection       an edited transcript does not fit its recording
    ├── TransientError          worth another try in a while
    │   └── DatabaseUnavailable
    ├── ConfigurationError      a person must change something first
    │   ├── InvalidSettings
    │   ├── MediaMissing        the stored upload is gone
    │   ├── ModelUnavailable    weights missing, altered or unknown
    │   └── DatabaseUnsuitable  no pgvector, too old, no rights, not migrated
    ├── NotFound                no such recording
    ├── ClaimLost               a newer attempt owns this work; nothing was written
    │   └── Forgotten           the recording is gone; nothing was written
    └── Stopped                 a person stopped this worker; the work is handed back

Not here: what to do about an error (``pipeline_assets/policies.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

#: Of an edited file's problems, as many as a person reads before mending them.
PROBLEMS_TOLD = 50


class PlayheadError(Exception):
    """Base of all. ``str()`` is the message alone; ``remedy`` is what a person can do."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class PermanentError(PlayheadError):
    """The same input and recipe would fail again."""


class EmptyFile(PermanentError):
    """Zero bytes, or a container without one decodable sample."""


class UnreadableMedia(PermanentError):
    """Not media, or damaged so that nothing can be decoded."""


class TruncatedMedia(PermanentError):
    """The file ends well before its own header says it should."""


class NoAudioTrack(PermanentError):
    """Media, but silent by construction: a video or image without sound."""


class InvalidResult(PermanentError):
    """An engine's reply has the wrong shape, count, size or times."""


class BadCorrection(PermanentError):
    """An edited transcript cannot be used. ``problems`` are all that is wrong with it, in order,
    each with its place ("line 14: …"); the message has the first ``PROBLEMS_TOLD``."""

    def __init__(self, problems: Sequence[str], *, remedy: str) -> None:
        told = [*problems[:PROBLEMS_TOLD]]
        if more := len(problems) - len(told):
            told.append(f"and {more} more")
        super().__init__("\n".join(told), remedy=remedy)
        self.problems = tuple(problems)


class TransientError(PlayheadError):
    """Another try may succeed."""

    retryable: ClassVar[bool] = True


class DatabaseUnavailable(TransientError):
    """Postgres cannot be reached or started."""


class ConfigurationError(PlayheadError):
    """A setting or the machine must change before this can work."""


class InvalidSettings(ConfigurationError):
    """One or more settings are wrong; the message lists all of them."""


class MediaMissing(ConfigurationError):
    """The media store no longer has a recording's file."""


class ModelUnavailable(ConfigurationError):
    """A model's files are missing, altered, or its name is unknown."""


class DatabaseUnsuitable(ConfigurationError):
    """The server answers but cannot hold Playhead."""


class NotFound(PlayheadError):
    """No such recording in this organisation."""


class ClaimLost(PlayheadError):
    """Another worker took this work over; this attempt must stop and write nothing."""


class Forgotten(ClaimLost):
    """Somebody had the recording forgotten while this worker was at it."""

    def __init__(self) -> None:
        # Without its id: what is told of a forgotten recording would be a trace of it.
        super().__init__(
            "A recording was forgotten while a worker was at it.",
            remedy="Nothing to do: nothing more is made of it.",
        )


class Stopped(PlayheadError):
    """This worker was told to stop; what it had begun is left to the next one."""
