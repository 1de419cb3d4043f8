"""Vectors by a provider: within its limits, in the order of the texts, and only if believed."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from playhead.core.errors import InvalidProviderResponse, ModelUnavailable, PermanentError
from playhead.core.protocols.embedder import Embedder
from playhead.core.usage import Usage
from playhead.engines.remote import RemoteEngines
from playhead.providers.model_names import RemoteModel
from tests.support.factories import unit_vectors
from tests.support.provider_servers import PlainWire, Server, Told, told

SMALL = "text-embedding-3-small"
TEXTS = ["one", "two", "three"]


def embedder(
    api: Server,
    model: str = SMALL,
    provider_client: PlainWire | None = None,
    dimensions: int | None = None,
) -> Embedder:
    made = provider_client or PlainWire()
    engines = RemoteEngines(api.settings(made.provider), lambda *_: made)
    return engines.embedder(RemoteModel(made.provider, model, dimensions))


def row(index: Any, vector: Any) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": vector}


def rows(texts: Sequence[str] = TEXTS, dimensions: int = 1536) -> list[dict[str, Any]]:
    return [row(i, vector.tolist()) for i, vector in enumerate(unit_vectors(texts, dimensions))]


def reply(data: Any, tokens: int | None = 7) -> Told:
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return told({"object": "list", "data": data, "model": SMALL, "usage": usage})


def broken(position: int, vector: Any) -> list[dict[str, Any]]:
    """The right rows but for one."""
    return [row(i, vector if i == position else one["embedding"]) for i, one in enumerate(rows())]


@pytest.mark.parametrize(
    "lie",
    [
        reply(rows()[:2]),
        reply([*rows(), row(3, rows()[0]["embedding"])]),
        reply([rows()[0], rows()[0], rows()[2]]),
        reply([row(i + 1, one["embedding"]) for i, one in enumerate(rows())]),
        reply([row(None, one["embedding"]) for one in rows()]),
        reply([row([0], one["embedding"]) for one in rows()]),
        reply(broken(1, [float("nan")] * 1536)),
        reply(broken(1, [0.0] * 1536)),
        reply(broken(1, [0.5] * 1536)),
        reply(broken(1, [1.0])),
        reply(broken(1, None)),
        reply(broken(1, [])),
        reply(broken(1, "no base64")),
        reply(broken(1, [[1.0]] * 1536)),
        reply(rows(dimensions=1024)),
        reply(None),
        reply([1, 2, 3]),
        told({}),
        Told(b'{"data": ['),
        Told(b"<!doctype html>", kind="text/html"),
    ],
)
def test_vectors_that_cannot_be_right_are_not_believed(api: Server, lie: Told) -> None:
    api.replies = [lie]
    with pytest.raises(InvalidProviderResponse) as caught:
        embedder(api).embed(TEXTS)
    assert caught.value.reply == lie.body


def test_vectors_in_another_order_go_to_their_texts(api: Server) -> None:
    api.replies = [reply([*reversed(rows())])]
    np.testing.assert_allclose(embedder(api).embed(TEXTS), unit_vectors(TEXTS, 1536), atol=1e-6)


def test_vectors_are_taken_as_base64_bit_by_bit(api: Server) -> None:
    wanted = unit_vectors(TEXTS, 1536)
    packed = [row(i, base64.b64encode(one.tobytes()).decode()) for i, one in enumerate(wanted)]
    api.replies = [reply(packed)]
    np.testing.assert_allclose(embedder(api).embed(TEXTS), wanted, atol=1e-7)
    assert api.asked[0].json["encoding_format"] == "base64"


def test_vectors_of_nearly_unit_length_are_made_so(api: Server) -> None:
    api.replies = [reply([row(i, (1.004 * v).tolist()) for i, v in enumerate(_units())])]
    lengths = np.linalg.norm(embedder(api).embed(TEXTS), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-6)


def _units() -> np.ndarray[Any, np.dtype[np.float32]]:
    return unit_vectors(TEXTS, 1536)


def test_no_text_asks_nobody(api: Server) -> None:
    assert embedder(api).embed([]).shape == (0, 1536)
    assert api.asked == []


def test_a_text_beyond_the_window_is_refused_before_anything_is_sent(api: Server) -> None:
    with pytest.raises(PermanentError, match="8193 tokens"):
        embedder(api).embed(["a", " a" * 8_193])
    assert api.asked == []


def test_blank_texts_and_broken_characters_are_sent_as_what_is_taken(api: Server) -> None:
    api.replies = [reply(rows())]
    assert embedder(api).embed(["", " ", "a\ud800"]).shape == (3, 1536)
    assert api.asked[0].json["input"] == [" ", " ", "a�"]


def test_many_texts_are_several_full_requests_in_order(api: Server) -> None:
    texts = [f"text {i}" for i in range(4_100)]
    api.replies = [
        reply([row(i, [1.0, float(i)]) for i in range(2_048)]),
        reply([row(i, [2.0, float(i)]) for i in range(2_048)]),
        reply([row(i, [3.0, float(i)]) for i in range(4)]),
    ]
    own = embedder(api, "nomic", PlainWire("ollama"))
    assert [len(one) for one in own.batches(texts)] == [2_048, 2_048, 4]
    vectors = own.embed(texts)
    assert [one.json["input"][0] for one in api.asked] == ["text 0", "text 2048", "text 4096"]
    assert vectors.shape == (4_100, 2)
    assert vectors[2_048] == pytest.approx([1.0, 0.0])
    assert vectors[4_099] == pytest.approx(np.array([3, 3]) / np.sqrt(18))


def test_fewer_dimensions_are_asked_for_and_are_another_engine(api: Server) -> None:
    api.replies = [reply(rows(dimensions=512))]
    short = embedder(api, dimensions=512)
    assert (short.embed(TEXTS).shape, short.dimensions) == ((3, 512), 512)
    assert api.asked[0].json["dimensions"] == 512
    assert short.engine != embedder(api).engine


def test_all_dimensions_are_not_asked_for_by_number(api: Server) -> None:
    api.replies = [reply(rows())]
    embedder(api).embed(TEXTS)
    assert "dimensions" not in api.asked[0].json


def test_a_server_that_cannot_shorten_is_asked_without_and_then_named_as_it_is(
    api: Server,
) -> None:
    refused = told({"error": {"message": "dimensions is not supported"}}, 400)
    api.replies = [refused, refused, reply(rows(dimensions=768))]
    with pytest.raises(ModelUnavailable, match="gives 768 dimensions, not 512"):
        embedder(api, "nomic", PlainWire("ollama"), dimensions=512).embed(TEXTS)
    assert ["dimensions" in one.json for one in api.asked] == [True, True, False]


def test_a_server_that_knows_no_base64_is_asked_for_numbers_from_then_on(api: Server) -> None:
    refused = told({"error": {"message": "encoding_format must be float"}}, 422)
    api.replies = [refused, reply(rows(dimensions=8))]
    own = embedder(api, "nomic", PlainWire("ollama"))
    own.embed(TEXTS)
    own.embed(TEXTS)
    asked = [one.json["encoding_format"] for one in api.asked]
    assert asked == ["base64", "float", "float"]


def test_a_server_of_ones_own_may_leave_the_length_to_us(api: Server) -> None:
    api.replies = [reply([row(i, [3.0, 4.0]) for i in range(3)])]
    vectors = embedder(api, "nomic", PlainWire("ollama")).embed(TEXTS)
    assert vectors[0] == pytest.approx([0.6, 0.8])


def test_an_unknown_model_is_asked_once_for_its_dimensions_on_an_errand_of_its_own(
    api: Server,
) -> None:
    api.replies = [reply([row(0, [0.0, 1.0, 0.0])])]
    own = embedder(api, "nomic", PlainWire("ollama", errands=True))
    assert own.dimensions == 3
    assert own.dimensions == 3
    assert len(api.asked) == 1


def test_an_unknown_model_gets_texts_that_fit_the_least_window_in_use(api: Server) -> None:
    assert embedder(api, "nomic", PlainWire("ollama")).window_tokens == 256


def test_what_was_used_is_what_the_reply_tells_and_else_what_was_counted(api: Server) -> None:
    provider_client = PlainWire()
    api.replies = [reply(rows(), tokens=9), reply(rows(), tokens=None)]
    known = embedder(api, provider_client=provider_client)
    known.embed(TEXTS)
    known.embed(TEXTS)
    assert provider_client.used == [Usage(9), Usage(3)]
    assert [one.max_usage for one in provider_client.asked] == [Usage(3), Usage(3)]
