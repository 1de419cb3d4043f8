"""A bucket of an object store (S3, Google Cloud Storage, Azure Blob), below one prefix: bytes sent
and fetched part by part, what is there, what goes.

A part that fails is sent or fetched again, and no part before it; memory holds one part. An object
is there whole or not at all. Errors of the library end here: what leaves is ``StorageUnavailable``,
``StorageRefused``, or None for what is not there. Credentials are looked for by the library, as
each cloud's own tools do: in the process's environment, in Google's file, from the machine's role.

Not here: what the objects are (``playhead/media/bucket_store.py``, ``playhead/inbox/bucket.py``).
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

#: What is sent or fetched in one request, and the most that a broken connection costs. S3 takes
#: 10,000 parts of 5 MiB or more (its quotas), so an object may have 156 GiB.
PART_BYTES: Final = 16 << 20

_PART_TIME: Final = timedelta(minutes=5)  # a part in at least 0.5 Mbit/s
_STALL: Final = timedelta(seconds=30)  # without a byte
_RETRY_BUDGET: Final = timedelta(minutes=3)  # a part's; what is signed is good for five
_TRIES: Final = 30  # a part's; with pauses of up to 15 s its patience ends first
_LINK_TIME: Final = timedelta(days=1)

_STATUS: Final = re.compile(r"status code: (\d{3})")
_NO_BUCKET: Final = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist")
_REFUSED: Final = frozenset({"301", "401", "403"})


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it was when it was looked at. ``etag`` is another one once its bytes are."""

    key: str
    size: int
    etag: str
    modified: datetime


class Sink(Protocol):
    """A file that is written from its beginning."""

    def tell(self) -> int: ...

    def write(self, data: memoryview, /) -> int: ...


class Bucket:
    """``url``: ``s3://bucket/prefix``, ``gs://…`` or ``az://account/container/prefix``.
    ``endpoint``: of a server that speaks S3 and is not Amazon's, addressed by path. A request that
    fails is tried again for ``patience``."""

    def __init__(
        self, url: str, *, endpoint: str | None = None, patience: timedelta = _RETRY_BUDGET
    ) -> None:
        self.url = url.rstrip("/")
        self._store = _open(self.url, endpoint, patience)

    def upload(self, key: str, blocks: Iterable[bytes], size: int) -> None:
        """Store ``blocks``, each of ``PART_BYTES`` but the last, ``size`` in all. When it returns
        they are durable. What ``blocks`` raises is raised, and nothing is stored."""
        with self._translate_errors():
            obstore.put(
                self._store,
                key,
                iter(blocks),
                use_multipart=size > PART_BYTES,
                chunk_size=PART_BYTES,
                max_concurrency=1,  # in order, so that no more than one is ever sent twice
            )

    def download(self, found: StoredObject, to: Sink) -> None:
        """Append to ``to`` what it does not have yet. Raises ``StorageUnavailable`` where the
        object is not the one that was found any more."""
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
            remedy="Nothing to do: it is read again.",
        )

    def find(self, key: str) -> StoredObject | None:
        with self._translate_errors(), suppress(FileNotFoundError):
            return _stored_object(obstore.head(self._store, key))
        return None

    def list_all(self, folder: str = "") -> Iterator[StoredObject]:
        """All objects, or those below a folder."""
        with self._translate_errors():
            for page in obstore.list(self._store, folder or None):
                yield from map(_stored_object, page)

    def list_top(self) -> list[StoredObject]:
        """The objects that are in no folder."""
        with self._translate_errors():
            return [
                _stored_object(one) for one in obstore.list_with_delimiter(self._store)["objects"]
            ]

    def delete(self, key: str) -> None:
        """Whether or not it is there."""
        with self._translate_errors(), suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    def link(self, key: str) -> str:
        """An address that opens the object in a browser for a day; where these credentials cannot
        sign one, the object's name."""
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


def _open(url: str, endpoint: str | None, patience: timedelta) -> ObjectStore:
    client: ClientConfig = {"timeout": _PART_TIME, "read_timeout": _STALL}
    retries: RetryConfig = {"max_retries": _TRIES, "retry_timeout": patience}
    if not endpoint or not url.startswith("s3:"):
        return from_url(url, client_options=client, retry_config=retries)
    client["allow_http"] = endpoint.startswith("http:")
    own: S3Config = {"endpoint": endpoint, "virtual_hosted_style_request": False}
    return from_url(url, config=own, client_options=client, retry_config=retries)


def _stored_object(meta: obstore.ObjectMeta) -> StoredObject:
    return StoredObject(meta["path"], meta["size"], _etag(meta), meta["last_modified"])


def _etag(meta: obstore.ObjectMeta) -> str:
    return (meta["e_tag"] or "").strip('"')


def _translate_error(url: str, told: str) -> PlayheadError:
    """The library tells a refused list, and a missing bucket, only in words."""
    reason = told.partition("\n")[0]
    status = _STATUS.search(told)
    if _NO_BUCKET.search(told):
        return StorageAccessDenied(
            f"There is no bucket at {url}.",
            remedy="Make it, or correct PLAYHEAD_MEDIA or PLAYHEAD_INBOX.",
        )
    if "privileges" in reason or (status and status[1] in _REFUSED):
        return StorageAccessDenied(
            f"{url} refused: {reason}",
            remedy="Its credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_KEY, or a role) must be right "
            "and allow to list, read, write and delete there; AWS_REGION must be the bucket's.",
        )
    return StorageUnavailable(
        f"{url} gave no answer: {reason}",
        remedy="Nothing to do if it is back soon; else look at the network and the store.",
    )
