"""The search command."""

from __future__ import annotations

import re
from datetime import datetime

import click
from rich.text import Text

from playhead.cli.options import json_option, org_option, recording_ids
from playhead.cli.output import emit
from playhead.core.records import KINDS, SOURCES, Kind, SearchFilter, Source
from playhead.core.settings import load_settings
from playhead.search.hits import Hit
from playhead.search.service import MAX_HITS, RecordingHit, SearchService, open_search
from playhead.services.context import Services, open_services

_NOTHING_FOUND = "Nothing was found."


def parse_time(value: str) -> float:
    """Return seconds from 90, 1:30 or 00:01:30."""
    parts = value.split(":")
    if len(parts) > 3 or not all(re.fullmatch(r"\d+(\.\d+)?", part) for part in parts):
        raise click.BadParameter(f"{value!r} is not a time such as 90, 1:30 or 00:01:30.")
    return sum(float(part) * 60.0**power for power, part in enumerate(reversed(parts)))


@click.command()
@click.argument("query")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind.")
@click.option("--recording", "recordings", multiple=True, help="Only this recording.")
@click.option("--speaker", "speakers", multiple=True, help="Only this speaker: name or label.")
@click.option("--language", "languages", multiple=True, help="Only this language: en, ja, ...")
@click.option(
    "--source", type=click.Choice(SOURCES), help="Only what was said, or what was written about it."
)
@click.option("--since", type=click.DateTime(), metavar="DATE", help="Added on this date or later.")
@click.option("--until", type=click.DateTime(), metavar="DATE", help="Added before this date.")
@click.option(
    "--from",
    "from_seconds",
    type=parse_time,
    metavar="TIME",
    help="Only from this time of a recording on.",
)
@click.option(
    "--to",
    "to_seconds",
    type=parse_time,
    metavar="TIME",
    help="Only up to this time of a recording.",
)
@click.option(
    "--recordings", "whole", is_flag=True, help="List recordings, each with its best moments."
)
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
    """Find the moments about QUERY, by full text and by meaning.

    A repeated option matches any of its values; different options must all match.
    """
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
        if whole:
            _search_recordings(services, find, query, filters, limit, as_json=as_json)
            return
        found = find(query, filters=filters, limit=limit)
    _print_note(found.note)
    emit(
        found.hits,
        as_json=as_json,
        text=_format_hit,
        empty=None if found.note else _NOTHING_FOUND,
    )


def _search_recordings(
    services: Services,
    find: SearchService,
    query: str,
    filters: SearchFilter,
    limit: int,
    *,
    as_json: bool,
) -> None:
    found = find.recordings(query, filters=filters, limit=limit)
    ids = [hit.recording for hit in found.recordings]
    keys = {
        recording.id: recording.partition_key
        for recording in services.pipeline.recordings.get_many(ids)
    }
    _print_note(found.note)
    emit(
        found.recordings,
        as_json=as_json,
        text=lambda hit: _format_recording(hit, keys.get(hit.recording, hit.recording)),
        empty=None if found.note else _NOTHING_FOUND,
    )


def _print_note(note: str | None) -> None:
    if note:
        click.echo(note, err=True)


def _format_hit(hit: Hit) -> Text:
    return Text.assemble(
        (hit.timecode, "bold cyan"), "  ", (hit.title, "bold"), _format_speaker(hit),
        "\n  “", _sentence(hit), "”",
        (f"\n  {hit.link}\n", "dim"),
    )  # fmt: skip


def _format_recording(recording_hit: RecordingHit, key: str) -> Text:
    about = f"  {recording_hit.kind}  {recording_hit.added:%Y-%m-%d}  {key}"
    text = Text.assemble((recording_hit.title, "bold"), (about, "dim"), "\n")
    for hit in recording_hit.hits:
        text.append_text(Text.assemble("  ", (hit.timecode, "cyan"), "  “", _sentence(hit), "”\n"))
    return text


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
