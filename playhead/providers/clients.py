"""Create the provider clients and the Batch API of the providers in the settings.

The shared state (spend, limits) has its own database connection, because engines are created before
anything else is opened and outlive it. It is opened at the first call.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from functools import cache, partial
from threading import Lock
from typing import TYPE_CHECKING

from playhead.core.errors import InvalidSettings
from playhead.core.settings import Provider, Settings
from playhead.core.usage import Usage
from playhead.postgres.database import Database
from playhead.postgres.database_urls import app_url
from playhead.postgres.provider_use.batch_queue import Batch, BatchQueue
from playhead.postgres.provider_use.rate_limits import InitialLimits
from playhead.providers.batching_client import BatchingClient
from playhead.providers.client_protocol import ProviderClient
from playhead.providers.model_catalog import BATCH_PROVIDERS, batch_discount, pricing

if TYPE_CHECKING:
    from playhead.providers.batch_api import BatchApi

# Importing OpenAI's library takes most of a second, which local engines do not need: modules that
# use it are imported inside functions.

_OPEN_LOCK = Lock()  # one of several threads opens the database


def open_client(
    name: str, settings: Settings, price_of: Callable[[str, Usage], float]
) -> ProviderClient:
    """Return a client of the provider with this name.

    Raises ``InvalidSettings`` if the settings have no such provider.
    """
    from playhead.providers.limited_client import LimitedClient, ProviderState

    provider = settings.provider(name)
    if provider is None:
        raise InvalidSettings(
            f"No such provider: {name!r}.", remedy="Add it to PLAYHEAD_PROVIDERS."
        )
    initial_limits = InitialLimits(provider.requests_per_minute, provider.tokens_per_minute)
    database = cache(lambda: _database(app_url(settings)))
    provider_client = LimitedClient(
        name,
        cache(lambda: ProviderState.of(database(), name, initial_limits)),
        price_of=price_of,
        budget_usd=settings.daily_budget_usd,
    )
    if name not in BATCH_PROVIDERS:
        return provider_client
    return BatchingClient(
        provider_client,
        lambda: BatchQueue(database()),
        cost_of=price_of,
        budget_usd=settings.daily_budget_usd,
    )


def open_batch_api(settings: Settings, queue: BatchQueue) -> BatchApi:
    """Return the Batch API of the providers that have one."""
    from playhead.providers.batch_api import BatchApi
    from playhead.providers.openai_client import create_client

    def cost_of(batch: Batch, used: Usage) -> float:
        provider = settings.provider(batch.provider) or Provider()
        return pricing(provider)(batch.model, used) * batch_discount(batch.provider)

    return BatchApi(queue, partial(create_client, settings), BATCH_PROVIDERS, cost_of=cost_of)


def _database(url: str) -> Database:
    with _OPEN_LOCK:
        return _open_database(url)


@cache
def _open_database(url: str) -> Database:
    database = Database(url)
    atexit.register(database.close)
    return database
