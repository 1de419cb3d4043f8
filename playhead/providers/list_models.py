"""List the models that a provider offers: one free request, outside any budget."""

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
    """A model that a provider offers.

    ``shutdown_date``: as the provider reports it, or as it was announced; None if no end is known.
    """

    name: str
    ends: date | None


def list_models(settings: Settings, provider: str) -> list[OfferedModel]:
    """Return the provider's models, by name.

    Raises ``ModelUnavailable`` if the settings do not describe the provider, and
    ``ProviderUnavailable`` or ``NotAnOpenAIEndpoint`` if it returned no list.
    """
    try:
        raw = create_client(settings, provider).models.with_raw_response.list()
    except openai.OpenAIError as error:
        raise ProviderUnavailable(
            f"{provider} did not list its models: {error}",
            remedy="Check its base_url and key, and that it runs.",
        ) from error
    rows = json_object(raw.content).get("data")
    models = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    offered = [OfferedModel(str(row["id"]), _shutdown_date(row)) for row in models if row.get("id")]
    if not offered:
        raise NotAnOpenAIEndpoint(
            f"The response of {provider} has no list of models.", remedy="Check its base_url."
        )
    return sorted(offered, key=lambda model: model.name)


def _shutdown_date(row: dict[str, object]) -> date | None:
    value = row.get("shutdown_date")
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return shutdown_date(str(row["id"]))
