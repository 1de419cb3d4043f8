"""The error tree: each class states whether a retry can help, and each error has a remedy.

    PlayheadError
    ├── PermanentError              the same input will fail the same way
    │   ├── EmptyFile
    │   ├── UnreadableMedia         not media at all, or damaged beyond decoding
    │   ├── TruncatedMedia
    │   ├── NoAudioTrack
    │   ├── DecodingTooCostly       decoding exceeded a limit (a decompression bomb)
    │   ├── LanguageUnsupported     the engine does not know the recording's language
    │   ├── RequestRejected         a provider will never accept this input
    │   │   └── InputTooLong        longer than the model accepts
    │   ├── InvalidEngineOutput     an engine's output broke its own contract
    │   └── InvalidCorrection       an edited transcript does not fit its recording
    ├── TransientError              worth a retry later
    │   ├── DatabaseUnavailable
    │   ├── DecoderUnavailable      the process that decodes recordings is not running
    │   ├── ProviderUnavailable     no usable response (408, 409, 429, 5xx, timeouts)
    │   ├── InvalidProviderResponse a response that failed validation
    │   └── StorageUnavailable      an object store did not respond
    ├── Parked                      not a failure: the work waits for a time or for a person
    │   ├── RateLimited
    │   ├── BudgetExceeded
    │   ├── BatchPending            the request is in a batch
    │   └── CircuitOpen             the provider's breaker is open: a bad key, a billing stop
    ├── ConfigurationError          a person must change something first
    │   ├── InvalidSettings
    │   ├── MediaMissing            the stored upload is gone
    │   ├── StorageAccessDenied     an object store: wrong credentials, no such bucket
    │   ├── DownloadCacheFull       no room for a local copy of an object
    │   ├── ModelUnavailable        weights missing, altered or unknown; unknown to a provider
    │   ├── NotAnOpenAIEndpoint     the base_url is not an OpenAI-compatible API
    │   └── DatabaseUnsuitable      no pgvector, too old, no rights, not migrated
    ├── NotFound                    no such recording
    ├── StageNotReady               the recording has not reached that stage
    ├── TimeOutOfRange              seconds outside the recording
    ├── NotAuthorised               a token that is unknown, expired or lacks the scope
    ├── InvalidQuery                a search without words, or with a limit out of range
    ├── ClaimLost                   a newer attempt owns this work; nothing was written
    │   └── RecordingDeleted        the recording is gone; nothing was written
    └── WorkerStopping              this worker was asked to stop; the work is handed back

``pipeline_assets/policies.py`` defines the reaction to each error.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

#: Maximum number of an edited file's problems in the message: more are not read before correcting
#: these.
MAX_PROBLEMS_SHOWN = 50


class PlayheadError(Exception):
    """Base class of all errors of Playhead.

    ``str()`` gives the message alone; ``remedy`` states what a person can do.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class PermanentError(PlayheadError):
    """Base class of errors that the same input and recipe would raise again."""


class EmptyFile(PermanentError):
    """A file of zero bytes, or a container without a single decodable sample."""


class UnreadableMedia(PermanentError):
    """A file that is not media, or too damaged to decode anything."""


class TruncatedMedia(PermanentError):
    """A file that ends well before its own header says it should."""


class NoAudioTrack(PermanentError):
    """Media without an audio track: a video or image without sound."""


class DecodingTooCostly(PermanentError):
    """A recording whose decoding exceeded the limit of time, memory or output.

    Examples: hours of silence in kilobytes, absurd dimensions, an endless stream.
    """


class LanguageUnsupported(PermanentError):
    """A language that the engine does not know; another engine may know it."""


class RequestRejected(PermanentError):
    """An input that a provider rejects on every attempt (400, 404, 422)."""


class InputTooLong(RequestRejected):
    """More text or audio than the model accepts in one request."""


class InvalidEngineOutput(PermanentError):
    """Engine output with the wrong shape, count, size or times."""


class InvalidCorrection(PermanentError):
    """An edited transcript that cannot be used.

    ``problems`` are all its problems, in order, each with its place ("line 14: …"). The message has
    the first ``MAX_PROBLEMS_SHOWN``.
    """

    def __init__(self, problems: Sequence[str], *, remedy: str) -> None:
        shown = [*problems[:MAX_PROBLEMS_SHOWN]]
        if more := len(problems) - len(shown):
            shown.append(f"and {more} more")
        super().__init__("\n".join(shown), remedy=remedy)
        self.problems = tuple(problems)


class TransientError(PlayheadError):
    """Base class of errors after which a retry may succeed."""

    retryable: ClassVar[bool] = True


class DatabaseUnavailable(TransientError):
    """Postgres cannot be reached or started."""


class DecoderUnavailable(TransientError):
    """The decoding process does not start, or was terminated from outside."""


class ProviderUnavailable(TransientError):
    """A provider that did not respond, or asked for a retry (408, 409, 429, 5xx)."""


class InvalidProviderResponse(TransientError):
    """A provider response that failed validation: its shape, count, order, times or numbers.

    ``reply`` is the response as received, for a person to inspect; it never reaches a content
    column.
    """

    def __init__(self, message: str, *, reply: bytes, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.reply = reply


class StorageUnavailable(TransientError):
    """An object store that cannot be reached, or an object that changed while it was read."""


class Parked(PlayheadError):
    """Base class of reasons to pause work, which are not failures and not counted as attempts.

    The work continues by itself at ``until``. ``until`` is None if it continues only after a person
    has resumed the provider.
    """

    def __init__(self, message: str, *, until: datetime | None, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.until = until


class RateLimited(Parked):
    """A provider that asks for a longer pause than a worker should wait."""


class BudgetExceeded(Parked):
    """An organisation whose budget for the day is spent or reserved."""


class BatchPending(Parked):
    """A request in a batch that is not sent or not answered yet; answers take up to a day."""


class CircuitOpen(Parked):
    """A provider whose circuit breaker is open: its key was refused, or it stopped billing."""


class ConfigurationError(PlayheadError):
    """Base class of errors that require a change of a setting or of the machine."""


class InvalidSettings(ConfigurationError):
    """One or more invalid settings; the message lists all of them."""


class MediaMissing(ConfigurationError):
    """A recording whose file is no longer in the media store."""


class StorageAccessDenied(ConfigurationError):
    """An object store that refuses the credentials, or has no such bucket."""


class DownloadCacheFull(ConfigurationError):
    """A disk without room for a local copy of an object to decode or to add."""


class ModelUnavailable(ConfigurationError):
    """A model whose files are missing or altered, or whose name is unknown.

    The name may be unknown to Playhead or to its provider.
    """


class NotAnOpenAIEndpoint(ConfigurationError):
    """A base_url that is not an OpenAI-compatible API (for example a login page of a proxy)."""


class DatabaseUnsuitable(ConfigurationError):
    """A database server that responds but cannot store Playhead's data."""


class NotFound(PlayheadError):
    """A recording that this organisation does not have."""


class AmbiguousName(ConfigurationError):
    """A prefix matches several recordings; the remedy lists them."""

    def __init__(self, name: str, candidates: Sequence[str]) -> None:
        super().__init__(
            f"Several recordings begin with {name!r}.",
            remedy="\n".join(["Use a longer prefix. Candidates:", *candidates]),
        )


class StageNotReady(PlayheadError):
    """A result that does not exist yet, of a recording that does."""


class TimeOutOfRange(PlayheadError):
    """A time range that starts or ends outside the recording."""


class NotAuthorised(PlayheadError):
    """A token that is unknown, revoked or expired, or lacks the scope for the request."""


class InvalidQuery(PlayheadError):
    """A search without words, or with a filter that contradicts itself."""


class ClaimLost(PlayheadError):
    """Work that another worker has taken over; this attempt must stop and write nothing."""


class RecordingDeleted(ClaimLost):
    """A recording that was deleted while this worker processed it."""

    def __init__(self) -> None:
        # Without its id, which would be a trace of the deleted recording.
        super().__init__(
            "A recording was deleted while it was processed.",
            remedy="Nothing to do: its processing has stopped.",
        )


class WorkerStopping(PlayheadError):
    """A worker that was asked to stop; the next worker continues its unfinished work."""
