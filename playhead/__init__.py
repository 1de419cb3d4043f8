"""The library: recordings become searchable knowledge that points back at its source.

``playhead.open()`` is all that a notebook or script needs (docs/notebook.md). Importing this
package is cheap; it never imports Dagster, and loads everything else on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from playhead.core.errors import NotFound, PlayheadError
    from playhead.core.records import SearchFilter
    from playhead.notebook.library import Library

__all__ = ["Library", "NotFound", "PlayheadError", "SearchFilter", "open"]

_MODULES = {
    "Library": "playhead.notebook.library",
    "NotFound": "playhead.core.errors",
    "PlayheadError": "playhead.core.errors",
    "SearchFilter": "playhead.core.records",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(_MODULES[name]), name)


def open(org: str | None = None, *, home: str | Path | None = None) -> Library:  # noqa: A001
    """Open one organisation's recordings for search, questions and analysis.

    Without ``org`` and ``home``, those of the settings. Starts the embedded server if needed.
    Raises ``NotFound`` for an unknown organisation, and the errors of ``open_services``.
    """
    from playhead.notebook.library import Library

    return Library(org, home=home)
