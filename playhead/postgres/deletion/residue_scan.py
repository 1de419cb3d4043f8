"""Scans for texts that should be gone: every text column of a database, every byte of files.

It proves a deletion, so it relies on nothing that the deletion used: no list of tables, no
knowledge of what is stored where.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from playhead.postgres.database import queries, unavailable

_SQL = queries("residue_scan")

#: Tables with the opaque ids of deleted recordings: ours, and the one in Dagster's database.
TOMBSTONES = ("deleted_recordings", "playhead_forgotten")


@dataclass(slots=True)
class ScanReport:
    """What was scanned, and where something was ``found``."""

    columns: int = 0
    files: int = 0
    file_bytes: int = 0
    found: list[str] = field(default_factory=list)


def written_forms(words: Sequence[str]) -> list[str]:
    """Return the words as plain text, as JSON, and as JSON within JSON."""
    written = dict.fromkeys(words)
    for word in words:
        as_json = json.dumps(word)[1:-1]
        written |= dict.fromkeys([as_json, json.dumps(as_json)[1:-1]])
    return list(written)


def scan_database(report: ScanReport, url: str, needles: Sequence[str]) -> None:
    """Scan every column of text, JSON, ids or bytes of every table."""
    try:
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            columns = connection.execute(
                _SQL["text_columns"], {"besides": list(TOMBSTONES)}
            ).fetchall()
            for row in columns:
                report.columns += 1
                name = "holds_as_bytes" if row["bytes"] else "holds"
                holds = sql.SQL(_SQL[name].decode()).format(
                    table=sql.Identifier(row["table"]), column=sql.Identifier(row["column"])
                )
                answer = connection.execute(holds, {"needles": list(needles)}).fetchone()
                if answer and answer["holds"]:
                    report.found.append(f"{connection.info.dbname}: {row['table']}.{row['column']}")
    except psycopg.OperationalError as error:
        raise unavailable(error) from error


def scan_files(
    report: ScanReport, folder: Path, needles: Sequence[str], excluded: Sequence[Path]
) -> None:
    """Scan every file's name and bytes, except below ``excluded``."""
    encoded = [needle.encode() for needle in needles]
    for path in _files(folder, excluded):
        report.files += 1
        if any(needle in path.name for needle in needles) or _contains(report, path, encoded):
            report.found.append(str(path))


def scan_names(report: ScanReport, names: Iterable[str], needles: Sequence[str]) -> None:
    """Scan names only, for files whose bytes hold no text."""
    for name in names:
        report.files += 1
        if any(needle in PurePath(name).name for needle in needles):
            report.found.append(name)


def _files(folder: Path, excluded: Sequence[Path]) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(path.is_relative_to(other) for other in excluded):
            yield path


def _contains(report: ScanReport, path: Path, needles: Sequence[bytes]) -> bool:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            report.file_bytes += len(view)
            return any(view.find(needle) >= 0 for needle in needles)
    except (ValueError, FileNotFoundError):  # the file is empty, or was deleted meanwhile
        return False
