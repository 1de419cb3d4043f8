"""Which models a provider says it has: one free question, outside of any budget."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import openai

from playhead.core.errors import NotAnOpenAIEndpoint, ProviderUnavailable
from playhead.core.model_deprecations import shutdown_date
from playhead.core.settings import Settings
from playhead.providers.openai_client import create_client
from playhead.providers.response_parsing import json_object


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """``ends``: the day it is shut down, as the provider tells, or as it was announced."""

    name: str
    shutdown_date: date | None


def list_models(settings: Settings, provider: str) -> list[OfferedModel]:
    """By name. Raises ``ModelUnavailable`` for a provider that settings do not describe,
    ``ProviderUnavailable`` or ``NotAProvider`` where no list came."""
    try:
        raw = create_client(settings, provider).models.with_raw_response.list()
    except openai.OpenAIError as error:
        raise ProviderUnavailable(
            f"{provider} tells no models: {error}",
            remedy="Check its address and key; see whether it runs.",
        ) from error
    rows = json_object(raw.content).get("data")
    named = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    offered = [OfferedModel(str(row["id"]), _shutdown_date(row)) for row in named if row.get("id")]
    if not offered:
        raise NotAnOpenAIEndpoint(
            f"{provider} answered without a list of models.", remedy="Check its base_url."
        )
    return sorted(offered, key=lambda one: one.name)


def _shutdown_date(row: dict[str, object]) -> date | None:
    said = row.get("shutdown_date")
    try:
        return date.fromisoformat(str(said)[:10])
    except ValueError:
        return shutdown_date(str(row["id"]))
