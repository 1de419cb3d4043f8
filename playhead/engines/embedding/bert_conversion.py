"""Convert BERT weights (safetensors, Hugging Face layout) to a CTranslate2 encoder folder.

The conversion runs once, however many processes request it and even if some of them are killed. The
layout is that of ``ctranslate2.converters.transformers.BertLoader``.

Why our own: that loader needs transformers, which needs torch, for a conversion that runs once.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ctranslate2.specs import common_spec, transformer_spec
from numpy.typing import NDArray
from safetensors.numpy import load_file

Weights = Mapping[str, NDArray[np.float32]]


def convert_once(source: Path, folder: Path, *, quantisation: str) -> None:
    """Create ``folder`` for ``ctranslate2.Encoder`` from ``source``, unless it exists.

    ``source`` has ``config.json``, ``model.safetensors`` and ``tokenizer.json``. The folder gets
    its name only when it is complete; a second process waits for the first. Raises ``OSError`` if
    it cannot be written.
    """
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _convert(source, folder, quantisation)


def _convert(source: Path, folder: Path, quantisation: str) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a killed conversion
    partial.mkdir()
    spec = _spec(source)
    spec.validate()
    spec.optimize(quantization=quantisation)
    spec.save(str(partial))
    partial.rename(folder)


def _spec(source: Path) -> transformer_spec.TransformerEncoderModelSpec:
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    weights = load_file(source / "model.safetensors")
    encoder = transformer_spec.TransformerEncoderSpec(
        config["num_hidden_layers"],
        config["num_attention_heads"],
        pre_norm=False,
        activation=common_spec.Activation.GELU,
        layernorm_embedding=True,
        num_source_embeddings=2,
        embeddings_merge=common_spec.EmbeddingsMerge.ADD,
    )
    encoder.scale_embeddings = False
    _set_embeddings(encoder, weights)
    for number, layer in enumerate(encoder.layer):
        _set_layer(layer, weights, f"encoder.layer.{number}")
    spec = transformer_spec.TransformerEncoderModelSpec(encoder)
    spec.config.layer_norm_epsilon = config["layer_norm_eps"]
    spec.config.unk_token = "[UNK]"  # noqa: S105
    spec.register_vocabulary(_vocabulary(source))
    return spec


def _vocabulary(source: Path) -> list[str]:
    """Return the tokens in order of their ids."""
    ids = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return sorted(ids, key=ids.__getitem__)


def _set_embeddings(encoder: transformer_spec.TransformerEncoderSpec, weights: Weights) -> None:
    encoder.embeddings[0].weight = weights["embeddings.word_embeddings.weight"]
    encoder.embeddings[1].weight = weights["embeddings.token_type_embeddings.weight"]
    encoder.position_encodings.encodings = weights["embeddings.position_embeddings.weight"]
    _set_norm(encoder.layernorm_embedding, weights, "embeddings.LayerNorm")


def _set_layer(
    layer: transformer_spec.TransformerEncoderLayerSpec, weights: Weights, name: str
) -> None:
    attention = layer.self_attention
    parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
    attention.linear[0].weight = np.concatenate([weights[f"{part}.weight"] for part in parts])
    attention.linear[0].bias = np.concatenate([weights[f"{part}.bias"] for part in parts])
    _set_linear(attention.linear[1], weights, f"{name}.attention.output.dense")
    _set_norm(attention.layer_norm, weights, f"{name}.attention.output.LayerNorm")
    _set_linear(layer.ffn.linear_0, weights, f"{name}.intermediate.dense")
    _set_linear(layer.ffn.linear_1, weights, f"{name}.output.dense")
    _set_norm(layer.ffn.layer_norm, weights, f"{name}.output.LayerNorm")


def _set_linear(linear: common_spec.LinearSpec, weights: Weights, name: str) -> None:
    linear.weight, linear.bias = weights[f"{name}.weight"], weights[f"{name}.bias"]


def _set_norm(norm: common_spec.LayerNormSpec, weights: Weights, name: str) -> None:
    norm.gamma, norm.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]
