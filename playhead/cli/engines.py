"""``playhead engines``: providers whose breaker is open, and closing it."""

from __future__ import annotations

from dataclasses import asdict

import click

from playhead.cli.options import json_option, org_option, print_json
from resources.errors import NotFound
from resources.settings import load_settings
from resources.workbench import open_rooms


@click.group()
def engines() -> None:
    """Who works here, and providers that a person must see to."""


@engines.command()
@json_option
def stopped(as_json: bool) -> None:
    """Providers that nobody asks any more, and why."""
    with open_rooms(load_settings()) as rooms:
        opened = rooms.breakers.opened()
    for one in opened:
        if as_json:
            print_json(asdict(one))
        else:
            click.echo(f"{one.provider}, {one.org_id}, since {one.opened_at:%Y-%m-%d %H:%M}")
            click.echo(f"  {one.reason}\n  {one.remedy}")
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
    with open_rooms(settings) as rooms:
        resumed = rooms.breakers.resume(org or settings.org, provider)
    was = "is asked again" if resumed.was_open else "was not stopped"
    click.echo(f"{provider} {was}; {resumed.recordings} recordings wait again: playhead process")
