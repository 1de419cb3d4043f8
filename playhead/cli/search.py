"""The search command."""

from __future__ import annotations

import click
from rich.console import Console
from rich.text import Text

from playhead.cli.options import json_option, org_option, print_json
from playhead.search.search import Hit, Search
from resources.engines import choose_embedders
from resources.records import KINDS, Filter, Kind
from resources.settings import load_settings
from resources.workbench import open_rooms


@click.command()
@click.argument("query")
@click.option("--kind", type=click.Choice(KINDS), help="Only recordings of this kind.")
@click.option("--recording", help="Only in this recording.")
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True)
@org_option
@json_option
def search(
    query: str,
    kind: Kind | None,
    recording: str | None,
    limit: int,
    org: str | None,
    as_json: bool,
) -> None:
    """Find the moments that QUERY is about, by words and by meaning."""
    with open_rooms(load_settings()) as rooms:
        org_id = org or rooms.settings.org
        if recording is not None:
            rooms.catalogue.statuses(org_id, [recording])  # NotFound, rather than no hits
        embedders = choose_embedders(rooms.settings)
        find = Search(rooms.passages, rooms.sets, embedders, rooms.media, org_id)
        narrowed = Filter(
            kinds=(kind,) if kind else (), recordings=(recording,) if recording else ()
        )
        found = find(query, narrowed=narrowed, limit=limit)
    if found.note:
        click.echo(found.note, err=True)
    for hit in found.hits:
        print_json(hit) if as_json else _print(hit)
    if not found.hits and not as_json and not found.note:
        click.echo("Nothing was found.")


def _print(hit: Hit) -> None:
    console = Console(soft_wrap=True)
    console.print(Text.assemble((hit.at, "bold cyan"), "  ", (hit.title, "bold")))
    console.print(f"  “{hit.text.strip()}”", markup=False, highlight=False)
    console.print(f"  {hit.link}\n", markup=False, highlight=False, style="dim")
