"""Commands for provider cost and invalid responses: spend, quarantine."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime

import click

from playhead.cli.options import json_option, org_option
from playhead.cli.output import Column, emit
from playhead.core.settings import load_settings
from playhead.postgres.provider_use.quarantine import QuarantinedReply
from playhead.postgres.provider_use.spend import GROUPINGS, Grouping, SpendRow
from playhead.services.context import open_services


@click.command()
@click.option("--by", type=click.Choice(GROUPINGS), default="day", show_default=True)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only from this day (UTC) on.")
@org_option
@json_option
def spend(by: Grouping, since: datetime | None, org: str | None, as_json: bool) -> None:
    """Show the cost of provider requests, including failed attempts."""
    with open_services(load_settings()) as services:
        all_organisations = by == "organisation" and org is None
        org_id = None if all_organisations else services.require_organisation(org)
        begin = since.replace(tzinfo=UTC) if since else None
        sums = services.provider_use.spend.sums(by, org_id=org_id, since=begin)
    emit(
        sums,
        as_json=as_json,
        columns=_columns(by),
        json=lambda row: asdict(row) | {"by": by},
        empty="No provider requests yet.",
    )


@click.command()
@click.option("--show", type=int, metavar="RESPONSE", help="Print this response unchanged.")
@click.option("--drop", type=int, metavar="RESPONSE", help="Delete this response.")
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
            emit(
                services.provider_use.quarantine.replies(org_id),
                as_json=as_json,
                text=_format_quarantined,
                empty="No response is in quarantine.",
            )


def _columns(by: Grouping) -> list[Column[SpendRow]]:
    return [
        Column(by, lambda row: row.what or "none"),
        Column("attempts", lambda row: row.attempts, numeric=True),
        Column("failed", lambda row: row.failed, numeric=True),
        Column("tokens in", lambda row: row.input_tokens, numeric=True),
        Column("tokens out", lambda row: row.output_tokens, numeric=True),
        Column("audio s", lambda row: f"{row.audio_seconds:.0f}", numeric=True),
        Column("usd", lambda row: f"{row.cost_usd:.4f}", numeric=True),
    ]


def _format_quarantined(reply: QuarantinedReply) -> str:
    return (
        f"{reply.id}  {reply.kept_at:%Y-%m-%d %H:%M}  {reply.bytes} bytes  {reply.reason}\n"
        f"    {reply.purpose} of {', '.join(reply.recordings) or 'no recording'}"
    )
