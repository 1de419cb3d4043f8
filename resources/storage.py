"""The media store and the inbox that settings name. Not here: what they do (``resources/media``,
``resources/inbox.py``)."""

from __future__ import annotations

from pathlib import Path

from resources.inbox import Inbox
from resources.inbox_bucket import InboxBucket
from resources.inbox_folder import InboxFolder
from resources.media.folder import MediaFolder
from resources.media.objects import MediaObjects
from resources.media.spool import Spool
from resources.media.store import MediaStore
from resources.object_storage import Bucket
from resources.settings import Settings


def media_store(settings: Settings) -> MediaStore:
    place = settings.media_place
    if isinstance(place, Path):
        return MediaFolder(place)
    return MediaObjects(_bucket(settings, place), _spool(settings))


def inbox(settings: Settings) -> Inbox:
    place = settings.inbox_place
    if isinstance(place, Path):
        return InboxFolder(place)
    return InboxBucket(_bucket(settings, place), _spool(settings))


def _bucket(settings: Settings, url: str) -> Bucket:
    return Bucket(url, endpoint=settings.s3_endpoint)


def _spool(settings: Settings) -> Spool:
    return Spool(settings.home / "spool")
