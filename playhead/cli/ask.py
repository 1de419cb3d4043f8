"""Commands for questions and conversations."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from playhead.answers.citation_check import Citation, CitedSentence, SentenceCallback
from playhead.answers.conversations import ConversationHistory, StoredTurn
from playhead.answers.service import NOT_FOUND, Answer, AnswerService, ignore_sentences
from playhead.cli.options import json_option, org_option, print_json, recording_ids
from playhead.core.records import KINDS, Kind, SearchFilter
from playhead.core.settings import load_settings
from playhead.engines.registry import build_answerer
from playhead.postgres.search.conversations import ConversationSummary
from playhead.search.service import open_search
from playhead.services.context import open_services

_CORRECTED = "corrected since: these words are no longer there"
_DELETED = "a recording that was forgotten"
_UNVERIFIED = "(It told of a recording that was forgotten.)"
_STARTED_OVER = "(It broke off; what was written above does not count.)"


@click.command()
@click.argument("question")
@click.option("--kind", type=click.Choice(KINDS), help="Only from recordings of this kind.")
@click.option("--recording", help="Only from this recording.")
@click.option("--stream", is_flag=True, help="Each sentence as soon as it is written.")
@click.option("--continue", "conversation", metavar="CONVERSATION", help="Go on with this one.")
@org_option
@json_option
def ask(
    question: str,
    kind: Kind | None,
    recording: str | None,
    stream: bool,
    conversation: str | None,
    org: str | None,
    as_json: bool,
) -> None:
    """Answer QUESTION from the recordings, each sentence with where it was said."""
    settings = load_settings()
    answerer = build_answerer(settings)
    with open_services(settings) as services:
        filters = SearchFilter(
            kinds=(kind,) if kind else (),
            recordings=tuple(recording_ids(services, org, [recording] if recording else [])),
        )
        answers = AnswerService(
            services, open_search(services, services.require_organisation(org)), answerer
        )
        on_sentence = _sentence_printer(as_json) if stream else ignore_sentences
        answer = answers(
            question, filters=filters, conversation=conversation, on_sentence=on_sentence
        )
    if as_json:
        print_json(answer)
    else:
        _print(answer, told=stream)


@click.command()
@click.argument("conversation", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@org_option
@json_option
def conversations(conversation: str | None, limit: int, org: str | None, as_json: bool) -> None:
    """List questions; with CONVERSATION show its answers, and whether the citations still hold."""
    with open_services(load_settings()) as services:
        kept = ConversationHistory(services, services.require_organisation(org))
        rows = kept.turns(conversation) if conversation else kept.summaries(limit)
    for row in rows:
        if as_json:
            print_json(row)
        else:
            _print_turn(row) if isinstance(row, StoredTurn) else _print_summary(row)


def _sentence_printer(as_json: bool) -> SentenceCallback:
    def hear(sentence: CitedSentence | None, citations: tuple[Citation, ...]) -> None:
        if as_json:
            print_json(_event(sentence, citations))
        else:
            click.echo(_with_marks(sentence) if sentence else _STARTED_OVER)

    return hear


def _event(sentence: CitedSentence | None, citations: tuple[Citation, ...]) -> dict[str, Any]:
    """Return a JSON event; ``sentence`` is null if all earlier sentences are discarded."""
    return {
        "sentence": asdict(sentence) if sentence else None,
        "citations": [asdict(citation) for citation in citations],
    }


def _with_marks(sentence: CitedSentence) -> str:
    marks = "".join(f"[{number}]" for number in sentence.cites)
    return f"{sentence.text} {marks}" if sentence.text else _UNVERIFIED


def _print(answer: Answer, *, told: bool) -> None:
    """Print the answer. ``told``: its sentences were already printed while streaming."""
    if answer.note:
        click.echo(answer.note, err=True)
    if not answer.found:
        click.echo(NOT_FOUND)
    elif not told:
        click.echo(" ".join(map(_with_marks, answer.sentences)))
    _print_citations(answer.citations)
    if answer.conversation:
        click.echo(f"\nGo on: playhead ask --continue {answer.conversation} …")


def _print_citations(citations: tuple[Citation, ...]) -> None:
    console = Console(soft_wrap=True)
    for citation in citations:
        where = {"current": citation.timecode or "", "corrected": _CORRECTED, "forgotten": _DELETED}
        mark = Text.assemble((f"\n[{citation.number}] {where[citation.state]}", "bold cyan"))
        console.print(Text.assemble(mark, "  ", (citation.title or "", "bold")))
        if citation.quote:
            console.print(f"    “{citation.quote}”", markup=False, highlight=False)
        if citation.link:
            console.print(f"    {citation.link}", markup=False, highlight=False, style="dim")


def _print_summary(summary: ConversationSummary) -> None:
    turns = f"{summary.turns} question{'s' if summary.turns > 1 else ''}"
    click.echo(
        f"{summary.id}  {summary.begun_at:%Y-%m-%d %H:%M}  {turns}  "
        f"{summary.question or _UNVERIFIED}"
    )


def _print_turn(turn: StoredTurn) -> None:
    click.echo(f"{turn.asked_at:%Y-%m-%d %H:%M}  {turn.question or _UNVERIFIED}")
    click.echo(" ".join(map(_with_marks, turn.sentences)) if turn.found else NOT_FOUND)
    _print_citations(turn.citations)
    click.echo()
