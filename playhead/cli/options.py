"""Options and lookups that several commands share."""

from __future__ import annotations

from collections.abc import Iterable

import click

from playhead.core.records import Recording
from playhead.services.context import Services

org_option = click.option("--org", help="Organisation. [default: PLAYHEAD_ORG, else 'default']")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value per line.")


def require_recording(services: Services, org: str | None, name: str) -> Recording:
    """Return the recording by its id or key, or by a unique prefix of either.

    Raises ``NotFound``, also for one of another organisation, and ``AmbiguousName``.
    """
    return services.pipeline.recordings.find(services.require_organisation(org), name)


def recording_ids(services: Services, org: str | None, names: Iterable[str]) -> list[str]:
    """Return the ids of recordings, each once; raises what ``require_recording`` does."""
    found = [require_recording(services, org, name).id for name in names]
    return list(dict.fromkeys(found))
