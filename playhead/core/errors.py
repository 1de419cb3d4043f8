"""The error tree. Each class says whether another try can help; each error names a remedy.

    PlayheadError
    ├── PermanentError          the same input will fail the same way
    │   ├── EmptyFile
    │   ├── UnreadableMedia     not media at all, or damaged beyond decoding
    │   ├── TruncatedMedia
    │   ├── NoAudioTrack
    │   ├── DecodingTooCostly   a bomb: decoding it went over a limit
    │   ├── LanguageUnsupported the engine does not know the recording's language
    │   ├── RequestRefused      a provider will never take this input
    │   │   └── InputTooLong    longer than the model can take
    │   ├── InvalidResult       an engine's reply broke its own contract
    │   └── BadCorrection       an edited transcript does not fit its recording
    ├── TransientError          worth another try in a while
    │   ├── DatabaseUnavailable
    │   ├── DecoderUnavailable  the process that decodes recordings does not live
    │   ├── ProviderUnavailable no answer, or none that is one (408, 409, 429, 5xx, timeouts)
    │   ├── ReplyNotBelieved    an answer that cannot be right
    │   └── StorageUnavailable  an object store gave no answer
    ├── Parked                  not a failure: the work waits, for a moment or for a person
    │   ├── RateLimited
    │   ├── BudgetSpent
    │   ├── AnswerAwaited       a batch has the request
    │   └── ProviderStopped     its breaker is open: a bad key, a billing stop
    ├── ConfigurationError      a person must change something first
    │   ├── InvalidSettings
    │   ├── MediaMissing        the stored upload is gone
    │   ├── StorageRefused      an object store: wrong credentials, no such bucket
    │   ├── SpoolFull           no room for a local copy of an object
    │   ├── ModelUnavailable    weights missing, altered or unknown; unknown to a provider
    │   ├── NotAProvider        a server that is not what its address says
    │   └── DatabaseUnsuitable  no pgvector, too old, no rights, not migrated
    ├── NotFound                no such recording
    ├── NotMadeYet              the recording has not come to that stage
    ├── OutsideRecording        seconds that a recording does not have
    ├── NotAuthorised           a token that is unknown, ended, or may not do this
    ├── BadQuestion             a search that cannot be made: no words, a limit out of range
    ├── ClaimLost               a newer attempt owns this work; nothing was written
    │   └── Forgotten           the recording is gone; nothing was written
    └── Stopped                 a person stopped this worker; the work is handed back

Not here: what to do about an error (``pipeline_assets/policies.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

#: Of an edited file's problems, as many as a person reads before mending them.
MAX_PROBLEMS_SHOWN = 50


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


class DecodingTooCostly(PermanentError):
    """Decoding took more time, memory or output than a recording may: hours of silence in
    kilobytes, absurd dimensions, a stream without end."""


class LanguageUnsupported(PermanentError):
    """The engine does not know the recording's language; another one may."""


class RequestRejected(PermanentError):
    """A provider will not take this input, however often it is sent (400, 404, 422)."""


class InputTooLong(RequestRejected):
    """More text or sound than the model can take in one request."""


class InvalidEngineOutput(PermanentError):
    """An engine's reply has the wrong shape, count, size or times."""


class InvalidCorrection(PermanentError):
    """An edited transcript cannot be used. ``problems`` are all that is wrong with it, in order,
    each with its place ("line 14: …"); the message has the first ``PROBLEMS_TOLD``."""

    def __init__(self, problems: Sequence[str], *, remedy: str) -> None:
        told = [*problems[:MAX_PROBLEMS_SHOWN]]
        if more := len(problems) - len(told):
            told.append(f"and {more} more")
        super().__init__("\n".join(told), remedy=remedy)
        self.problems = tuple(problems)


class TransientError(PlayheadError):
    """Another try may succeed."""

    retryable: ClassVar[bool] = True


class DatabaseUnavailable(TransientError):
    """Postgres cannot be reached or started."""


class DecoderUnavailable(TransientError):
    """The process that decodes recordings does not start, or was ended from outside."""


class ProviderUnavailable(TransientError):
    """A provider gave no answer, or one that asks to come again (408, 409, 429, 5xx)."""


class InvalidProviderResponse(TransientError):
    """A provider's answer cannot be right: its shape, count, order, times or numbers. ``reply``
    is what came, as it came, for a person to look at; it never reaches a content column."""

    def __init__(self, message: str, *, reply: bytes, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.reply = reply


class StorageUnavailable(TransientError):
    """An object store cannot be reached, or the object changed under the reader's hands."""


class Parked(PlayheadError):
    """The work is laid aside and goes on by itself ``until`` has come; None: once a person has
    resumed the provider. Not a failure, and not counted as an attempt."""

    def __init__(self, message: str, *, until: datetime | None, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.until = until


class RateLimited(Parked):
    """A provider asks for a longer pause than a worker should wait."""


class BudgetExceeded(Parked):
    """The organisation's money for the day is spent or reserved."""


class BatchPending(Parked):
    """The request goes with a batch, or went; its answer comes within a day."""


class CircuitOpen(Parked):
    """The provider's breaker is open: its key was refused, or it stopped billing."""


class ConfigurationError(PlayheadError):
    """A setting or the machine must change before this can work."""


class InvalidSettings(ConfigurationError):
    """One or more settings are wrong; the message lists all of them."""


class MediaMissing(ConfigurationError):
    """The media store no longer has a recording's file."""


class StorageAccessDenied(ConfigurationError):
    """An object store refuses these credentials, or has no such bucket."""


class DownloadCacheFull(ConfigurationError):
    """The disk has no room for a local copy of an object that is to be decoded or taken in."""


class ModelUnavailable(ConfigurationError):
    """A model's files are missing, altered, or its name is unknown, here or to its provider."""


class NotAnOpenAIEndpoint(ConfigurationError):
    """A server does not speak what its address promises: another program, a login page."""


class DatabaseUnsuitable(ConfigurationError):
    """The server answers but cannot hold Playhead."""


class NotFound(PlayheadError):
    """No such recording in this organisation."""


class StageNotReady(PlayheadError):
    """The recording is there, what is asked for of it is not made yet."""


class TimeOutOfRange(PlayheadError):
    """A stretch that begins or ends where the recording has no sound."""


class NotAuthorised(PlayheadError):
    """A token is unknown, revoked, over, or does not reach as far as what was asked."""


class InvalidQuery(PlayheadError):
    """A question without words, or a filter that contradicts itself."""


class ClaimLost(PlayheadError):
    """Another worker took this work over; this attempt must stop and write nothing."""


class RecordingDeleted(ClaimLost):
    """Somebody had the recording forgotten while this worker was at it."""

    def __init__(self) -> None:
        # Without its id: what is told of a forgotten recording would be a trace of it.
        super().__init__(
            "A recording was forgotten while a worker was at it.",
            remedy="Nothing to do: nothing more is made of it.",
        )


class WorkerStopping(PlayheadError):
    """This worker was told to stop; what it had begun is left to the next one."""
