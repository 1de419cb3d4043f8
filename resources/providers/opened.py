"""The wires of an installation, by the names its settings have for providers.

The books have their own door to the database, since engines are made before anything else is
opened and outlive it; it opens at the first call. Not here: which engine has which wire.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from functools import cache
from threading import Lock

from resources.errors import InvalidSettings
from resources.postgres.database import Database
from resources.postgres.databases import app_url
from resources.postgres.pace import Beginning
from resources.providers.wire import Used, Wire
from resources.settings import Settings

_OPENING = Lock()  # by the first of several threads


def open_wire(name: str, settings: Settings, price_of: Callable[[str, Used], float]) -> Wire:
    """Raises ``InvalidSettings`` for a provider that settings do not have."""
    # OpenAI's library takes most of a second, which engines of this machine should not cost.
    from resources.providers.metered import Books, MeteredWire

    provider = settings.provider(name)
    if provider is None:
        raise InvalidSettings(
            f"There is no provider {name!r}.", remedy="Describe it in PLAYHEAD_PROVIDERS."
        )
    beginning = Beginning(provider.requests_a_minute, provider.tokens_a_minute)
    return MeteredWire(
        name,
        cache(lambda: Books.of(_database(app_url(settings)), name, beginning)),
        price_of=price_of,
        budget_usd=settings.daily_budget_usd,
    )


def _database(url: str) -> Database:
    with _OPENING:
        return _opened(url)


@cache
def _opened(url: str) -> Database:
    database = Database(url)
    atexit.register(database.close)
    return database
