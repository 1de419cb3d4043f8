"""The wires of an installation, by the names its settings have for providers, and its batches.

The books have their own door to the database, since engines are made before anything else is
opened and outlive it; it opens at the first call. Not here: which engine has which wire.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from functools import cache, partial
from threading import Lock
from typing import TYPE_CHECKING

from resources.errors import InvalidSettings
from resources.postgres.database import Database
from resources.postgres.databases import app_url
from resources.postgres.deferred import Batch, Deferred
from resources.postgres.pace import Beginning
from resources.providers.capabilities import HAVE_BATCHES, batch_share, pricing
from resources.providers.patient import PatientWire
from resources.providers.wire import Used, Wire
from resources.settings import Provider, Settings

if TYPE_CHECKING:
    from resources.providers.batches import Batches

# OpenAI's library takes most of a second, which engines of this machine should not cost: what needs
# it is imported when it is used.

_OPENING = Lock()  # by the first of several threads


def open_wire(name: str, settings: Settings, price_of: Callable[[str, Used], float]) -> Wire:
    """Raises ``InvalidSettings`` for a provider that settings do not have."""
    from resources.providers.metered import Books, MeteredWire

    provider = settings.provider(name)
    if provider is None:
        raise InvalidSettings(
            f"There is no provider {name!r}.", remedy="Describe it in PLAYHEAD_PROVIDERS."
        )
    beginning = Beginning(provider.requests_a_minute, provider.tokens_a_minute)
    database = cache(lambda: _database(app_url(settings)))
    wire = MeteredWire(
        name,
        cache(lambda: Books.of(database(), name, beginning)),
        price_of=price_of,
        budget_usd=settings.daily_budget_usd,
    )
    if name not in HAVE_BATCHES:
        return wire
    return PatientWire(
        wire,
        lambda: Deferred(database()),
        cost_of=price_of,
        budget_usd=settings.daily_budget_usd,
    )


def open_batches(settings: Settings, deferred: Deferred) -> Batches:
    """Of the providers that take batches and that settings lead to."""
    from resources.providers.batches import Batches
    from resources.providers.client import client_of

    def cost_of(batch: Batch, used: Used) -> float:
        provider = settings.provider(batch.provider) or Provider()
        return pricing(provider)(batch.model, used) * batch_share(batch.provider)

    return Batches(deferred, partial(client_of, settings), HAVE_BATCHES, cost_of=cost_of)


def _database(url: str) -> Database:
    with _OPENING:
        return _opened(url)


@cache
def _opened(url: str) -> Database:
    database = Database(url)
    atexit.register(database.close)
    return database
