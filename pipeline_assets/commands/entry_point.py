"""Entry point of the commands: reports Playhead's errors like the command line does."""

from __future__ import annotations

from collections.abc import Callable

from playhead.cli.output import report_error
from playhead.core.errors import PlayheadError


def run(main: Callable[[], None]) -> None:
    """Run a command. Prints a ``PlayheadError`` with its remedy and exits with its code."""
    try:
        main()
    except PlayheadError as error:
        report_error(error)
