"""What the commands share: one open desk with the pieces they need, and how lines are printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import click

from resources.intake import Intake
from resources.media.store import MediaStore
from resources.postgres.catalogue import Catalogue
from resources.postgres.content import Content
from resources.postgres.database import Database
from resources.postgres.databases import app_url
from resources.postgres.ledger import Ledger
from resources.postgres.search import Passages
from resources.settings import Settings, load_settings

org_option = click.option("--org", help="Organisation. [default: PLAYHEAD_ORG, else 'default']")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON value a line.")


@dataclass(frozen=True, slots=True)
class Desk:
    """Settings, and the rooms of the database, open."""

    settings: Settings
    catalogue: Catalogue
    ledger: Ledger
    content: Content
    passages: Passages
    media: MediaStore

    @property
    def intake(self) -> Intake:
        return Intake(self.catalogue, self.media)


@contextmanager
def open_desk() -> Iterator[Desk]:
    settings = load_settings()
    database = Database(app_url(settings))
    try:
        yield Desk(
            settings=settings,
            catalogue=Catalogue(database),
            ledger=Ledger(database),
            content=Content(database),
            passages=Passages(database),
            media=MediaStore(settings.home / "media"),
        )
    finally:
        database.close()


def print_json(value: Any) -> None:
    """One line, whatever the value holds."""
    click.echo(json.dumps(value, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
