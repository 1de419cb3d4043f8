"""No file uses a name or word that was retired (``tests/support/vocabulary.py``)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.vocabulary import RETIRED_NAMES, retired_in

_ROOT = Path(__file__).parents[2]
#: The list itself, the record of renamed things, and texts that others wrote.
_EXEMPT = ("tests/support/vocabulary.py", "CHANGELOG.md", "benchmarks/retrieval/sets/")


def tracked_texts() -> list[str]:
    """Return the names of all tracked files that have text of ours."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=_ROOT, check=True, capture_output=True, text=True
    )
    names = listed.stdout.split("\0")[:-1]
    return [name for name in names if not name.startswith(_EXEMPT) and (_ROOT / name).is_file()]


def test_no_tracked_file_uses_a_retired_word() -> None:
    found = {}
    for name in tracked_texts():
        content = (_ROOT / name).read_bytes()
        if b"\0" not in content and (words := retired_in(content.decode())):
            found[name] = words

    assert found == {}


@pytest.mark.parametrize("name", sorted(RETIRED_NAMES))
def test_retired_name_is_found_as_a_whole_word(name: str) -> None:
    assert name in retired_in(f"the {name} class")
    assert name not in retired_in(f"the {name}2 class")
