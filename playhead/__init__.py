"""How it is used: command line, search, answers, notebooks. Never imports Dagster.

For a notebook: ``playhead.open()`` (docs/notebook.md). Cheap to import: nothing else is, before it
is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from playhead.notebook.library import Library


def open(org: str | None = None, *, home: str | Path | None = None) -> Library:  # noqa: A001
    """One organisation's recordings, by default those of the settings, and of the ``home`` that
    they name. Starts the embedded server where needed. Raises ``NotFound`` for an organisation
    that is not there, and what ``open_rooms`` raises."""
    from playhead.notebook.library import Library

    return Library(org, home=home)
