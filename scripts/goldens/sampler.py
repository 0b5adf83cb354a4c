#!/usr/bin/env python3
"""Random numbers of MLX and tokens that mlx-lm's sampler draws, on MLX's CPU backend.

Made with mlx 0.32.4, mlx-cpu 0.32.4, mlx-lm 0.32.2 and numpy 2.4, Python 3.11, x86-64, glibc 2.36:

    pip install mlx==0.32.4 mlx-cpu==0.32.4 mlx-lm==0.32.2
    scripts/goldens/sampler.py tests/data/engine

sampler_random.txt: a line is a seed and the float32 bits of the first eight mx.random.uniform() under it.
sampler.jsonl: a line is a case, whose every step draws from the same logits with a longer history.
The logits are not stored: logits() here and in tests/engine/sampler_test.cpp make the same numbers.
"""

import json
import pathlib
import sys

import mlx.core as mx
import numpy as np
from mlx_lm.sample_utils import make_logits_processors, make_sampler

PENALTIES = ("repetition", "presence", "frequency")


def random_words(seed, count):
    """splitmix64: the words from seed * 2^32 on."""
    x = np.arange(count, dtype=np.uint64) + np.uint64(seed << 32)
    x *= np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def logits(case):
    """Bell-shaped around 0, deviation 4.6; the more bits are dropped, the more of them are equal."""
    words = random_words(case["logits"], case["vocabulary"])
    bell = sum((words >> np.uint64(s) & np.uint64(0xFFFF)).astype(np.int64) for s in (0, 16, 32, 48))
    drop = case["drop"]
    return np.ldexp(((bell - 2 * 65535) >> drop).astype(np.float32), drop - 13)


def draw(case):
    options = dict(case["options"])
    mx.random.seed(options.pop("seed", 0))
    processors = {"logit_bias": {int(k): v for k, v in options.pop("logit_bias", {}).items()}}
    for kind in PENALTIES:
        processors[kind + "_penalty"] = options.pop(kind + "_penalty", None)
        processors[kind + "_context_size"] = options.pop(kind + "_context_size", 20)
    processors = make_logits_processors(**processors)
    sampler = make_sampler(
        temp=options.pop("temperature", 0.0),
        xtc_threshold=options.pop("xtc_threshold", 0.0),  # as mlx_lm.generate; 0.1 in the function
        **options,
    )
    row = logits(case)
    history = list(case["prompt"])
    for _ in range(case["steps"]):
        current = mx.array(row)[None]
        for processor in processors:
            current = processor(mx.array(history), current)
        history.append(sampler(current - mx.logsumexp(current, keepdims=True)).item())
    return history[len(case["prompt"]) :]


def sweep():
    """Options one at a time, then four at once, then large vocabularies."""
    seed = 0

    def case(vocabulary, drop, steps, **options):
        nonlocal seed
        seed += 1
        made = {"vocabulary": vocabulary, "logits": seed, "drop": drop, "steps": steps}
        top = np.argsort(-logits(made), kind="stable").tolist()
        if vocabulary > 40:
            made["prompt"] = [top[0], top[3], top[0], top[1], top[40]]
        else:
            made["prompt"] = []
        if options.pop("bias", False):
            options["logit_bias"] = {str(top[0]): -2.5, str(top[40]): 3.75, str(top[7]): 1}
        if options.pop("spare", False):
            options["xtc_special_tokens"] = [top[0], top[2]]
        made["options"] = options
        if "temperature" in options:
            options["seed"] = int(random_words(seed, 1)[0] >> np.uint64(seed % 64))
        return made

    singles = [{"top_p": p} for p in (0.1, 0.5, 0.9, 0.99)]
    singles += [{"min_p": p} for p in (0.02, 0.2, 1.0)]
    singles += [{"min_p": 0.5, "min_tokens_to_keep": n} for n in (2, 5, 20)]
    singles += [{"top_k": k} for k in (1, 2, 10, 40)]
    singles += [{"xtc_probability": p, "xtc_threshold": t} for p in (0.5, 1.0) for t in (0.0, 0.03, 0.1)]
    singles += [{"xtc_probability": 1.0, "xtc_threshold": 0.02, "spare": True}]
    singles += [{"bias": True}]
    for kind, strengths in zip(PENALTIES, ((0.5, 1.3, 2.0), (1.5, -1.5), (0.8, -0.4))):
        singles += [{kind + "_penalty": s} for s in strengths]
        singles += [{kind + "_penalty": strengths[0], kind + "_context_size": c} for c in (0, 1, 4)]
    cases = []
    for drop in (0, 12):
        for options in singles:
            cases.append(case(512, drop, 24, temperature=1.0, **options))
            cases.append(case(512, drop, 24, temperature=0.6, **options))
        cases += [case(512, drop, 8, **o) for o in singles if "bias" in o or "penalty" in str(o)]
        cases += [case(512, drop, 24, temperature=t) for t in (0.05, 0.3, 1.0, 1.7, 30.0)]
        cases += [case(v, drop, 12, temperature=1.0) for v in (1, 2, 3, 17)] + [case(33, drop, 2)]
    rng = np.random.default_rng(8)
    for index in range(60):
        options = {}
        for single in rng.choice(np.array(singles, object), 4, replace=False):
            options |= single
        temperature = float(rng.choice([0.7, 1.0, 1.4]))
        cases.append(case(512, int(rng.choice([0, 11])), 16, temperature=temperature, **options))
    for vocabulary in (49152, 151936):
        for options in ({}, {"top_p": 0.95}, {"min_p": 0.05}, {"top_k": 50}, {"xtc_probability": 0.5}):
            cases.append(case(vocabulary, 0, 8, temperature=2.0, **options))
        cases.append(case(vocabulary, 0, 8, temperature=50.0))
    return cases


def main(folder):
    # Under the last seed the first 32 random bits would round up to 1.0.
    seeds = [0, 1, 7, 0xFFFFFFFF, 0x100000000, 0x123456789ABCDEF0, 2**64 - 1, 102765825]
    with open(folder / "sampler_random.txt", "w") as file:
        for seed in seeds:
            mx.random.seed(seed)
            bits = [np.array(mx.random.uniform()).view(np.uint32).item() for _ in range(8)]
            print(seed, *["%08x" % b for b in bits], file=file)
    unchanged = []
    with open(folder / "sampler.jsonl", "w") as file:
        for case in sweep():
            tokens = draw(case)
            plain = {k: v for k, v in case["options"].items() if k in ("temperature", "seed")}
            if plain != case["options"] and tokens == draw(case | {"options": plain}):
                unchanged.append(case["options"])
            print(json.dumps(case | {"tokens": tokens}, separators=(",", ":")), file=file)
    print(len(unchanged), "cases in which no option mattered:", *unchanged, sep="\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
