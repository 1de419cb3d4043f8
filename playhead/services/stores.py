"""The media store and the inbox that settings name. Not here: what they do (``playhead/media``,
``playhead/inbox/protocol.py``)."""

from __future__ import annotations

from pathlib import Path

from playhead.core.settings import Settings
from playhead.inbox.bucket import InboxBucket
from playhead.inbox.local import InboxFolder
from playhead.inbox.protocol import Inbox
from playhead.media.bucket_store import MediaObjects
from playhead.media.download_cache import Spool
from playhead.media.local_store import MediaFolder
from playhead.media.object_storage import Bucket
from playhead.media.store import MediaStore


def create_media_store(settings: Settings) -> MediaStore:
    place = settings.media_location
    if isinstance(place, Path):
        return MediaFolder(place)
    return MediaObjects(_bucket(settings, place), _spool(settings))


def create_inbox(settings: Settings) -> Inbox:
    place = settings.inbox_location
    if isinstance(place, Path):
        return InboxFolder(place)
    return InboxBucket(_bucket(settings, place), _spool(settings))


def _bucket(settings: Settings, url: str) -> Bucket:
    return Bucket(url, endpoint=settings.s3_endpoint)


def _spool(settings: Settings) -> Spool:
    return Spool(settings.home / "spool")
