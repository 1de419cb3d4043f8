"""The organisations of the isolation benchmark, with the same bytes and words.

Each has a unique canary in titles, words, names and replies. ``attacker.py`` queries them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from psycopg import sql

from benchmarks.environments import environment
from playhead.core.records import Document, Recording, TimedSpan
from playhead.core.settings import load_settings
from playhead.media.store import MediaStore
from playhead.postgres.database import Database
from playhead.postgres.database_urls import create_database
from playhead.postgres.embedded.server import EmbeddedServer
from playhead.postgres.migrator import migrate
from playhead.services import stores
from tests.support import factories
from tests.support.factories import PipelineDriver
from tests.support.media_files import SPEECH
from tests.support.tenant_data import fill_tables, relations_with_org, row_keys

SAME = "the very same words are said by everybody here"

_TENANT_NUMBER = re.compile(r"(?:canary|org-)(\d\d)")
_CHUNKS = 200


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation, its first recording, and the keys of its rows."""

    org: str
    canary: str
    recording: Recording
    transcript_id: int
    keys: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TenantDatabase:
    """A server's database, its home, and its organisations."""

    url: str
    home: Path
    tenants: Sequence[Tenant]


@contextmanager
def create_tenants(count: int) -> Iterator[TenantDatabase]:
    """Yield the organisations on a server of their own; this process uses its home."""
    with TemporaryDirectory(prefix="playhead-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        server = EmbeddedServer(Path(folder) / "postgres")
        server.attach()
        try:
            create_database(server.url("postgres"), "playhead")
            url = server.url("playhead")
            migrate(url)
            with use_home(home, url):
                database, media = Database(url), stores.create_media_store(load_settings())
                tenants = _add_tenants(database, media, count)
                database.close()
                yield TenantDatabase(url, home, tenants)
        finally:
            server.detach()
            server.stop()


@contextmanager
def use_home(home: Path, url: str) -> Iterator[None]:
    """Use only the settings of this home and database inside the context."""
    home.mkdir(parents=True, exist_ok=True)
    variables = {"PLAYHEAD_HOME": str(home), "DATABASE_URL": url}
    with environment(variables), chdir(home):  # a folder without .env
        yield


def names_other_tenant(text: str, org: str) -> bool:
    """Return True if a text has the name or the canary of another organisation."""
    return any(f"org-{number}" != org for number in _TENANT_NUMBER.findall(text))


def count_misplaced_rows(database: Database) -> int:
    """Count stored rows, read as their owner, that name another organisation."""
    found = 0
    query = sql.SQL("select org_id, {name}::text as everything from {name}")
    for name in relations_with_org(database, "rp"):
        with database.connection() as connection:
            for row in connection.execute(query.format(name=sql.Identifier(name))):
                found += names_other_tenant(row["everything"], row["org_id"])
    return found


def random_word() -> str:
    """Return a new random word."""
    return f"{random.randrange(1 << 40):x}"


def _add_tenants(database: Database, media: MediaStore, count: int) -> list[Tenant]:
    """Add the organisations, with a row in every table and a file in the store."""
    worker, sha256 = PipelineDriver(database), f"{0:064x}"
    clip_files = cycle(sorted(SPEECH.glob("*.flac")))
    tenants = []
    for number in range(count):
        org, canary = f"org-{number:02}", f"canary{number:02}x{random_word()}"
        recording = factories.add_recording(database, org_id=org, sha256=sha256, title=canary)
        media.commit(media.stage(next(clip_files)), recording)
        texts = [f"{SAME} {index} {canary}" for index in range(_CHUNKS)]
        worker.probe(recording)
        worker.transcribe(recording, factories.make_transcript(" ".join(texts[:2])))
        worker.write(recording, written=_document(canary, texts[0]))
        worker.chunk(
            recording,
            [replace(passage, speaker="Ada") for passage in factories.make_chunks(*texts)],
        )
        worker.embed(recording)
        fill_tables(database, worker, recording, canary)
        transcript_result = worker.current(recording, "transcript")
        assert transcript_result is not None
        keys = row_keys(database, recording, canary)
        tenants.append(Tenant(org, canary, recording, transcript_result.id, keys))
    worker.results.close()
    return tenants


def _document(title: str, text: str) -> Document:
    """Return a document with a time that opens the media."""
    before = f"# {title}\n\n[00:00:00] "
    spans = (TimedSpan(len(before), len(before) + len(text), 0.0, 1.5, None),)
    return replace(factories.make_document(before + text, title), spans=spans)
