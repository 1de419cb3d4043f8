"""Local embedders: unit vectors that are correct, reproducible and safe to load concurrently."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file

from playhead.core.errors import InvalidEngineOutput, ModelUnavailable, PermanentError
from playhead.core.packaged_models import minilm_folder
from playhead.core.protocols.embedder import Embedder
from playhead.engines.embedding.minilm import MiniLM
from playhead.engines.embedding.validation import require_unit_rows
from playhead.engines.embedding.wordllama import WordLlama

Array = NDArray[np.float32]

SENTENCES = [
    "And so, my fellow Americans, ask not what your country can do for you.",
    "It was the best of times, it was the worst of times.",
    "Press one to leave a message after the tone.",
    "Le président a parlé pendant une heure de l'économie.",
    "これは日本語の短い文です。",
    "Ну, погоди!",
    "a",
    "Semiconductors " * 40,
]
HARD_TEXTS = ["", " \n\t", "\ud800", "\x00", "a" * 5000, "🎉👩‍👩‍👧‍👦", "[SEP] <s> [UNK]", "e\u0301"]


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> MiniLM:
    return MiniLM(cache=tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def wordllama() -> WordLlama:
    return WordLlama()


@pytest.fixture(params=["minilm", "wordllama"], scope="session")
def embedder(request: pytest.FixtureRequest) -> Embedder:
    embedder_: Embedder = request.getfixturevalue(request.param)
    return embedder_


def compute_reference_vector(tokens: list[int]) -> Array:
    """Return BERT's mean-pooled unit vector, computed in plain float32.

    The forward pass follows Devlin et al. 2019, arXiv:1810.04805; the int8 encoder is compared with
    it.
    """
    folder = minilm_folder()
    weights = load_file(folder / "model.safetensors")
    heads = json.loads((folder / "config.json").read_text())["num_attention_heads"]

    def linear(x: Array, name: str) -> Array:
        return np.asarray(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])

    def norm(x: Array, name: str) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return np.asarray(scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"])

    def by_head(x: Array) -> Array:
        return x.reshape(len(tokens), heads, -1).transpose(1, 0, 2)

    def attention(x: Array, name: str) -> Array:
        query, key, value = (
            by_head(linear(x, f"{name}.self.{part}")) for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = shares / shares.sum(-1, keepdims=True) @ value
        joined = mixed.transpose(1, 0, 2).reshape(len(tokens), -1)
        return norm(x + linear(joined, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    embeddings = (
        weights["embeddings.word_embeddings.weight"][tokens]
        + weights["embeddings.position_embeddings.weight"][: len(tokens)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    x = norm(embeddings, "embeddings.LayerNorm")
    erf = np.vectorize(math.erf)
    for layer in range(6):
        name = f"encoder.layer.{layer}"
        x = attention(x, f"{name}.attention")
        inner = linear(x, f"{name}.intermediate.dense")
        gelu = inner * (1 + erf(inner / math.sqrt(2))) / 2
        x = norm(x + linear(gelu, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    mean = x.mean(0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_minilm_matches_a_float32_reference(minilm: MiniLM, sentence: str) -> None:
    reference = compute_reference_vector(minilm.tokenizer.ids([sentence], special=True)[0])
    assert float(minilm.embed([sentence])[0] @ reference) > 0.985


def test_wordllama_matches_its_own_package(wordllama: WordLlama) -> None:
    import wordllama as package_module

    folder = Path(package_module.__file__).parent
    package = package_module.WordLlama.load(cache_dir=folder, disable_download=True)
    expected: Any = package.embed(SENTENCES, norm=True)
    np.testing.assert_allclose(wordllama.embed(SENTENCES), expected, atol=1e-5)


def test_paraphrase_is_closer_than_another_subject(embedder: Embedder) -> None:
    text, paraphrase, other = embedder.embed(
        [
            "The flight was cancelled because of the storm.",
            "Bad weather stopped our plane from leaving.",
            "She bought three pounds of potatoes at the market.",
        ]
    )
    assert text @ paraphrase > text @ other + 0.1


def test_hard_texts_have_unit_vectors(embedder: Embedder) -> None:
    vectors = embedder.embed(HARD_TEXTS)
    assert vectors.shape == (len(HARD_TEXTS), embedder.dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_no_texts_give_no_rows(embedder: Embedder) -> None:
    assert embedder.embed([]).shape == (0, embedder.dimensions)


def test_vector_depends_only_on_its_text(embedder: Embedder) -> None:
    single = np.concatenate([embedder.embed([text]) for text in SENTENCES])
    batch = embedder.embed(SENTENCES)
    reversed_order = embedder.embed(SENTENCES[::-1])[::-1]
    np.testing.assert_allclose(batch, single, atol=1e-6)
    np.testing.assert_allclose(reversed_order, single, atol=1e-6)


def test_threads_sharing_a_new_embedder_agree(tmp_path: Path, minilm: MiniLM) -> None:
    fresh = MiniLM(cache=tmp_path)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: fresh.embed(SENTENCES[:3]), range(8)))
    for result in results:
        np.testing.assert_allclose(result, minilm.embed(SENTENCES[:3]), atol=1e-6)


def test_text_over_the_window_is_rejected_by_index(embedder: Embedder) -> None:
    window = embedder.window_tokens
    too_long = "word " * (window + 1)
    with pytest.raises(PermanentError, match=rf"Text 1 has .* is {window}\b"):
        embedder.embed(["short", too_long])


def test_last_token_of_a_full_window_counts(minilm: MiniLM) -> None:
    full = "word " * (minilm.window_tokens - 1)
    assert minilm.tokenizer.count(full + "elephant") == minilm.window_tokens
    elephant, market = minilm.embed([full + "elephant", full + "market"])
    assert not np.array_equal(elephant, market)


def test_query_truncated_at_the_window_fits(embedder: Embedder) -> None:
    query = "unbelievably 🎉 naïveté, 東京! " * 3000
    truncated = query[: embedder.tokenizer.offsets(query)[embedder.window_tokens][0]]
    assert embedder.tokenizer.count(truncated) <= embedder.window_tokens
    assert embedder.tokenizer.count(truncated) > embedder.window_tokens - 5
    assert embedder.embed([truncated]).shape == (1, embedder.dimensions)


@settings(deadline=None, max_examples=200)
@given(text=st.text(st.characters(exclude_categories=())))
def test_token_offsets_are_ordered_and_inside_any_text(embedder: Embedder, text: str) -> None:
    offsets = embedder.tokenizer.offsets(text)
    assert len(offsets) == embedder.tokenizer.count(text)
    ends = [0, *(end for _, end in offsets)]
    assert ends == sorted(ends)
    assert all(0 <= start <= end <= len(text) for start, end in offsets)
    assert [start for start, _ in offsets] == sorted(start for start, _ in offsets)


def test_engine_is_named_without_loading_the_model(tmp_path: Path) -> None:
    engine = MiniLM(cache=tmp_path / "models").engine
    assert (engine.name, engine.model) == ("ctranslate2", "all-MiniLM-L6-v2@53aa51172d14")
    assert engine.parameters["quantisation"] == "int8"
    assert not (tmp_path / "models").exists()


def test_interrupted_model_conversion_does_no_harm(tmp_path: Path, minilm: MiniLM) -> None:
    model = "all-minilm-l6-v2@53aa51172d14-int8"
    (tmp_path / f"{model}.partial").mkdir()
    (tmp_path / f"{model}.partial" / "model.bin").write_bytes(b"half of a model")
    (tmp_path / f"{model}.lock").touch()
    vectors = MiniLM(cache=tmp_path).embed(["hello"])
    np.testing.assert_array_equal(vectors, minilm.embed(["hello"]))
    assert sorted(path.name for path in tmp_path.iterdir()) == [model, f"{model}.lock"]


def test_concurrent_model_conversions_both_succeed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from playhead.engines.embedding.minilm import MiniLM; "
        "print(MiniLM(cache=Path(sys.argv[1])).embed(['hello'])[0, :4].tolist())"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert printed[0] == printed[1] != ""


def test_damaged_model_weights_are_reported_with_a_remedy(tmp_path: Path) -> None:
    MiniLM(cache=tmp_path).embed(["hello"])
    (weights,) = tmp_path.glob("*/model.bin")
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelUnavailable, match="damaged") as caught:
        MiniLM(cache=tmp_path).embed(["hello"])
    assert str(weights.parent) in caught.value.remedy


def test_unwritable_model_cache_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelUnavailable, match="cannot be written"):
        MiniLM(cache=tmp_path / "file" / "models").embed(["hello"])


@pytest.mark.parametrize(
    "vectors", [np.zeros((1, 3)), np.full((1, 3), np.nan), np.ones((1, 4)), np.ones(3)]
)
def test_invalid_vectors_are_rejected(vectors: Array) -> None:
    with pytest.raises(InvalidEngineOutput):
        require_unit_rows(vectors.astype(np.float32), dimensions=3)
