"""The search command."""

from __future__ import annotations

import re
from datetime import datetime

import click
from rich.console import Console
from rich.text import Text

from playhead.cli.options import json_option, org_option, print_json, recording_ids
from playhead.core.records import KINDS, SOURCES, Kind, SearchFilter, Source
from playhead.core.settings import load_settings
from playhead.search.hits import Hit
from playhead.search.service import MAX_HITS, RecordingHit, SearchService, open_search
from playhead.services.context import open_services


def parse_time(value: str) -> float:
    """Return seconds from 90, 1:30 or 00:01:30."""
    parts = value.split(":")
    if len(parts) > 3 or not all(re.fullmatch(r"\d+(\.\d+)?", part) for part in parts):
        raise click.BadParameter(f"{value!r} is no time: 90, 1:30 or 00:01:30.")
    return sum(float(part) * 60.0**power for power, part in enumerate(reversed(parts)))


@click.command()
@click.argument("query")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Of this kind.")
@click.option("--recording", "recordings", multiple=True, help="In this recording.")
@click.option("--speaker", "speakers", multiple=True, help="Said by this one: name or label.")
@click.option("--language", "languages", multiple=True, help="In this language: en, ja, ...")
@click.option("--source", type=click.Choice(SOURCES), help="What was said, or written up.")
@click.option("--since", type=click.DateTime(), metavar="DATE", help="Added then or later.")
@click.option("--until", type=click.DateTime(), metavar="DATE", help="Added before it.")
@click.option(
    "--from",
    "from_seconds",
    type=parse_time,
    metavar="TIME",
    help="From this second of a recording on.",
)
@click.option(
    "--to", "to_seconds", type=parse_time, metavar="TIME", help="Up to this second of a recording."
)
@click.option("--recordings", "whole", is_flag=True, help="Recordings, each with its best moments.")
@click.option("--limit", type=click.IntRange(1, MAX_HITS), default=10, show_default=True)
@org_option
@json_option
def search(
    query: str,
    kinds: tuple[Kind, ...],
    recordings: tuple[str, ...],
    speakers: tuple[str, ...],
    languages: tuple[str, ...],
    source: Source | None,
    since: datetime | None,
    until: datetime | None,
    from_seconds: float | None,
    to_seconds: float | None,
    whole: bool,
    limit: int,
    org: str | None,
    as_json: bool,
) -> None:
    """Find the moments that QUERY is about, by words and by meaning. Of options that are given
    several times one must hold; of different ones, all."""
    with open_services(load_settings()) as services:
        filters = SearchFilter(
            kinds=kinds,
            recordings=tuple(recording_ids(services, org, recordings)),
            speakers=speakers,
            languages=languages,
            source=source,
            since=since.astimezone() if since else None,
            until=until.astimezone() if until else None,
            from_seconds=from_seconds,
            to_seconds=to_seconds,
        )
        find = open_search(services, services.require_organisation(org))
        hits, note = _found(find, query, filters, limit, whole=whole)
    if note:
        click.echo(note, err=True)
    for hit in hits:
        if as_json:
            print_json(hit)
        elif isinstance(hit, RecordingHit):
            _print_recording(hit)
        else:
            _print(hit)
    if not hits and not as_json and not note:
        click.echo("Nothing was found.")


def _found(
    find: SearchService, query: str, filters: SearchFilter, limit: int, *, whole: bool
) -> tuple[list[Hit] | list[RecordingHit], str | None]:
    if whole:
        recordings = find.recordings(query, filters=filters, limit=limit)
        return recordings.recordings, recordings.note
    found = find(query, filters=filters, limit=limit)
    return found.hits, found.note


def _print(hit: Hit) -> None:
    console = Console(soft_wrap=True)
    console.print(
        Text.assemble((hit.timecode, "bold cyan"), "  ", (hit.title, "bold"), _format_speaker(hit))
    )
    console.print(Text.assemble("  “", _sentence(hit), "”"))
    console.print(f"  {hit.link}\n", markup=False, highlight=False, style="dim")


def _print_recording(recording_hit: RecordingHit) -> None:
    console = Console(soft_wrap=True)
    about = f"  {recording_hit.kind}  {recording_hit.added:%Y-%m-%d}  {recording_hit.recording}"
    console.print(Text.assemble((recording_hit.title, "bold"), (about, "dim")))
    for hit in recording_hit.hits:
        console.print(Text.assemble("  ", (hit.timecode, "cyan"), "  “", _sentence(hit), "”"))
    console.print()


def _format_speaker(hit: Hit) -> str:
    return f"  {hit.speaker}" if hit.speaker else ""


def _sentence(hit: Hit) -> Text:
    """Return the sentence with the query's words in bold."""
    at, end = hit.text_range[0], hit.text_range[0] + len(hit.text.rstrip())
    at += len(hit.text) - len(hit.text.lstrip())
    shown = Text()
    for first, last in hit.marks:
        if at <= first and last <= end:
            shown.append(hit.passage[at:first]).append(hit.passage[first:last], "bold")
            at = last
    return shown.append(hit.passage[at:end])
