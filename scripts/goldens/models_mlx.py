"""What models.py needs of MLX: quantized and dequantized weights, and checkpoints in MLX's form."""

import json
import re

import mlx.core as mx
import numpy as np
import torch
from mlx_lm.utils import load_model, quantize_model, save_config, save_model

mx.set_default_device(mx.cpu)

# name: mode, bits, group size
FORMATS = {
    "mxfp8": ("mxfp8", 8, 32),
    "mxfp4": ("mxfp4", 4, 32),
    "nvfp4": ("nvfp4", 4, 16),
    "affine-4-64": ("affine", 4, 64),
    "affine-8-32": ("affine", 8, 32),
}
ROUTER = ("affine", 8, 64)

# Routers that are modules in mlx-lm, with the quantization that their models' predicates ask for.
# The mixtral model has no predicate: its router is a linear layer like any other.
ROUTER_PATHS = r"(qwen3_moe .*\.mlp\.gate|gpt_oss .*\.mlp\.router|minimax_m2 .*_moe\.gate)$"
# Routers that are arrays in mlx-lm, never quantized.
RAW_ROUTER_PATHS = r"(deepseek|kimi|glm).* .*\.mlp\.gate$"


def to_mlx(tensor):
    if tensor.dtype == torch.bfloat16:
        return mx.view(mx.array(tensor.contiguous().view(torch.uint16).numpy()), mx.bfloat16)
    return mx.array(tensor.contiguous().numpy())


def to_torch(array):
    if array.dtype == mx.bfloat16:
        bits = np.array(mx.view(array, mx.uint16))
        return torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def read(path):
    return {name: to_torch(array) for name, array in mx.load(str(path)).items()}


def decode(packed, scales, biases, quantization):
    """The numbers that a quantized tensor means, in float32."""
    mode, bits, group = quantization
    if mode == "affine":
        scales, biases = scales.astype(mx.float32), biases.astype(mx.float32)
        return mx.dequantize(packed, scales, biases, group, bits, mode)
    return mx.dequantize(packed, scales, None, group, bits, mode, dtype=mx.float32)


def round_trip(tensor, quantization):
    """Quantized along the last axis and decoded again."""
    mode, bits, group = quantization
    packed, scales, *biases = mx.quantize(to_mlx(tensor), group, bits, mode)
    return to_torch(decode(packed, scales, biases[0] if biases else None, quantization))


def module_path(name):
    """The path in mlx-lm's module tree of a tensor that the hub's checkpoints name."""
    path = re.sub(r"\.weight$", "", name)
    path = re.sub(r"\.experts\.\d+\.", ".switch_mlp.", path)
    for short, long in [("w1", "gate_proj"), ("w2", "down_proj"), ("w3", "up_proj")]:
        path = re.sub(rf"\.switch_mlp\.{short}$", f".switch_mlp.{long}", path)
    return path


def is_quantizable(kind, name, tensor):
    if not name.endswith(".weight") or tensor.dim() != 2:
        return False
    return not re.match(RAW_ROUTER_PATHS, f"{kind} {module_path(name)}")


def quantize_fused(name, tensor, quantization):
    """gpt-oss's stacked experts have their inputs in the second axis."""
    return round_trip(tensor.transpose(1, 2).contiguous(), quantization).transpose(1, 2)


def quantize_weights(kind, tensors, format_name):
    """The tensors quantized as mlx-lm does by default and decoded; what was quantized how.

    kv_b_proj is quantized as the one matrix that the hub has; mlx-lm splits it by heads first.
    """
    quantization = FORMATS[format_name]
    mode, bits, group = quantization
    report = {"mode": mode, "bits": bits, "group_size": group, "overrides": {}, "float": []}
    result, modules = {}, []
    for name, tensor in tensors.items():
        fused = re.search(r"\.experts\.(gate_up|down)_proj$", name)
        if not fused and not is_quantizable(kind, name, tensor):
            result[name] = tensor.float()
            continue
        path = module_path(name)
        parts = ("gate", "up") if "gate_up_proj" in path else ("",)
        paths = [path.replace("gate_up", part) for part in parts]
        modules += paths
        inputs = tensor.shape[1] if fused else tensor.shape[-1]
        if inputs % group != 0:
            result[name] = tensor.float()
            report["float"] += paths
        elif fused:
            result[name] = quantize_fused(name, tensor, quantization)
        elif re.match(ROUTER_PATHS, f"{kind} {path}"):
            result[name] = round_trip(tensor, ROUTER)
            report["overrides"][path] = {"group_size": 64, "bits": 8}
        else:
            result[name] = round_trip(tensor, quantization)
    report["float"] = sorted(set(report["float"]))
    return result, report, sorted(set(modules))


def pack_experts(tensors):
    """gpt-oss's experts in its own mxfp4 form."""
    result = {}
    for name, tensor in tensors.items():
        if not re.search(r"\.experts\.(gate_up|down)_proj$", name):
            result[name] = tensor
            continue
        packed, scales = mx.quantize(to_mlx(tensor.transpose(1, 2)), 32, 4, "mxfp4")
        blocks = np.array(packed).view(np.uint8).reshape(*scales.shape, 16)
        result[name + "_blocks"] = torch.from_numpy(blocks)
        result[name + "_scales"] = to_torch(scales)
    return result


def unpack_experts(tensors):
    """The inverse, in float32."""
    result = {}
    for name, tensor in tensors.items():
        if name.endswith("_scales"):
            continue
        if not name.endswith("_blocks"):
            result[name] = tensor
            continue
        base = name.removesuffix("_blocks")
        words = tensor.flatten(-2).contiguous().numpy().view(np.uint32)
        scales = to_mlx(tensors[base + "_scales"])
        decoded = to_torch(decode(mx.array(words), scales, None, ("mxfp4", 4, 32)))
        result[base] = decoded.transpose(1, 2).contiguous()
    return result


def convert(source, target, mode, bits, group):
    """What `mlx_lm.convert -q` does, without a tokenizer and a model card."""
    model, config = load_model(source, lazy=True)
    model, config = quantize_model(model, config, group, bits, mode)
    save_model(target, model, donate_model=True)
    save_config(config, target / "config.json")


def decode_checkpoint(folder):
    """A quantized MLX checkpoint's tensors in float32, by MLX's names."""
    config = json.loads((folder / "config.json").read_text())
    quantization = config["quantization"]
    stored = mx.load(str(folder / "model.safetensors"))
    result = {}
    for name, array in stored.items():
        path, _, kind = name.rpartition(".")
        if kind in ("scales", "biases") and path + ".scales" in stored:
            continue
        if path + ".scales" not in stored or kind != "weight":
            result[name] = to_torch(array).float()
            continue
        chosen = quantization.get(path)
        if chosen is None:
            how = (quantization["mode"], quantization["bits"], quantization["group_size"])
        else:
            how = (chosen.get("mode", "affine"), chosen["bits"], chosen["group_size"])
        biases = stored.get(path + ".biases")
        result[name] = to_torch(decode(array, stored[path + ".scales"], biases, how))
    return result


def to_hub_names(tensors):
    """MLX's names and layouts back to the hub's, for transformers."""
    result = {}
    for name, tensor in tensors.items():
        if ".switch_mlp." in name:
            for expert, values in enumerate(tensor):
                result[name.replace("switch_mlp", f"experts.{expert}")] = values.contiguous()
        elif re.search(r"\.mlp\.experts\.\w+_proj\.", name):
            base, _, kind = name.rpartition(".")
            other = tensors.get(name.replace("gate_proj", "up_proj"))
            values = tensor.transpose(1, 2) if kind == "weight" else tensor
            if ".up_proj." in name:
                continue
            if ".gate_proj." in name:
                other = other.transpose(1, 2) if kind == "weight" else other
                values = torch.stack([values, other], -1).flatten(-2)
                base = base.replace("gate_proj", "gate_up_proj")
            result[base + ("_bias" if kind == "bias" else "")] = values.contiguous()
        elif name.endswith(".embed_q.weight"):
            other = tensors[name.replace("embed_q", "unembed_out")]
            both = torch.cat([tensor.transpose(1, 2), other], 1)
            result[name.replace("embed_q", "kv_b_proj")] = both.flatten(0, 1).contiguous()
        elif not name.endswith(".unembed_out.weight"):
            result[name] = tensor
    return result
