"""One OpenAI client per provider.

It reads nothing from the environment and does not retry, since ``limited_client.py`` does.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import openai

from playhead.core.errors import ModelUnavailable
from playhead.core.settings import Provider, Settings
from playhead.providers.model_names import missing_setting

OPENAI_URL: Final = "https://api.openai.com/v1"
_NO_KEY: Final = "none"  # the library requires a key; local servers ignore it

#: Read timeout without a byte: a piece of audio is transcribed in less, and text models stream.
_READ_SECONDS: Final = 300.0
_CONNECT_SECONDS: Final = 10.0


def create_client(settings: Settings, name: str) -> openai.OpenAI:
    """Return the client of the provider with this name; callers share it.

    Raises ``ModelUnavailable`` if the settings have no such provider or OpenAI's key is missing.
    """
    provider = settings.provider(name)
    problem = missing_setting(settings, name)
    if provider is None or problem:
        raise ModelUnavailable(problem or name, remedy="docs/settings.md lists all settings.")
    return _client(provider)


@cache
def _client(provider: Provider) -> openai.OpenAI:
    key = provider.api_key
    return openai.OpenAI(
        api_key=key.get_secret_value() if key else _NO_KEY,
        base_url=provider.base_url or OPENAI_URL,
        timeout=openai.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
        max_retries=0,
    )
