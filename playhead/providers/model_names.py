"""Names of remote engines in the settings: ``<provider>:<model>``.

Examples: ``openai:gpt-transcribe``, ``ollama:llama3:8b``. An embedder may add the dimensions to
shorten its vectors to: ``openai:text-embedding-3-large@1024``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from playhead.core.settings import Settings

_NAME: Final = re.compile(
    r"(?P<provider>[a-z0-9][a-z0-9_-]*):(?P<model>.+?)(@(?P<dimensions>[1-9]\d*))?"
)


@dataclass(frozen=True, slots=True)
class RemoteModel:
    provider: str
    model: str
    dimensions: int | None = None


def parse_remote_model(name: str) -> RemoteModel | None:
    """Parse the name of a remote model; return None for any other name."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    dimensions = found["dimensions"]
    return RemoteModel(found["provider"], found["model"], int(dimensions) if dimensions else None)


def missing_setting(settings: Settings, provider: str) -> str | None:
    """Return which setting is missing to reach this provider, or None."""
    found = settings.provider(provider)
    if found is None:
        return f"PLAYHEAD_PROVIDERS has no {provider!r}."
    if found.base_url is None and found.api_key is None:
        return (
            "OPENAI_API_KEY is not set."
            if provider == "openai"
            else f"PLAYHEAD_PROVIDERS.{provider} has neither base_url nor api_key."
        )
    return None
