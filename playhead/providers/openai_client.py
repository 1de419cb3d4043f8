"""One client a provider: OpenAI's own library, told nothing by the environment and trying nothing
twice, since the wire does (``wire.py``).

Not here: Dagster's resource over it (``resources/dagster_resources.py``), what is asked.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import openai

from playhead.core.errors import ModelUnavailable
from playhead.core.settings import Provider, Settings
from playhead.providers.model_names import missing_setting

OPENAI_URL: Final = "https://api.openai.com/v1"
_NO_KEY: Final = "none"  # the library insists on one; a server of one's own does not look at it

#: Seconds without a byte before an attempt is given up: a piece of sound is heard in far less, and
#: what writes sends as it goes.
_READ_SECONDS: Final = 300.0
_CONNECT_SECONDS: Final = 10.0


def create_client(settings: Settings, name: str) -> openai.OpenAI:
    """The client of the provider that settings have under this name; one for all that ask. Raises
    ``ModelUnavailable`` where there is none, or OpenAI's key is missing."""
    provider = settings.provider(name)
    problem = missing_setting(settings, name)
    if provider is None or problem:
        raise ModelUnavailable(problem or name, remedy="README.md has the table of settings.")
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
