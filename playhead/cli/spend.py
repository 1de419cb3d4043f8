"""What providers cost, and what they answered that nobody believes: spend, quarantine."""

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
    """What was paid to providers; every attempt counts, the failed ones too."""
    with open_services(load_settings()) as services:
        all_of_them = by == "organisation" and org is None
        org_id = None if all_of_them else services.require_organisation(org)
        begin = since.replace(tzinfo=UTC) if since else None
        sums = services.provider_use.spend.sums(by, org_id=org_id, since=begin)
    if as_json:
        for one in sums:
            print_json(asdict(one) | {"by": by})
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
    """Replies of providers that were not believed."""
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
    for one in sums:
        table.add_row(
            one.what or "none",
            str(one.attempts),
            str(one.failed),
            str(one.input_tokens),
            str(one.output_tokens),
            f"{one.audio_seconds:.0f}",
            f"{one.cost_usd:.4f}",
        )
    console = Console()
    Console(width=None if console.is_terminal else 160).print(table)


def _print_quarantined(kept: list[QuarantinedReply], as_json: bool) -> None:
    for one in kept:
        if as_json:
            print_json(asdict(one))
            continue
        click.echo(f"{one.id}  {one.kept_at:%Y-%m-%d %H:%M}  {one.bytes} bytes  {one.reason}")
        click.echo(f"    {one.purpose} of {', '.join(one.recordings) or 'no recording'}")
    if not kept and not as_json:
        click.echo("No reply is in quarantine.")
