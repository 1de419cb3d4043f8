"""``playhead models``: embedding sets, one per embedding model, and which one is searched."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import Any

import click

from playhead.cli.options import json_option
from playhead.cli.output import Column, emit, print_json
from playhead.core.settings import load_settings
from playhead.engines.registry import build_embedders
from playhead.postgres.search.embedding_sets import EmbeddingSet
from playhead.services.context import Services, open_services
from playhead.services.model_switch import ModelSwitch

set_argument = click.argument("set_id", type=int, metavar="SET")


@click.group()
def models() -> None:
    """Manage embedding models: add one beside the active one, build, activate, roll back."""


@models.command("list")
@json_option
def list_sets(as_json: bool) -> None:
    """List all embedding sets and their states."""
    with open_services(load_settings()) as services:
        found = [
            _facts(services, embedding_set)
            for embedding_set in services.search.embedding_sets.all()
        ]
    emit(
        found,
        as_json=as_json,
        columns=_COLUMNS,
        empty="No embedding set yet: the first recording creates it.",
    )


@models.command()
@click.argument("name")
@click.option(
    "--confirm-usd", type=click.FloatRange(min=0), help="Confirm this cost in US dollars."
)
def add(name: str, confirm_usd: float | None) -> None:
    """Add a set of the embedding model NAME. Search keeps using the active set."""
    with open_services(load_settings()) as services:
        added = _model_switch(services).add(
            name, author=getpass.getuser(), confirmed_usd=confirm_usd
        )
    click.echo(f"Set {added.id} ({added.name}, {added.dimensions} dimensions) is {added.state}.")
    if added.state == "building":
        click.echo(
            f"The sensors or `playhead process` build it. Then: playhead models activate {added.id}"
        )


@models.command()
@set_argument
@json_option
def status(set_id: int, as_json: bool) -> None:
    """Show the coverage, indexes, failures and evaluation of SET."""
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
            click.echo(f"  evaluation: {name} {value}")


@models.command()
@set_argument
def activate(set_id: int) -> None:
    """Use SET for search, if it passes the evaluation."""
    with open_services(load_settings()) as services:
        embedding_set = services.search.embedding_sets.get(set_id)
        evaluation = _model_switch(services).activate(embedding_set)
    click.echo(
        f"Set {embedding_set.id} ({embedding_set.name}) is active. "
        f"Of {evaluation.questions} known passages it "
        f"finds {evaluation.found:.0%}, the previous set {evaluation.found_before:.0%}. "
        "To roll back: playhead models rollback"
    )


@models.command()
def rollback() -> None:
    """Make the previous set active again."""
    with open_services(load_settings()) as services:
        previous = _model_switch(services).rollback()
    click.echo(f"Set {previous.id} ({previous.name}) is active again.")


@models.command()
@set_argument
def retire(set_id: int) -> None:
    """Delete the vectors and indexes of SET. Its cache stays, so that a rebuild costs nothing."""
    with open_services(load_settings()) as services:
        embedding_set = services.search.embedding_sets.get(set_id)
        _model_switch(services).retire(embedding_set)
    click.echo(f"Set {embedding_set.id} ({embedding_set.name}) is retired.")


def _model_switch(services: Services) -> ModelSwitch:
    return ModelSwitch(services, build_embedders(services.settings))


def _facts(services: Services, embedding_set: EmbeddingSet) -> dict[str, Any]:
    return asdict(embedding_set) | asdict(services.search.embedding_sets.progress(embedding_set))


_COLUMNS = (
    Column[dict[str, Any]]("set", lambda facts: facts["id"]),
    Column[dict[str, Any]]("name", lambda facts: facts["name"]),
    Column[dict[str, Any]]("model", lambda facts: facts["engine"]["model"]),
    Column[dict[str, Any]]("dimensions", lambda facts: facts["dimensions"]),
    Column[dict[str, Any]]("state", lambda facts: facts["state"]),
    Column[dict[str, Any]](
        "recordings", lambda facts: f"{facts['ready'] - facts['lacking']} of {facts['ready']}"
    ),
    Column[dict[str, Any]]("vectors", lambda facts: facts["vectors"]),
)
