"""A provider client over a real socket to a scripted server, with its state in a test database."""

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
from tests.support.provider_error_table import HttpAnswer, open_client, send, serve_answers

GOOD = HttpAnswer(200, b'{"object": "chat.completion", "usage": {"prompt_tokens": 10}}')
#: Parses, but adapters reject it.
INVALID = HttpAnswer(
    200, b'{"object": "a lie", "usage": {"prompt_tokens": 7, "completion_tokens": 3}}'
)
USED = Usage(input_tokens=10, output_tokens=5)
AT_MOST = Usage(input_tokens=20, output_tokens=20)
PLENTY = InitialLimits(requests=60_000, tokens=6_000_000)


def cent_per_token(_model: str, used: Usage) -> float:
    return (used.input_tokens + used.output_tokens) / 100


@dataclass
class Script:
    """Answers in order, then ``GOOD``; counts the requests."""

    answers: Sequence[HttpAnswer] = ()
    request_count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, _path: str) -> HttpAnswer:
        with self._lock:
            self.request_count += 1
            number = self.request_count - 1
        return self.answers[number] if number < len(self.answers) else GOOD


@dataclass
class ClientUnderTest:
    """A client, its server's script and its state; ``slept`` has the seconds of each pause."""

    script: Script
    client: openai.OpenAI
    state: ProviderState
    provider_client: LimitedClient
    slept: list[float]

    def call(self, tokens: Usage = AT_MOST) -> str:
        return self.provider_client.execute(ProviderCall("chat", "m", tokens, self._send))

    def _send(self) -> Reply[str]:
        reply = send(self.client, "chat")
        kind = getattr(reply, "object", None)
        if kind != "chat.completion":
            raise InvalidProviderResponse("It lies.", reply=INVALID.body, remedy="Look at it.")
        return Reply(kind, USED)


@contextmanager
def open_provider(
    database: Database,
    *answers: HttpAnswer,
    initial_limits: InitialLimits = PLENTY,
    budget_usd: float | None = None,
    sleep: Callable[[float], None] | None = None,
) -> Iterator[ClientUnderTest]:
    """Yield a server and a client for it, which does not sleep unless ``sleep`` is given."""
    script, slept = Script(answers), list[float]()
    state = ProviderState.of(database, "openai", initial_limits)
    provider_client = LimitedClient(
        "openai",
        lambda: state,
        price_of=cent_per_token,
        budget_usd=budget_usd,
        backoff=Backoff(sleep or slept.append, lambda at_most: at_most / 100),
    )
    with serve_answers(script) as url, open_client(f"{url}/v1") as client:
        yield ClientUnderTest(script, client, state, provider_client, slept)
