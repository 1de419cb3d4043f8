"""A wire over a real socket to a server that answers by a script, with its books in a test's
database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import openai

from playhead.core.errors import InvalidProviderResponse
from playhead.core.usage import Usage
from playhead.postgres.database import Database
from playhead.postgres.provider_use.rate_limits import InitialLimits
from playhead.providers.client_protocol import ProviderCall, Reply
from playhead.providers.limited_client import Backoff, LimitedClient, ProviderState
from tests.support.provider_error_table import Answer, client_of, send, serving

GOOD = Answer(200, b'{"object": "chat.completion", "usage": {"prompt_tokens": 10}}')
#: One that an adapter does not believe, though it parses.
LIE = Answer(200, b'{"object": "a lie", "usage": {"prompt_tokens": 7, "completion_tokens": 3}}')
USED = Usage(input_tokens=10, output_tokens=5)
AT_MOST = Usage(input_tokens=20, output_tokens=20)
PLENTY = InitialLimits(requests=60_000, tokens=6_000_000)


def a_cent_a_token(_model: str, used: Usage) -> float:
    return (used.input_tokens + used.output_tokens) / 100


@dataclass
class Script:
    """Answers in their order, then ``GOOD``; ``asked``: how many requests came."""

    answers: Sequence[Answer] = ()
    asked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, _path: str) -> Answer:
        with self._lock:
            self.asked += 1
            number = self.asked - 1
        return self.answers[number] if number < len(self.answers) else GOOD


@dataclass
class Provider:
    """``slept``: seconds the wire would have slept."""

    script: Script
    client: openai.OpenAI
    books: ProviderState
    provider_client: LimitedClient
    slept: list[float]

    def ask(self, tokens: Usage = AT_MOST) -> str:
        return self.provider_client.execute(ProviderCall("chat", "m", tokens, self._send))

    def _send(self) -> Reply[str]:
        reply = send(self.client, "chat")
        said = getattr(reply, "object", None)
        if said != "chat.completion":
            raise InvalidProviderResponse("It lies.", reply=LIE.body, remedy="Look at it.")
        return Reply(said, USED)


@contextmanager
def provider(
    database: Database,
    *answers: Answer,
    beginning: InitialLimits = PLENTY,
    budget_usd: float | None = None,
    sleep: Callable[[float], None] | None = None,
) -> Iterator[Provider]:
    """A server and a wire to it, which does not sleep unless it is told how."""
    script, slept = Script(answers), list[float]()
    books = ProviderState.of(database, "openai", beginning)
    provider_client = LimitedClient(
        "openai",
        lambda: books,
        price_of=a_cent_a_token,
        budget_usd=budget_usd,
        waiting=Backoff(sleep or slept.append, lambda at_most: at_most / 100),
    )
    with serving(script) as url, client_of(f"{url}/v1") as client:
        yield Provider(script, client, books, provider_client, slept)
