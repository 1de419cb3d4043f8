"""Commands for the database server: migrate, stop."""

from __future__ import annotations

import click

from playhead.core.settings import load_settings
from playhead.postgres.database_urls import embedded_server, unmigrated_url
from playhead.postgres.migrator import migrate as apply_migrations


@click.command()
def migrate() -> None:
    """Update the database schema. Every other command does this, too."""
    settings = load_settings()
    applied = apply_migrations(unmigrated_url(settings))
    click.echo("\n".join(applied) if applied else "The schema is up to date.")


@click.command()
def stop() -> None:
    """Stop the embedded server, even if it is in use. The next command starts it again."""
    settings = load_settings()
    if settings.database_url:
        raise click.UsageError("DATABASE_URL is set. Only the embedded server can be stopped.")
    embedded_server(settings).stop()
    click.echo("Stopped.")
