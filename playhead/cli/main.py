"""The command ``playhead``: groups all commands and formats errors.

Exit codes: 0 success, 1 failure, 2 invalid usage.
"""

from __future__ import annotations

import click

from playhead.cli.access import members, orgs, tokens
from playhead.cli.ask import ask, conversations
from playhead.cli.corrections import correct, speakers, versions
from playhead.cli.database import migrate, stop
from playhead.cli.doctor import doctor
from playhead.cli.engines import engines
from playhead.cli.exec_pipeline import plan
from playhead.cli.exports import clip, document, transcript
from playhead.cli.ingest import add, process, retry
from playhead.cli.inspect import list_recordings, show, status
from playhead.cli.lifecycle import archive, delete, forget, unarchive
from playhead.cli.models import models
from playhead.cli.output import report_error
from playhead.cli.search import search
from playhead.cli.spend import quarantine, spend
from playhead.core.errors import PlayheadError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="playhead")
def playhead() -> None:
    """Search and question recordings; every result links to the second where it was said."""


for command in (
    add,
    process,
    list_recordings,
    status,
    show,
    search,
    ask,
    conversations,
    retry,
    transcript,
    document,
    clip,
    correct,
    versions,
    speakers,
    plan,
    models,
    engines,
    spend,
    quarantine,
    orgs,
    members,
    tokens,
    archive,
    unarchive,
    delete,
    forget,
    doctor,
    migrate,
    stop,
):
    playhead.add_command(command)


def main() -> None:
    try:
        playhead()
    except PlayheadError as error:
        report_error(error)
