#!/usr/bin/env python3
"""Tiny checkpoints of every model type, with what another implementation computes from them.

Made with transformers 5.24.0, torch 2.15.0 (CPU), mlx 0.32.1 with mlx-cpu and mlx-lm 0.32.2,
Python 3.11:

    pip install transformers==5.24.0 torch==2.15.0 mlx==0.32.1 mlx-cpu==0.32.1 mlx-lm==0.32.2 \
        accelerate==1.15.0
    scripts/goldens/models.py tests/data/models [FOLDER ...]

A folder has config.json and model.safetensors as the hub serves such a model (the folders *-mlx: as
mlx_lm.convert -q writes it), no tokenizer, and

- reference.json: prompts with the 16 greedy tokens after each (`gap`: the least distance between
  the two largest logits on the way), windows of ids with their mean negative log-likelihood, and
  `quantized`: the same with weights that MLX quantized and decoded again. Its `modules` have a
  quantized form, by mlx-lm's paths; in each format all of them have that format except `overrides`
  (affine, where no mode is named) and `float` (inputs that the group size does not divide).
  kv_b_proj is quantized as the one matrix that the hub has; mlx-lm splits it by heads before.
- reference.safetensors: `logits.I`, float32, the last four positions of prompt I or fewer.

All in float32 from the bfloat16 weights, without a key-value cache, eager attention. What
models_effects.py names must change the logits, or this script fails; so it does when a greedy step,
a router's choice or an indexer's choice is too close to be decided in float32.
"""

import json
import re
import sys
import tempfile
from pathlib import Path

import models_configs as configs
import models_mlx
import torch
import transformers
from models_effects import EFFECTS
from models_weights import make_weights
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

PROMPT_SIZES = (1, 7, 64, 120)
GREEDY_TOKENS, WINDOW_SIZE, WINDOWS, LOGIT_ROWS = 16, 96, 2, 4
LEAST_GAP = 0.05  # of the two largest logits
LEAST_CHOICE = 1e-5  # of the last chosen and the first not chosen, of experts and keys
LEAST_EFFECT = 0.05  # mean change of a logit for what matters
SEEDS = 200
END = configs.COMMON["eos_token_id"]

VERSIONS = {
    "transformers": transformers.__version__,
    "torch": torch.__version__.split("+")[0],
    "mlx": models_mlx.mx.__version__,
}


class Choices:
    """The least distance in a top-k between what was chosen and what was not."""

    function, method = staticmethod(torch.topk), torch.Tensor.topk

    def __enter__(self):
        self.least = float("inf")
        torch.topk = self.observe
        torch.Tensor.topk = lambda values, *more, **named: self.observe(values, *more, **named)
        return self

    def __exit__(self, *_):
        torch.topk, torch.Tensor.topk = Choices.function, Choices.method

    def observe(self, values, k, dim=-1, sorted=True):
        if k < values.shape[-1]:
            best = Choices.function(values, k + 1, -1)[0]
            gaps = (best[..., -2] - best[..., -1])[best[..., -2] > -1e30]
            if gaps.numel():
                self.least = min(self.least, gaps.min().item())
        return Choices.function(values, k, dim, sorted=sorted)


def write_checkpoint(folder, config, tensors):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(dict(sorted(tensors.items())), folder / "model.safetensors", {"format": "pt"})


def open_model(folder, config):
    """transformers' model of a checkpoint, in float32; every tensor of the file has its place."""
    if config["model_type"] == "kimi_k2":  # DeepSeek V3 under its own name
        tensors = load_file(folder / "model.safetensors")
        return make_model({**config, "model_type": "deepseek_v3"}, tensors)
    model, report = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32,
        attn_implementation="eager",
        experts_implementation="eager",
        output_loading_info=True,
    )
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[key], (folder, key, report[key])
    return model.eval()


def make_model(config, tensors):
    """The same from tensors in memory."""
    plain = {key: value for key, value in config.items() if key != "quantization_config"}
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder), plain, {k: v.contiguous() for k, v in tensors.items()})
        return open_model(Path(folder), plain)


@torch.no_grad()
def logits_of(model, ids):
    return model(torch.tensor([ids]), use_cache=False).logits[0]


def random_ids(vocabulary, size, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, vocabulary, (size,), generator=generator).tolist()


def greedy(model, prompt):
    """The tokens that follow, and the least gap; None if a step is too close."""
    ids, gap = list(prompt), float("inf")
    for _ in range(GREEDY_TOKENS):
        best = Choices.function(logits_of(model, ids)[-1], 2)
        gap = min(gap, (best.values[0] - best.values[1]).item())
        if gap < LEAST_GAP:
            return None, gap
        ids.append(best.indices[0].item())
    return ids[len(prompt) :], gap


def sample_window(model, vocabulary, seed):
    """Ids that the model itself finds likely."""
    generator = torch.Generator().manual_seed(seed)
    ids = random_ids(vocabulary, 1, seed)
    while len(ids) < WINDOW_SIZE:
        chances = logits_of(model, ids)[-1].softmax(-1)
        ids.append(torch.multinomial(chances, 1, generator=generator).item())
    return ids


def likelihood(model, ids):
    """Mean negative log-likelihood of all ids but the first."""
    log_chances = logits_of(model, ids)[:-1].double().log_softmax(-1)
    return -log_chances.gather(1, torch.tensor(ids[1:])[:, None]).mean().item()


def find_prompt(model, vocabulary, size):
    """A prompt after which no step is close, and whose tokens neither end nor all repeat."""
    for seed in range(SEEDS):
        prompt = random_ids(vocabulary, size, 1000 * size + seed)
        with Choices() as choices:
            tokens, gap = greedy(model, prompt)
        if not tokens or choices.least < LEAST_CHOICE or END in tokens:
            continue
        if len(set(tokens)) >= GREEDY_TOKENS // 3:
            return prompt, tokens, gap
    raise SystemExit(f"no prompt of {size} tokens has clear greedy steps")


def find_window(model, vocabulary, seeds):
    for seed in seeds:
        with Choices() as choices:
            ids = sample_window(model, vocabulary, seed)
        if choices.least > LEAST_CHOICE:
            return ids
    raise SystemExit("no window has clear choices")


def make_reference(model, vocabulary):
    reference, rows = {"versions": VERSIONS, "prompts": [], "validation": []}, {}
    for index, size in enumerate(PROMPT_SIZES):
        ids, tokens, gap = find_prompt(model, vocabulary, size)
        reference["prompts"].append({"ids": ids, "greedy": tokens, "gap": round(gap, 4)})
        rows[f"logits.{index}"] = logits_of(model, ids)[-LOGIT_ROWS:].contiguous()
    for index in range(WINDOWS):
        ids = find_window(model, vocabulary, range(index * SEEDS, (index + 1) * SEEDS))
        reference["validation"].append({"ids": ids, "nll": likelihood(model, ids)})
    return reference, rows


def make_quantized(config, tensors, reference):
    result = {"mlx": VERSIONS["mlx"], "modules": [], "formats": {}}
    for name in models_mlx.FORMATS:
        kind = config["model_type"]
        decoded, report, result["modules"] = models_mlx.quantize_weights(kind, tensors, name)
        model = make_model(config, decoded)
        with Choices() as choices:
            report["nll"] = [likelihood(model, w["ids"]) for w in reference["validation"]]
        print(f"  {name}: closest choice {choices.least:.1e}")
        result["formats"][name] = report
    return result


def check_effects(folder, config, tensors, logits):
    """That what must matter does, on the longest prompt."""
    ids, before = logits
    for what, change in EFFECTS[folder].items():
        changed = dict(tensors)
        if "tensors" in change:
            names = [name for name in tensors if re.search(change["tensors"], name)]
            assert names, (folder, what)
            changed.update({n: torch.full_like(tensors[n], change["value"]) for n in names})
        model = make_model({**config, **change.get("config", {})}, changed)
        effect = (logits_of(model, ids) - before).abs().mean().item()
        print(f"  {what}: {effect:.3f}")
        assert effect > LEAST_EFFECT, (folder, what, effect)


def write_json(path, value):
    """Indented, but arrays of numbers or of names on a line."""
    text = json.dumps(value, indent=1)
    flat = re.sub(r"\[[^\[\]{}]*\]", lambda m: re.sub(r"\s*\n\s*", " ", m[0]), text)
    path.write_text(flat.replace("[ ", "[").replace(" ]", "]") + "\n")


def write_reference(folder, reference, rows):
    write_json(folder / "reference.json", reference)
    save_file(rows, folder / "reference.safetensors")


def make_hub_form(root, name):
    config = configs.config_of(name)
    tensors = make_weights(config, sum(name.encode()))
    stored = tensors
    if "quantization_config" in config:
        stored = models_mlx.pack_experts(tensors)
        tensors = models_mlx.unpack_experts(stored)
    write_checkpoint(root / name, config, stored)
    model = open_model(root / name, config)
    reference, rows = make_reference(model, config["vocab_size"])
    longest = reference["prompts"][-1]["ids"]
    check_effects(name, config, tensors, (longest, logits_of(model, longest)))
    if "quantization_config" not in config:
        reference["quantized"] = make_quantized(config, tensors, reference)
    write_reference(root / name, reference, rows)


def make_mlx_form(root, name):
    source, mode, bits, group = configs.MLX_FORMS[name]
    folder = root / name
    models_mlx.convert(root / source, folder, mode, bits, group)
    tensors = models_mlx.to_hub_names(models_mlx.decode_checkpoint(folder))
    config = configs.config_of(source)
    reference, rows = make_reference(make_model(config, tensors), config["vocab_size"])
    write_reference(folder, reference, rows)


def main():
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    root = Path(sys.argv[1])
    for name in sys.argv[2:] or [*configs.CONFIGS, *configs.MLX_FORMS]:
        print(name, flush=True)
        (make_mlx_form if name in configs.MLX_FORMS else make_hub_form)(root, name)


if __name__ == "__main__":
    main()
