"""Vectors by a provider: within its limits, in the order of the texts, and only if valid."""

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
from tests.support.provider_servers import FakeProvider, PlainClient, ServerReply, json_reply

SMALL = "text-embedding-3-small"
TEXTS = ["one", "two", "three"]


def make_embedder(
    api: FakeProvider,
    model: str = SMALL,
    provider_client: PlainClient | None = None,
    dimensions: int | None = None,
) -> Embedder:
    client = provider_client or PlainClient()
    engines = RemoteEngines(api.settings(client.provider), lambda *_: client)
    return engines.embedder(RemoteModel(client.provider, model, dimensions))


def make_row(index: Any, vector: Any) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": vector}


def make_rows(texts: Sequence[str] = TEXTS, dimensions: int = 1536) -> list[dict[str, Any]]:
    return [
        make_row(i, vector.tolist()) for i, vector in enumerate(unit_vectors(texts, dimensions))
    ]


def make_reply(data: Any, tokens: int | None = 7) -> ServerReply:
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_reply({"object": "list", "data": data, "model": SMALL, "usage": usage})


def replace_vector(position: int, vector: Any) -> list[dict[str, Any]]:
    """Return the correct rows with one vector replaced."""
    return [
        make_row(i, vector if i == position else item["embedding"])
        for i, item in enumerate(make_rows())
    ]


@pytest.mark.parametrize(
    "reply",
    [
        make_reply(make_rows()[:2]),
        make_reply([*make_rows(), make_row(3, make_rows()[0]["embedding"])]),
        make_reply([make_rows()[0], make_rows()[0], make_rows()[2]]),
        make_reply([make_row(i + 1, item["embedding"]) for i, item in enumerate(make_rows())]),
        make_reply([make_row(None, item["embedding"]) for item in make_rows()]),
        make_reply([make_row([0], item["embedding"]) for item in make_rows()]),
        make_reply(replace_vector(1, [float("nan")] * 1536)),
        make_reply(replace_vector(1, [0.0] * 1536)),
        make_reply(replace_vector(1, [0.5] * 1536)),
        make_reply(replace_vector(1, [1.0])),
        make_reply(replace_vector(1, None)),
        make_reply(replace_vector(1, [])),
        make_reply(replace_vector(1, "no base64")),
        make_reply(replace_vector(1, [[1.0]] * 1536)),
        make_reply(make_rows(dimensions=1024)),
        make_reply(None),
        make_reply([1, 2, 3]),
        json_reply({}),
        ServerReply(b'{"data": ['),
        ServerReply(b"<!doctype html>", kind="text/html"),
    ],
)
def test_invalid_vectors_are_rejected(api: FakeProvider, reply: ServerReply) -> None:
    api.replies = [reply]
    with pytest.raises(InvalidProviderResponse) as caught:
        make_embedder(api).embed(TEXTS)
    assert caught.value.reply == reply.body


def test_vectors_in_another_order_are_assigned_to_their_texts(api: FakeProvider) -> None:
    api.replies = [make_reply([*reversed(make_rows())])]
    np.testing.assert_allclose(
        make_embedder(api).embed(TEXTS), unit_vectors(TEXTS, 1536), atol=1e-6
    )


def test_vectors_are_read_exactly_from_base64(api: FakeProvider) -> None:
    expected = unit_vectors(TEXTS, 1536)
    packed = [
        make_row(i, base64.b64encode(vector.tobytes()).decode())
        for i, vector in enumerate(expected)
    ]
    api.replies = [make_reply(packed)]
    np.testing.assert_allclose(make_embedder(api).embed(TEXTS), expected, atol=1e-7)
    assert api.requests[0].json["encoding_format"] == "base64"


def test_vectors_of_nearly_unit_length_are_normalized(api: FakeProvider) -> None:
    api.replies = [make_reply([make_row(i, (1.004 * v).tolist()) for i, v in enumerate(_units())])]
    lengths = np.linalg.norm(make_embedder(api).embed(TEXTS), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-6)


def _units() -> np.ndarray[Any, np.dtype[np.float32]]:
    return unit_vectors(TEXTS, 1536)


def test_no_texts_need_no_request(api: FakeProvider) -> None:
    assert make_embedder(api).embed([]).shape == (0, 1536)
    assert api.requests == []


def test_text_over_the_window_is_rejected_before_sending(api: FakeProvider) -> None:
    with pytest.raises(PermanentError, match="8193 tokens"):
        make_embedder(api).embed(["a", " a" * 8_193])
    assert api.requests == []


def test_blank_texts_and_invalid_characters_are_replaced(api: FakeProvider) -> None:
    api.replies = [make_reply(make_rows())]
    assert make_embedder(api).embed(["", " ", "a\ud800"]).shape == (3, 1536)
    assert api.requests[0].json["input"] == [" ", " ", "a�"]


def test_many_texts_are_sent_in_full_requests_in_order(api: FakeProvider) -> None:
    texts = [f"text {i}" for i in range(4_100)]
    api.replies = [
        make_reply([make_row(i, [1.0, float(i)]) for i in range(2_048)]),
        make_reply([make_row(i, [2.0, float(i)]) for i in range(2_048)]),
        make_reply([make_row(i, [3.0, float(i)]) for i in range(4)]),
    ]
    remote = make_embedder(api, "nomic", PlainClient("ollama"))
    assert [len(batch) for batch in remote.batches(texts)] == [2_048, 2_048, 4]
    vectors = remote.embed(texts)
    assert [request.json["input"][0] for request in api.requests] == [
        "text 0",
        "text 2048",
        "text 4096",
    ]
    assert vectors.shape == (4_100, 2)
    assert vectors[2_048] == pytest.approx([1.0, 0.0])
    assert vectors[4_099] == pytest.approx(np.array([3, 3]) / np.sqrt(18))


def test_fewer_dimensions_are_requested_and_are_another_engine(api: FakeProvider) -> None:
    api.replies = [make_reply(make_rows(dimensions=512))]
    short = make_embedder(api, dimensions=512)
    assert (short.embed(TEXTS).shape, short.dimensions) == ((3, 512), 512)
    assert api.requests[0].json["dimensions"] == 512
    assert short.engine != make_embedder(api).engine


def test_default_dimensions_are_not_requested(api: FakeProvider) -> None:
    api.replies = [make_reply(make_rows())]
    make_embedder(api).embed(TEXTS)
    assert "dimensions" not in api.requests[0].json


def test_server_that_cannot_shorten_vectors_is_reported(
    api: FakeProvider,
) -> None:
    refused = json_reply({"error": {"message": "dimensions is not supported"}}, 400)
    api.replies = [refused, refused, make_reply(make_rows(dimensions=768))]
    with pytest.raises(ModelUnavailable, match="returned 768 dimensions, not 512"):
        make_embedder(api, "nomic", PlainClient("ollama"), dimensions=512).embed(TEXTS)
    assert ["dimensions" in request.json for request in api.requests] == [True, True, False]


def test_server_without_base64_is_sent_float_format_from_then_on(api: FakeProvider) -> None:
    refused = json_reply({"error": {"message": "encoding_format must be float"}}, 422)
    api.replies = [refused, make_reply(make_rows(dimensions=8))]
    remote = make_embedder(api, "nomic", PlainClient("ollama"))
    remote.embed(TEXTS)
    remote.embed(TEXTS)
    formats = [request.json["encoding_format"] for request in api.requests]
    assert formats == ["base64", "float", "float"]


def test_vectors_of_own_server_are_normalized(api: FakeProvider) -> None:
    api.replies = [make_reply([make_row(i, [3.0, 4.0]) for i in range(3)])]
    vectors = make_embedder(api, "nomic", PlainClient("ollama")).embed(TEXTS)
    assert vectors[0] == pytest.approx([0.6, 0.8])


def test_dimensions_of_an_unknown_model_are_requested_once(
    api: FakeProvider,
) -> None:
    api.replies = [make_reply([make_row(0, [0.0, 1.0, 0.0])])]
    remote = make_embedder(api, "nomic", PlainClient("ollama", needs_context=True))
    assert remote.dimensions == 3
    assert remote.dimensions == 3
    assert len(api.requests) == 1


def test_unknown_model_has_the_minimum_window(api: FakeProvider) -> None:
    assert make_embedder(api, "nomic", PlainClient("ollama")).window_tokens == 256


def test_usage_is_taken_from_the_reply_or_counted(api: FakeProvider) -> None:
    provider_client = PlainClient()
    api.replies = [make_reply(make_rows(), tokens=9), make_reply(make_rows(), tokens=None)]
    embedder = make_embedder(api, provider_client=provider_client)
    embedder.embed(TEXTS)
    embedder.embed(TEXTS)
    assert provider_client.usages == [Usage(9), Usage(3)]
    assert [call.max_usage for call in provider_client.calls] == [Usage(3), Usage(3)]
