"""Output of the commands: rows as a table, as text or as JSON lines, and errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from playhead.core.errors import AmbiguousName, PlayheadError
from playhead.core.json_lines import json_line

#: Characters per line of a table that is not printed to a terminal, so that a program that reads
#: the output gets one line per row.
PIPE_WIDTH = 200

_Row = TypeVar("_Row")


@dataclass(frozen=True)  # slots would break `Column[Row](…)` in Python 3.11
class Column(Generic[_Row]):
    """A column of a table. ``numeric`` columns are aligned right; ``no_wrap`` keeps one line."""

    title: str
    value: Callable[[_Row], object]
    numeric: bool = False
    no_wrap: bool = False


def emit(
    rows: Iterable[_Row],
    *,
    as_json: bool,
    columns: Sequence[Column[_Row]] = (),
    text: Callable[[_Row], RenderableType] = str,
    json: Callable[[_Row], Any] = lambda row: row,
    empty: str | None = None,
) -> None:
    """Print the rows of a command: as JSON lines, or as a table or text for people.

    ``json`` returns the JSON value of a row. Without ``columns``, ``text`` returns what is printed
    for a row. ``empty`` is printed for people if there are no rows.
    """
    if as_json:
        for row in rows:
            print_json(json(row))
        return
    rows = list(rows)
    if columns and rows:
        _print_table(columns, rows)
    else:
        for row in rows:
            print_text(text(row))
    if not rows and empty is not None:
        click.echo(empty)


def print_json(value: Any) -> None:
    """Print any value as one line of JSON."""
    click.echo(json_line(value))


def print_text(text: RenderableType) -> None:
    """Print text with its styles, without wrapping it; markup in it has no meaning."""
    Console(soft_wrap=True, markup=False, highlight=False, emoji=False).print(text)


def report_error(error: PlayheadError) -> NoReturn:
    """Print the error and its remedy to stderr, and exit with the code of its class.

    The code is 2 for an ambiguous name, as for other invalid usage, and otherwise 1.
    """
    click.echo(f"Error: {error}\n{error.remedy}", err=True)
    sys.exit(2 if isinstance(error, AmbiguousName) else 1)


def print_renamed(old: str, new: str) -> None:
    """Print to stderr that a command or option has a new name."""
    click.echo(f"`playhead {old}` is now `playhead {new}`.", err=True)


def _print_table(columns: Sequence[Column[_Row]], rows: Sequence[_Row]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.numeric else "left",
            overflow="fold",
            no_wrap=column.no_wrap,
        )
    for row in rows:
        table.add_row(*(Text(str(column.value(row))) for column in columns))
    console = Console()
    Console(width=None if console.is_terminal else PIPE_WIDTH).print(table)
