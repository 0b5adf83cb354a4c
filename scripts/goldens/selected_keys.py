#!/usr/bin/env python3
"""Which keys an indexer selects, for tests/models/selected_keys_test.cpp.

Made with transformers 5.24.0 and torch 2.15.0 (CPU):

    scripts/goldens/selected_keys.py tests/data/models [FOLDER ...]

Writes selected.json into each folder (default: glm_moe_dsa and deepseek_v32): for the longest prompt
of its reference.json, by layer and position, the positions that it attends to, ascending. In float32
from the bfloat16 weights, as models.py, which makes sure that no choice is close.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM

FOLDERS = ("glm_moe_dsa", "deepseek_v32")


def selected(folder):
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    prompts = json.loads((folder / "reference.json").read_text())["prompts"]
    ids = max((prompt["ids"] for prompt in prompts), key=len)
    layers = {}
    for name, module in model.named_modules():
        if name.endswith(".self_attn.indexer"):
            module.register_forward_hook(
                lambda _, __, output, name=name: layers.__setitem__(name, output[0])
            )
    with torch.no_grad():
        model(torch.tensor([ids]), use_cache=False)
    # Before there are more keys than it may select, an indexer names those to come as well.
    rows = {
        name: [sorted(key for key in row if key <= at) for at, row in enumerate(keys.tolist())]
        for name, keys in layers.items()
    }
    return {"transformers": transformers.__version__, "ids": ids, "layers": rows}


def main(directory, *folders):
    for folder in folders or FOLDERS:
        path = Path(directory) / folder
        text = json.dumps(selected(path), separators=(",", ":"))
        (path / "selected.json").write_text(text.replace("]],", "]],\n") + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
