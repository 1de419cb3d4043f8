"""``playhead engines``: available engines with price and shutdown date, and stopped providers."""

from __future__ import annotations

from datetime import UTC, date, datetime

import click

from playhead.cli.options import json_option, org_option
from playhead.cli.output import Column, emit
from playhead.core.errors import NotFound
from playhead.core.settings import Settings, load_settings
from playhead.engines.catalog import EngineFacts, list_engines
from playhead.postgres.provider_use.circuit_breakers import OpenCircuit
from playhead.services.context import open_services


@click.group(invoke_without_command=True)
@click.option(
    "--ask", metavar="PROVIDER", help="List the models of this provider, as it reports them."
)
@json_option
@click.pass_context
def engines(context: click.Context, ask: str | None, as_json: bool) -> None:
    """List all engines that settings can name, with output, price and shutdown date."""
    if context.invoked_subcommand:
        return
    settings, today = load_settings(), datetime.now(UTC).date()
    if ask:
        _list_remote_models(settings, ask, today, as_json)
        return
    emit(list_engines(settings, today), as_json=as_json, columns=_COLUMNS)
    if not as_json:
        click.echo(
            "* in use. Prices in US dollars: per million tokens read + written, or per minute."
        )


@engines.command()
@json_option
def stopped(as_json: bool) -> None:
    """List stopped providers with the reasons."""
    with open_services(load_settings()) as services:
        opened = services.provider_use.circuit_breakers.list_open()
    emit(opened, as_json=as_json, text=_format_circuit, empty="No provider is stopped.")


@engines.command()
@click.argument("provider")
@org_option
def resume(provider: str, org: str | None) -> None:
    """Send requests to PROVIDER again, and requeue all parked recordings."""
    settings = load_settings()
    if settings.provider(provider) is None:
        raise NotFound(f"No such provider: {provider!r}.", remedy="PLAYHEAD_PROVIDERS lists them.")
    with open_services(settings) as services:
        resumed = services.provider_use.circuit_breakers.resume(
            services.require_organisation(org), provider
        )
    was = f"Resumed {provider}" if resumed.was_open else f"{provider} was not stopped"
    click.echo(f"{was}; requeued {resumed.recordings} recordings. Next: playhead process")


def _list_remote_models(settings: Settings, provider: str, today: date, as_json: bool) -> None:
    from playhead.providers.list_models import (
        list_models,  # OpenAI's library takes most of a second
    )

    emit(
        list_models(settings, provider),
        as_json=as_json,
        text=lambda model: f"{provider}:{model.name}  {_end(model.ends, today)}".rstrip(),
        empty=f"{provider} has no models.",
    )


def _format_circuit(circuit: OpenCircuit) -> str:
    return (
        f"{circuit.provider}, {circuit.org_id}, since {circuit.opened_at:%Y-%m-%d %H:%M}\n"
        f"  {circuit.reason}\n  {circuit.remedy}"
    )


def _format_output(row: EngineFacts) -> str:
    if row.role == "transcriber":
        return f"{', '.join(row.output_formats)} ({row.languages})"
    if row.role in ("writer", "answerer"):
        return "quotes" if row.local else "prose with citations"
    return f"{row.dimensions or '?'} dimensions, maximum {row.window_tokens} tokens"


def _price(row: EngineFacts) -> str:
    if row.local:
        return "free"
    if row.usd_a_million_tokens is None:
        return "unknown"
    if row.usd_an_audio_minute:
        return f"{row.usd_an_audio_minute:g} per minute"
    read, written = row.usd_a_million_tokens
    if not read:
        return "free"
    return f"{read:g} + {written:g}" if written else f"{read:g}"


def _end(ends: date | None, today: date | None) -> str:
    if ends is None:
        return ""
    return f"ended {ends}" if today and ends <= today else str(ends)


_COLUMNS = (
    Column[EngineFacts]("", lambda row: "*" if row.chosen else ""),
    Column[EngineFacts]("role", lambda row: row.role),
    Column[EngineFacts]("name", lambda row: row.name, no_wrap=True),
    Column[EngineFacts]("output", _format_output),
    Column[EngineFacts]("price", _price),
    Column[EngineFacts]("shutdown", lambda row: "ended" if row.ended else _end(row.ends, None)),
    Column[EngineFacts]("missing", lambda row: row.missing_setting or ""),
)
