"""``playhead engines``: available engines with price and shutdown date, and stopped providers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime

import click
from rich.console import Console
from rich.table import Table

from playhead.cli.options import json_option, org_option, print_json
from playhead.core.errors import NotFound
from playhead.core.settings import Settings, load_settings
from playhead.engines.catalog import EngineFacts, list_engines
from playhead.services.context import open_services


@click.group(invoke_without_command=True)
@click.option("--ask", metavar="PROVIDER", help="Ask this provider which models it has.")
@json_option
@click.pass_context
def engines(context: click.Context, ask: str | None, as_json: bool) -> None:
    """List every engine that settings can name: output, price, shutdown date."""
    if context.invoked_subcommand:
        return
    settings, today = load_settings(), datetime.now(UTC).date()
    if ask:
        _ask(settings, ask, today, as_json)
        return
    rows = list_engines(settings, today)
    if as_json:
        for row in rows:
            print_json(asdict(row))
    else:
        _print_table(rows)


@engines.command()
@json_option
def stopped(as_json: bool) -> None:
    """List stopped providers and the reasons."""
    with open_services(load_settings()) as services:
        opened = services.provider_use.circuit_breakers.list_open()
    for circuit in opened:
        if as_json:
            print_json(asdict(circuit))
        else:
            click.echo(
                f"{circuit.provider}, {circuit.org_id}, since {circuit.opened_at:%Y-%m-%d %H:%M}"
            )
            click.echo(f"  {circuit.reason}\n  {circuit.remedy}")
    if not opened and not as_json:
        click.echo("No provider is stopped.")


@engines.command()
@click.argument("provider")
@org_option
def resume(provider: str, org: str | None) -> None:
    """Ask PROVIDER again, and take up at once what was laid aside."""
    settings = load_settings()
    if settings.provider(provider) is None:
        raise NotFound(
            f"There is no provider {provider!r}.", remedy="PLAYHEAD_PROVIDERS names them."
        )
    with open_services(settings) as services:
        resumed = services.provider_use.circuit_breakers.resume(
            services.require_organisation(org), provider
        )
    was = "is asked again" if resumed.was_open else "was not stopped"
    click.echo(f"{provider} {was}; {resumed.recordings} recordings wait again: playhead process")


def _ask(settings: Settings, provider: str, today: date, as_json: bool) -> None:
    from playhead.providers.list_models import (
        list_models,  # OpenAI's library takes most of a second
    )

    for list_model in list_models(settings, provider):
        if as_json:
            print_json(asdict(list_model))
        else:
            click.echo(f"{provider}:{list_model.name}  {_end(list_model.ends, today)}".rstrip())


def _print_table(rows: Sequence[EngineFacts]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("", "role", "name", "gives", "price", "end", "missing"):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for row in rows:
        chosen = "*" if row.chosen else ""
        end = "ended" if row.ended else _end(row.ends, None)
        table.add_row(
            chosen,
            row.role,
            row.name,
            _format_output(row),
            _price(row),
            end,
            row.missing_setting or "",
        )
    console = Console()
    Console(width=None if console.is_terminal else 200).print(table)
    click.echo("* in use. Prices in US dollars: a million tokens read + written, or a minute.")


def _format_output(row: EngineFacts) -> str:
    if row.role == "transcriber":
        return f"{', '.join(row.output_formats)} ({row.languages})"
    if row.role in ("writer", "answerer"):
        return "quotes" if row.local else "prose that cites"
    return f"{row.dimensions or '?'} dimensions, reads {row.window_tokens} tokens"


def _price(row: EngineFacts) -> str:
    if row.local:
        return "free"
    if row.usd_a_million_tokens is None:
        return "not known"
    if row.usd_an_audio_minute:
        return f"{row.usd_an_audio_minute:g} a minute"
    read, written = row.usd_a_million_tokens
    if not read:
        return "free"
    return f"{read:g} + {written:g}" if written else f"{read:g}"


def _end(ends: date | None, today: date | None) -> str:
    if ends is None:
        return ""
    return f"ended {ends}" if today and ends <= today else str(ends)
