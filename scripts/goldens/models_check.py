#!/usr/bin/env python3
"""Compares what models.py made with mlx-lm's own models, in float32 on the CPU:

    pip install mlx==0.32.4 mlx-cpu==0.32.4 mlx-lm==0.32.2 safetensors
    scripts/goldens/models_check.py tests/data/models [FOLDER ...]

Prints for each folder the greedy tokens that differ, the largest relative error of a prompt's
logits, the largest difference of a window's likelihood, and whether mlx-lm would quantize the
modules that reference.json lists, in the same formats. Where mlx-lm is known to differ it is told
what to do: it reads rope_parameters for few types, wants one full-attention layer in a mistral,
ignores yarn's truncate, and does not read gpt-oss's unquantized experts.
"""

import json
import math
import re
import sys
import tempfile
from pathlib import Path

import models_configs as configs
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model, quantize_model
from safetensors.numpy import load_file


class AllSliding(list):
    """Layer types of a model whose every layer has the window; mlx-lm asks for a full one."""

    def index(self, kind):
        return 0


def settings(config):
    """What mlx-lm must be told beyond the config."""
    rope = config.get("rope_parameters")
    if config["model_type"] == "mistral":
        return {"layer_types": AllSliding(["sliding_attention"] * config["num_hidden_layers"])}
    if rope is None or config["model_type"] in ("ministral3", "glm_moe_dsa"):
        return {}
    scaled = rope["rope_type"] != "default"
    return {"rope_theta": rope["rope_theta"], "rope_scaling": rope if scaled else None}


def split_experts(source, target):
    """gpt-oss's fused float experts by mlx-lm's names."""
    tensors = {}
    for name, array in mx.load(str(source / "model.safetensors")).items():
        fused = re.search(r"experts\.(gate_up_proj|down_proj)(_bias)?$", name)
        if not fused:
            tensors[name] = array
            continue
        base, suffix = name.removesuffix("_bias"), ".bias" if fused[2] else ".weight"
        rows = array if fused[2] else array.swapaxes(1, 2)
        if fused[1] == "down_proj":
            tensors[base + suffix] = mx.contiguous(rows)
            continue
        for start, part in enumerate(("gate_proj", "up_proj")):
            tensors[base.replace("gate_up_proj", part) + suffix] = mx.contiguous(rows[:, start::2])
    mx.save_safetensors(str(target / "model.safetensors"), tensors)
    (target / "config.json").write_text((source / "config.json").read_text())


def untruncate(model, config):
    """Yarn's ramp between real numbers, as OpenAI's code and transformers have it."""
    scaling, size, theta = config["rope_scaling"], config["head_dim"], config["rope_theta"]

    def dimension(rotations):
        turns = scaling["original_max_position_embeddings"] / (rotations * 2 * math.pi)
        return size * math.log(turns) / (2 * math.log(theta))

    low, high = max(dimension(scaling["beta_fast"]), 0), min(dimension(scaling["beta_slow"]), size)
    ramp = np.clip((np.arange(size // 2) - low) / (high - low), 0, 1)
    slow = theta ** (np.arange(0, size, 2) / size)
    inverse = ramp / (scaling["factor"] * slow) + (1 - ramp) / slow
    for layer in model.layers:
        layer.self_attn.rope._freqs = mx.array((1 / inverse).astype(np.float32))


def open_model(folder, config):
    with tempfile.TemporaryDirectory() as other:
        source = folder
        if config["model_type"] == "gpt_oss" and "quantization_config" not in config:
            split_experts(folder, Path(other))
            source = Path(other)
        model, _ = load_model(source, model_config=settings(config))
    if config.get("rope_scaling") and config["rope_scaling"].get("truncate") is False:
        untruncate(model, config)
    model.update(
        tree_map(
            lambda x: x.astype(mx.float32) if mx.issubdtype(x.dtype, mx.floating) else x,
            model.parameters(),
        )
    )
    return model


def greedy(model, ids, count):
    cache, tokens, step = make_prompt_cache(model), [], ids
    for _ in range(count):
        logits = model(mx.array([step]), cache=cache)[0, -1]
        step = [mx.argmax(logits).item()]
        tokens += step
    return tokens


def likelihood(model, ids):
    logits = np.array(model(mx.array([ids]))[0, :-1]).astype(np.float64)
    largest = logits.max(-1, keepdims=True)
    total = np.log(np.exp(logits - largest).sum(-1)) + largest[:, 0]
    return (total - logits[np.arange(len(ids) - 1), ids[1:]]).mean()


def quantizable(model):
    """Paths of the modules with a quantized form; MLA's two halves count as kv_b_proj."""
    leaves = tree_flatten(model.leaf_modules(), is_leaf=lambda m: isinstance(m, nn.Module))
    paths = (path for path, module in leaves if hasattr(module, "to_quantized"))
    return {re.sub(r"\.(embed_q|unembed_out)$", ".kv_b_proj", path) for path in paths}


def check_modules(folder, config, expected):
    """kv_b_proj apart, which mlx-lm splits, and whose halves have other inputs."""
    model = open_model(folder, config)
    print("   quantizable:", *sorted(quantizable(model) ^ set(expected["modules"])))
    for name, form in expected["formats"].items():
        sizes = (form["group_size"], form["bits"], form["mode"])
        model, found = quantize_model(open_model(folder, config), dict(config), *sizes)
        overrides = {k: v for k, v in found["quantization"].items() if isinstance(v, dict)}
        left = {path for path in quantizable(model) if not path.endswith("kv_b_proj")}
        same = overrides == form["overrides"] and left == set(form["float"])
        print(f"   {name}:", "same" if same else (overrides, left))


def check(folder):
    config = json.loads((folder / "config.json").read_text())
    reference = json.loads((folder / "reference.json").read_text())
    rows = load_file(folder / "reference.safetensors")
    model = open_model(folder, config)
    wrong, error = [], 0
    for index, prompt in enumerate(reference["prompts"]):
        tokens = greedy(model, prompt["ids"], len(prompt["greedy"]))
        if tokens != prompt["greedy"]:
            wrong.append((len(prompt["ids"]), tokens, prompt["greedy"]))
        expected = rows[f"logits.{index}"]
        found = np.array(model(mx.array([prompt["ids"]]))[0, -len(expected) :])
        error = max(error, np.linalg.norm(found - expected) / np.linalg.norm(expected))
    away = max(abs(likelihood(model, w["ids"]) - w["nll"]) for w in reference["validation"])
    print(f"{folder.name}: {len(wrong)} prompts differ, logits {error:.1e}, likelihood {away:.1e}")
    for case in wrong:
        print("  ", *case)
    if "quantized" in reference:
        check_modules(folder, config, reference["quantized"])


def main():
    mx.set_default_device(mx.cpu)
    root = Path(sys.argv[1])
    for name in sys.argv[2:] or [*configs.CONFIGS, *configs.MLX_FORMS]:
        check(root / name)


if __name__ == "__main__":
    main()
