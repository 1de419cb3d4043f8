"""Create the media store and the inbox that the settings name."""

from __future__ import annotations

from pathlib import Path

from playhead.core.settings import Settings
from playhead.inbox.bucket import InboxBucket
from playhead.inbox.local import InboxFolder
from playhead.inbox.protocol import Inbox
from playhead.media.bucket_store import BucketStore
from playhead.media.download_cache import DownloadCache
from playhead.media.local_store import LocalStore
from playhead.media.object_storage import Bucket
from playhead.media.store import MediaStore


def create_media_store(settings: Settings) -> MediaStore:
    place = settings.media_location
    if isinstance(place, Path):
        return LocalStore(place)
    return BucketStore(_bucket(settings, place), _spool(settings))


def create_inbox(settings: Settings) -> Inbox:
    place = settings.inbox_location
    if isinstance(place, Path):
        return InboxFolder(place)
    return InboxBucket(_bucket(settings, place), _spool(settings))


def _bucket(settings: Settings, url: str) -> Bucket:
    return Bucket(url, endpoint=settings.s3_endpoint)


def _spool(settings: Settings) -> DownloadCache:
    return DownloadCache(settings.home / "spool")
