"""``playhead doctor``: find problems of this machine or its settings, with their remedies.

Each check returns a fact, or raises the error that the pipeline itself would meet.
"""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click
import psycopg
from rich.text import Text

from playhead.cli.options import json_option
from playhead.cli.output import emit
from playhead.core import packaged_models
from playhead.core.errors import ConfigurationError, PlayheadError
from playhead.core.records import Engine
from playhead.core.settings import Settings, load_settings
from playhead.engines.registry import Engines, build_engines
from playhead.media.sandbox import restrictions
from playhead.postgres.database_urls import app_url, dagster_url
from playhead.postgres.migrator import check_pgvector
from playhead.services import stores
from playhead.services.context import open_services

_FREE_BYTES = 2 << 30  # the base models, an empty database and an hour of video
_DAGSTER_PORT = 3000


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. ``remedy`` is empty if all is well."""

    check: str
    ok: bool
    detail: str
    remedy: str = ""


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Find problems and their remedies. Exits with 1 if there are any."""
    findings = list(_examine())
    emit(findings, as_json=as_json, text=_format)
    if not all(finding.ok for finding in findings):
        sys.exit(1)


def _format(finding: Finding) -> Text:
    mark = ("ok  ", "green") if finding.ok else ("BAD ", "red")
    remedy = f"\n     {finding.remedy}" if finding.remedy else ""
    return Text.assemble(mark, f" {finding.check}: {finding.detail}{remedy}")


def _examine() -> Iterator[Finding]:
    try:
        settings = load_settings()
    except PlayheadError as error:  # nothing else can be checked
        yield Finding("settings", ok=False, detail=str(error), remedy=error.remedy)
        return
    yield Finding("settings", ok=True, detail=f"home {settings.home}")
    checks: dict[str, Callable[[Settings], str]] = {
        "disk": _disk,
        "media": _media,
        "inbox": _inbox,
        "engines": _engines,
        "models": _models,
        "decoding": _decoding,
        "database": _database,
        "dagster's database": _dagster_database,
        "providers": _providers,
        "port": _port,
    }
    for name, check in checks.items():
        try:
            yield Finding(name, ok=True, detail=check(settings))
        except PlayheadError as error:
            yield Finding(name, ok=False, detail=str(error), remedy=error.remedy)


def _disk(settings: Settings) -> str:
    settings.home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.home).free
    if free < _FREE_BYTES:
        raise ConfigurationError(
            f"Only {free >> 20} MiB are free at {settings.home}.",
            remedy="Free disk space, or set PLAYHEAD_HOME to a folder on another disk.",
        )
    return f"{free >> 30} GiB free"


def _media(settings: Settings) -> str:
    next(iter(stores.create_media_store(settings).names()), None)
    return f"{settings.media_location} can be listed"


def _inbox(settings: Settings) -> str:
    try:
        pending = stores.create_inbox(settings).list_files()
    except OSError as error:
        raise ConfigurationError(
            f"The inbox cannot be read: {error}",
            remedy="Correct its permissions, or PLAYHEAD_INBOX.",
        ) from error
    return f"{len(pending)} files pending in {settings.inbox_location}"


def _engines(settings: Settings) -> str:
    engines = build_engines(settings)
    return ", ".join(f"{engine.name} {engine.model}" for engine in _all_engines(engines))


def _models(settings: Settings) -> str:
    names = [
        name for name in (settings.transcriber, settings.embedder) if name in packaged_models.MODELS
    ]
    for name in names:
        packaged_models.check_model(name)
    return f"{', '.join(names) or 'none packaged'}: complete and unaltered"


def _decoding(_settings: Settings) -> str:
    """Check decoding in the sandbox.

    A restriction that this machine lacks is reported, but is no error, since the others hold.
    """
    sandbox = restrictions()
    missing = f"; missing: {', '.join(sandbox.missing)}" if sandbox.missing else ""
    return f"sandboxed, with {', '.join(sandbox.active)}{missing}"


def _database(settings: Settings) -> str:
    url = app_url(settings)
    with psycopg.connect(url, autocommit=True) as connection:
        version = connection.info.server_version
        pgvector = check_pgvector(connection)
    return f"Postgres {version // 10000}.{version % 10000}, pgvector {pgvector}"


def _dagster_database(settings: Settings) -> str:
    dagster_url(settings)
    return "exists"


def _providers(settings: Settings) -> str:
    with open_services(settings) as services:
        opened = services.provider_use.circuit_breakers.list_open()
    if opened:
        raise ConfigurationError(
            " ".join(f"{circuit.reason} (organisation {circuit.org_id})" for circuit in opened),
            remedy=" ".join(dict.fromkeys(circuit.remedy for circuit in opened)),
        )
    return "no provider is stopped"


def _port(_settings: Settings) -> str:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _DAGSTER_PORT))
        except OSError as error:
            raise ConfigurationError(
                f"Port {_DAGSTER_PORT} is in use.",
                remedy="Stop the process on this port, or use another one: make dev PORT=3001",
            ) from error
    return f"{_DAGSTER_PORT} is free for the UI"


def _all_engines(engines: Engines) -> tuple[Engine, ...]:
    embedder = engines.embedders.named(engines.embedders.default)
    return (engines.transcriber.engine, engines.writer.engine, embedder.engine)
