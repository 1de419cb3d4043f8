"""Commands for questions and conversations."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click
from rich.text import Text

from playhead.answers.citation_check import Citation, CitedSentence, SentenceCallback
from playhead.answers.conversations import ConversationHistory, StoredTurn
from playhead.answers.service import NOT_FOUND, Answer, AnswerService, ignore_sentences
from playhead.cli.options import json_option, org_option, recording_ids
from playhead.cli.output import emit, print_json, print_text
from playhead.core.records import KINDS, Kind, SearchFilter
from playhead.core.settings import load_settings
from playhead.engines.registry import build_answerer
from playhead.postgres.search.conversations import ConversationSummary
from playhead.search.service import open_search
from playhead.services.context import open_services

_CORRECTED = "corrected since: these words are no longer in the transcript"
_DELETED = "deleted recording"
_UNVERIFIED = "(Removed: it referred to a recording that was deleted.)"
_STARTED_OVER = "(The answer was interrupted. Ignore the sentences above.)"


@click.command()
@click.argument("question")
@click.option("--kind", type=click.Choice(KINDS), help="Use only recordings of this kind.")
@click.option("--recording", help="Use only this recording.")
@click.option("--stream", is_flag=True, help="Print each sentence as soon as it is written.")
@click.option(
    "--continue", "conversation", metavar="CONVERSATION", help="Continue this conversation."
)
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
    """Answer QUESTION from the recordings. Each sentence cites where it was said."""
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
        _print(answer, streamed=stream)


@click.command()
@click.argument("conversation", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@org_option
@json_option
def conversations(conversation: str | None, limit: int, org: str | None, as_json: bool) -> None:
    """List conversations, or show the answers of CONVERSATION and if their citations still hold."""
    with open_services(load_settings()) as services:
        history = ConversationHistory(services, services.require_organisation(org))
        if conversation:
            emit(history.turns(conversation), as_json=as_json, text=_format_turn)
        else:
            emit(
                history.summaries(limit),
                as_json=as_json,
                text=_format_summary,
                empty="No conversations yet: playhead ask QUESTION",
            )


def _sentence_printer(as_json: bool) -> SentenceCallback:
    def on_sentence(sentence: CitedSentence | None, citations: tuple[Citation, ...]) -> None:
        if as_json:
            print_json(_event(sentence, citations))
        else:
            click.echo(_with_marks(sentence) if sentence else _STARTED_OVER)

    return on_sentence


def _event(sentence: CitedSentence | None, citations: tuple[Citation, ...]) -> dict[str, Any]:
    """Return a JSON event; ``sentence`` is null if all earlier sentences are discarded."""
    return {
        "sentence": asdict(sentence) if sentence else None,
        "citations": [asdict(citation) for citation in citations],
    }


def _with_marks(sentence: CitedSentence) -> str:
    marks = "".join(f"[{number}]" for number in sentence.cites)
    return f"{sentence.text} {marks}" if sentence.text else _UNVERIFIED


def _print(answer: Answer, *, streamed: bool) -> None:
    """Print the answer, without its sentences if they were already streamed."""
    if answer.note:
        click.echo(answer.note, err=True)
    if not answer.found:
        click.echo(NOT_FOUND)
    elif not streamed:
        click.echo(" ".join(map(_with_marks, answer.sentences)))
    for citation in answer.citations:
        print_text(_format_citation(citation))
    if answer.conversation:
        click.echo(f"\nTo continue: playhead ask --continue {answer.conversation} …")


def _format_citation(citation: Citation) -> Text:
    where = {"current": citation.timecode or "", "corrected": _CORRECTED, "forgotten": _DELETED}
    text = Text.assemble((f"\n[{citation.number}] {where[citation.state]}", "bold cyan"))
    text.append("  ").append(citation.title or "", "bold")
    if citation.quote:
        text.append(f"\n    “{citation.quote}”")
    if citation.link:
        text.append(f"\n    {citation.link}", "dim")
    return text


def _format_summary(summary: ConversationSummary) -> str:
    turns = f"{summary.turns} question{'s' if summary.turns > 1 else ''}"
    return (
        f"{summary.id}  {summary.begun_at:%Y-%m-%d %H:%M}  {turns}  "
        f"{summary.question or _UNVERIFIED}"
    )


def _format_turn(turn: StoredTurn) -> Text:
    answer = " ".join(map(_with_marks, turn.sentences)) if turn.found else NOT_FOUND
    text = Text(f"{turn.asked_at:%Y-%m-%d %H:%M}  {turn.question or _UNVERIFIED}\n{answer}\n")
    return text.append(Text("\n").join([*map(_format_citation, turn.citations), Text()]))
