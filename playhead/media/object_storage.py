"""Client for a bucket of an object store (S3, Google Cloud Storage, Azure Blob) and a prefix.

A part that fails is sent or fetched again, without the parts before it; memory holds one part. An
object is stored completely or not at all. Errors of the library are converted here: callers get
``StorageUnavailable``, ``StorageAccessDenied``, or None for an object that does not exist. The
library finds credentials as each cloud's own tools do: in the process's environment, in Google's
file, or from the machine's role.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from playhead.core.errors import PlayheadError, StorageAccessDenied, StorageUnavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

#: Bytes per request, and the maximum that a broken connection costs. S3 accepts 10,000 parts of 5
#: MiB or more (its quotas), so an object may have 156 GiB.
PART_BYTES: Final = 16 << 20

_PART_TIME: Final = timedelta(minutes=5)  # per part: at least 0.5 Mbit/s
_STALL: Final = timedelta(seconds=30)  # without receiving a byte
_RETRY_BUDGET: Final = timedelta(minutes=3)  # per part; a signed request is valid for five minutes
_TRIES: Final = 30  # per part; with pauses of up to 15 s the retry budget ends first
_LINK_TIME: Final = timedelta(days=1)

_STATUS: Final = re.compile(r"status code: (\d{3})")
_NO_BUCKET: Final = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist")
_REFUSED: Final = frozenset({"301", "401", "403"})


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as listed; ``etag`` changes when its bytes change."""

    key: str
    size: int
    etag: str
    modified: datetime


class Sink(Protocol):
    """A file that is written from its beginning."""

    def tell(self) -> int: ...

    def write(self, data: memoryview, /) -> int: ...


class Bucket:
    """A bucket and prefix of an object store.

    ``url`` is ``s3://bucket/prefix``, ``gs://…`` or ``az://account/container/prefix``. ``endpoint``
    is the address of an S3-compatible server other than Amazon's, addressed by path. A failed
    request is retried for ``retry_budget``.
    """

    def __init__(
        self, url: str, *, endpoint: str | None = None, retry_budget: timedelta = _RETRY_BUDGET
    ) -> None:
        self.url = url.rstrip("/")
        self._store = _open(self.url, endpoint, retry_budget)

    def upload(self, key: str, blocks: Iterable[bytes], size: int) -> None:
        """Store ``blocks``, each of ``PART_BYTES`` except the last, ``size`` bytes in total.

        They are durable when it returns. Errors raised by ``blocks`` are propagated, and nothing is
        stored.
        """
        with self._translate_errors():
            obstore.put(
                self._store,
                key,
                iter(blocks),
                use_multipart=size > PART_BYTES,
                chunk_size=PART_BYTES,
                max_concurrency=1,  # in order, so that at most one part is sent twice
            )

    def download(self, found: StoredObject, to: Sink) -> None:
        """Append the missing bytes of the object to ``to``.

        Raises ``StorageUnavailable`` if the object has changed since it was found.
        """
        while (start := to.tell()) < found.size:
            to.write(self._part(found, start))

    def _part(self, found: StoredObject, start: int) -> memoryview:
        end = min(start + PART_BYTES, found.size)
        with self._translate_errors():
            answer = obstore.get(self._store, found.key, options={"range": (start, end)})
            if _etag(answer.meta) == found.etag:
                return memoryview(answer.bytes())
        raise StorageUnavailable(
            f"{self.url}/{found.key} changed while it was read.",
            remedy="Nothing to do: it is read again automatically.",
        )

    def find(self, key: str) -> StoredObject | None:
        with self._translate_errors(), suppress(FileNotFoundError):
            return _stored_object(obstore.head(self._store, key))
        return None

    def list_all(self, folder: str = "") -> Iterator[StoredObject]:
        """Yield all objects, or those below a folder."""
        with self._translate_errors():
            for page in obstore.list(self._store, folder or None):
                yield from map(_stored_object, page)

    def list_top(self) -> list[StoredObject]:
        """Return the objects that are in no folder."""
        with self._translate_errors():
            return [
                _stored_object(meta) for meta in obstore.list_with_delimiter(self._store)["objects"]
            ]

    def delete(self, key: str) -> None:
        """Delete an object if it exists."""
        with self._translate_errors(), suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    def link(self, key: str) -> str:
        """Return a URL that opens the object in a browser for one day.

        If the credentials cannot sign a URL, it is the object's name.
        """
        with suppress(BaseError, ValueError):
            signer = cast("obstore.SignCapableStore", self._store)
            return obstore.sign(signer, "GET", key, _LINK_TIME)
        return f"{self.url}/{key}"

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            raise _translate_error(self.url, str(error)) from error


def _open(url: str, endpoint: str | None, retry_budget: timedelta) -> ObjectStore:
    client: ClientConfig = {"timeout": _PART_TIME, "read_timeout": _STALL}
    retries: RetryConfig = {"max_retries": _TRIES, "retry_timeout": retry_budget}
    if not endpoint or not url.startswith("s3:"):
        return from_url(url, client_options=client, retry_config=retries)
    client["allow_http"] = endpoint.startswith("http:")
    config: S3Config = {"endpoint": endpoint, "virtual_hosted_style_request": False}
    return from_url(url, config=config, client_options=client, retry_config=retries)


def _stored_object(meta: obstore.ObjectMeta) -> StoredObject:
    return StoredObject(meta["path"], meta["size"], _etag(meta), meta["last_modified"])


def _etag(meta: obstore.ObjectMeta) -> str:
    return (meta["e_tag"] or "").strip('"')


def _translate_error(url: str, message: str) -> PlayheadError:
    """Convert an error message of the library to an error of ours.

    The library reports a refused listing, and a missing bucket, only in its message.
    """
    reason = message.partition("\n")[0]
    status = _STATUS.search(message)
    if _NO_BUCKET.search(message):
        return StorageAccessDenied(
            f"There is no bucket at {url}.",
            remedy="Create it, or correct PLAYHEAD_MEDIA or PLAYHEAD_INBOX.",
        )
    if "privileges" in reason or (status and status[1] in _REFUSED):
        return StorageAccessDenied(
            f"{url} denied access: {reason}",
            remedy="Check its credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_KEY, or a role). They must "
            "allow to list, read, write and delete there, and AWS_REGION must be the region of the "
            "bucket.",
        )
    return StorageUnavailable(
        f"{url} did not respond: {reason}",
        remedy="It is tried again. If it stays so, check the network and the object store.",
    )
