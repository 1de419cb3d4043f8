"""``playhead models``: embedding sets, one per embedding model, and which one is searched."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from playhead.cli.options import json_option, print_json
from playhead.core.settings import load_settings
from playhead.engines.registry import build_embedders
from playhead.postgres.search.embedding_sets import EmbeddingSet
from playhead.services.context import Services, open_services
from playhead.services.model_switch import ModelSwitch

set_argument = click.argument("set_id", type=int, metavar="SET")


@click.group()
def models() -> None:
    """Manage embedding models side by side: add, build, activate, roll back."""


@models.command("list")
@json_option
def list_sets(as_json: bool) -> None:
    """List all sets and their states."""
    with open_services(load_settings()) as services:
        found = [
            _facts(services, embedding_set)
            for embedding_set in services.search.embedding_sets.all()
        ]
    if as_json:
        for facts in found:
            print_json(facts)
        return
    if not found:
        click.echo("No set yet: the first recording makes it.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("set", "name", "model", "dimensions", "state", "recordings", "vectors"):
        table.add_column(column, overflow="fold")
    for facts in found:
        table.add_row(
            str(facts["id"]),
            facts["name"],
            facts["engine"]["model"],
            str(facts["dimensions"]),
            facts["state"],
            f"{facts['ready'] - facts['lacking']} of {facts['ready']}",
            str(facts["vectors"]),
        )
    console = Console()
    Console(width=None if console.is_terminal else 160).print(table)


@models.command()
@click.argument("name")
@click.option("--confirm-usd", type=click.FloatRange(min=0), help="The price you agree to.")
def add(name: str, confirm_usd: float | None) -> None:
    """Begin a set with the embedder NAME; search goes on with the set it has."""
    with open_services(load_settings()) as services:
        added = _change(services).add(name, author=getpass.getuser(), confirmed_usd=confirm_usd)
    click.echo(f"Set {added.id} ({added.name}, {added.dimensions} dimensions) is {added.state}.")
    if added.state == "building":
        click.echo(
            f"The sensors or `playhead process` build it; then: playhead models activate {added.id}"
        )


@models.command()
@set_argument
@json_option
def status(set_id: int, as_json: bool) -> None:
    """Show a SET: coverage, indexes, failures, and the evaluation."""
    with open_services(load_settings()) as services:
        embedding_set = services.search.embedding_sets.get(set_id)
        facts = _facts(services, embedding_set)
        failed = services.search.embedding_sets.failed(embedding_set)
        indexes = services.search.vector_indexes.index_states(embedding_set)
    if as_json:
        print_json(facts | {"failed": failed, "indexes": [asdict(index) for index in indexes]})
        return
    done = facts["ready"] - facts["lacking"]
    click.echo(
        f"Set {embedding_set.id}, {embedding_set.name} ({embedding_set.engine['model']}), "
        f"{embedding_set.state}: "
        f"{done} of {facts['ready']} recordings, {facts['vectors']} vectors."
    )
    for index in indexes:
        size = f"{index.bytes / 1e6:,.0f} MB" if index.bytes else "none yet"
        click.echo(
            f"  index of {index.org_id}: {size}{f', to {index.action}' if index.action else ''}"
        )
    for row in failed:
        click.echo(f"  {row['recording']}: {row['message']} {row['remedy']}")
    if embedding_set.gate:
        for name, value in embedding_set.gate.items():
            click.echo(f"  gate: {name} {value}")


@models.command()
@set_argument
def activate(set_id: int) -> None:
    """Search SET from now on, if it passes the gate."""
    with open_services(load_settings()) as services:
        embedding_set = services.search.embedding_sets.get(set_id)
        verdict = _change(services).activate(embedding_set)
    click.echo(
        f"Set {embedding_set.id} ({embedding_set.name}) is searched now. "
        f"Of {verdict.questions} known passages it "
        f"finds {verdict.found:.0%}, the set before {verdict.found_before:.0%}. "
        "To go back: playhead models rollback"
    )


@models.command()
def rollback() -> None:
    """Search the set again that was searched before."""
    with open_services(load_settings()) as services:
        before = _change(services).rollback()
    click.echo(f"Set {before.id} ({before.name}) is searched again.")


@models.command()
@set_argument
def retire(set_id: int) -> None:
    """Let go of a SET's vectors and indexes. Its cache stays, so that it can come back unpaid."""
    with open_services(load_settings()) as services:
        embedding_set = services.search.embedding_sets.get(set_id)
        _change(services).retire(embedding_set)
    click.echo(f"Set {embedding_set.id} ({embedding_set.name}) is retired.")


def _change(services: Services) -> ModelSwitch:
    return ModelSwitch(services, build_embedders(services.settings))


def _facts(services: Services, embedding_set: EmbeddingSet) -> dict[str, Any]:
    return asdict(embedding_set) | asdict(services.search.embedding_sets.progress(embedding_set))
