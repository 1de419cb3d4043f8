"""Commands for provider cost and invalid responses: spend, quarantine."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from playhead.cli.options import json_option, org_option, print_json
from playhead.core.settings import load_settings
from playhead.postgres.provider_use.quarantine import QuarantinedReply
from playhead.postgres.provider_use.spend import GROUPINGS, Grouping, SpendRow
from playhead.services.context import open_services


@click.command()
@click.option("--by", type=click.Choice(GROUPINGS), default="day", show_default=True)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="From this day (UTC) on.")
@org_option
@json_option
def spend(by: Grouping, since: datetime | None, org: str | None, as_json: bool) -> None:
    """Show what was paid to providers. Failed attempts count, too."""
    with open_services(load_settings()) as services:
        all_of_them = by == "organisation" and org is None
        org_id = None if all_of_them else services.require_organisation(org)
        begin = since.replace(tzinfo=UTC) if since else None
        sums = services.provider_use.spend.sums(by, org_id=org_id, since=begin)
    if as_json:
        for row in sums:
            print_json(asdict(row) | {"by": by})
    elif sums:
        _print_sums(by, sums)
    else:
        click.echo("Nothing was asked of a provider.")


@click.command()
@click.option("--show", type=int, metavar="REPLY", help="Print this reply as it came.")
@click.option("--drop", type=int, metavar="REPLY", help="Let go of this reply.")
@org_option
@json_option
def quarantine(show: int | None, drop: int | None, org: str | None, as_json: bool) -> None:
    """List provider responses that failed validation."""
    with open_services(load_settings()) as services:
        org_id = services.require_organisation(org)
        if show is not None:
            sys.stdout.buffer.write(services.provider_use.quarantine.reply(org_id, show))
        elif drop is not None:
            services.provider_use.quarantine.delete(org_id, drop)
        else:
            _print_quarantined(services.provider_use.quarantine.replies(org_id), as_json)


def _print_sums(by: Grouping, sums: list[SpendRow]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in (by, "attempts", "failed", "tokens in", "tokens out", "audio s", "usd"):
        table.add_column(column, overflow="fold", justify="left" if column == by else "right")
    for row in sums:
        table.add_row(
            row.what or "none",
            str(row.attempts),
            str(row.failed),
            str(row.input_tokens),
            str(row.output_tokens),
            f"{row.audio_seconds:.0f}",
            f"{row.cost_usd:.4f}",
        )
    console = Console()
    Console(width=None if console.is_terminal else 160).print(table)


def _print_quarantined(kept: list[QuarantinedReply], as_json: bool) -> None:
    for quarantined in kept:
        if as_json:
            print_json(asdict(quarantined))
            continue
        click.echo(
            f"{quarantined.id}  {quarantined.kept_at:%Y-%m-%d %H:%M}  {quarantined.bytes} bytes  "
            f"{quarantined.reason}"
        )
        click.echo(
            f"    {quarantined.purpose} of {', '.join(quarantined.recordings) or 'no recording'}"
        )
    if not kept and not as_json:
        click.echo("No reply is in quarantine.")
