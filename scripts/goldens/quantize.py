#!/usr/bin/env python3
"""Digests of MLX's quantize and dequantize on its CPU backend.

Made with mlx 0.32.1 (mlx-0.32.1.txt) and mlx 0.32.4 (mlx-0.32.4.txt), both with mlx-cpu from PyPI,
Python 3.11 and numpy 2.4, x86-64:

    pip install mlx==0.32.1 mlx-cpu==0.32.1
    scripts/goldens/quantize.py tests/data/quant/mlx-0.32.1.txt

The inputs are not stored: tests/quant/golden_inputs.h makes the same numbers by the same rules.
A line is either of

    quantize <mode> <bits> <group size> <dtype> <input kind> <codes> <scales> <biases>
    dequantize <mode> <bits> <group size> <tensor's amax> <values>

where each part of the result is a digest() in hexadecimal, and - stands for what a mode does not
have. Every NaN counts as 7fc00000 (f32), 7fc0 (bf16), 7e00 (f16). From 0.32.3 on MLX decodes the
e4m3 codes 7f and ff as NaN, before as 480 and -480.
"""

import sys

import mlx.core as mx
import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
ROWS, COLUMNS = 24, 384
FORMATS = [("affine", b, g) for b in (2, 3, 4, 5, 6, 8) for g in (32, 64, 128)] + [
    ("mxfp4", 4, 32),
    ("mxfp8", 8, 32),
    ("nvfp4", 4, 16),
]
KINDS = [
    "bell",  # sums of four uniform numbers
    "positive",
    "negative",
    "outliers",  # one of 32 is 64 times as large
    "ties",  # small multiples of a quarter
    "narrow",  # a constant and some last bits
    "sparse",  # groups of zeros, lone values
    "finite",  # bit patterns of any exponent
    "any",  # the same with NaN and infinity now and then
    "amax",  # bell, with the tensor's largest magnitude given where the mode takes it
]


def mix(x):
    """The splitmix64 finalizer."""
    x = np.asarray(x, np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def random_u64(seed, count):
    return mix((np.arange(count, dtype=np.uint64) + np.uint64(seed << 32)) * GOLDEN)


def digest(values):
    """A sum over the elements, so that numpy and a loop agree."""
    flat = np.ascontiguousarray(values).ravel()
    bits = flat.view({1: np.uint8, 2: np.uint16, 4: np.uint32}[flat.itemsize]).astype(np.uint64)
    index = np.arange(bits.size, dtype=np.uint64) * GOLDEN
    return "%016x" % int(np.sum(mix(bits + index), dtype=np.uint64))


def round_to(values, dtype):
    """float32 to the bits of `dtype`."""
    values = np.asarray(values, np.float32)
    if dtype == "f32":
        return values.view(np.uint32)
    if dtype == "f16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).view(np.uint16)
    bits = values.view(np.uint32).astype(np.int64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


# Per dtype: mantissa bits, and the least and largest power of two that scales a row.
TRAITS = {"f32": (23, -120, 100), "f16": (10, -12, 8), "bf16": (7, -120, 100)}


def patterns(raw, fields, kind, dtype):
    """Bit patterns: groups of 32 share an exponent, give or take; "any" has NaN and infinity."""
    mantissa_bits = TRAITS[dtype][0]
    width = 32 if dtype == "f32" else 16
    all_ones = (1 << (width - 1 - mantissa_bits)) - 1
    leader = fields[3][np.arange(raw.size) // 32 * 32]
    exponent = np.maximum(leader % all_ones - fields[2] % 4, 0)
    rest = (raw & np.uint64((1 << width) - 1)).astype(np.int64) & ~(all_ones << mantissa_bits)
    if kind == "any":
        special = fields[3] % 97 == 0
        exponent = np.where(special, all_ones, exponent)
        infinite = special & (fields[2] % 2 == 0)
        rest = np.where(infinite, rest >> mantissa_bits << mantissa_bits, rest)
    bits = rest | (exponent << mantissa_bits)
    return bits.astype(np.uint32 if dtype == "f32" else np.uint16)


def inputs(kind, dtype):
    """Bits of a [ROWS, COLUMNS] tensor."""
    seed = KINDS.index(kind) + 16 * list(TRAITS).index(dtype) + 1
    raw = random_u64(seed, ROWS * COLUMNS)
    fields = [(raw >> np.uint64(s) & np.uint64(0xFFFF)).astype(np.int64) for s in (0, 16, 32, 48)]
    if kind in ("finite", "any"):
        return patterns(raw, fields, kind, dtype).reshape(ROWS, COLUMNS)
    bell = (sum(fields) - 2 * 65535) * 2.0**-16  # in (-2, 2)
    row, column = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
    if kind in ("bell", "amax"):
        value = bell
    elif kind == "positive":
        value = np.abs(bell) + 0.0625
    elif kind == "negative":
        value = -np.abs(bell) - 1
    elif kind == "outliers":
        value = np.where(fields[0] % 32 == 0, bell * 64, bell)
    elif kind == "ties":
        value = (fields[0] % 65 - 32) * 0.25
    elif kind == "narrow":
        value = np.where(row % 2 == 0, 1, -1) * (1 + fields[0] % 5 * 2.0**-20)
    elif kind == "sparse":
        value = np.where((fields[0] % 40 == 0) & (column % 128 >= 32), bell, 0)
    # The first rows lie near 1, the others spread over the range of the type.
    _, least, largest = TRAITS[dtype]
    spread = least + (largest - least) * (row - 8) // (ROWS - 9)
    scaled = np.ldexp(value, np.where(row < 8, row - 4, spread)).astype(np.float32)
    return round_to(scaled, dtype).reshape(ROWS, COLUMNS)


MX = {"f32": mx.float32, "f16": mx.float16, "bf16": mx.bfloat16}


def as_array(bits, dtype):
    return mx.view(mx.array(bits), MX[dtype])


def as_bits(array):
    if array.dtype == mx.bfloat16:
        bits = np.array(mx.view(array, mx.uint16))
        return np.where((bits & 0x7FFF) > 0x7F80, np.uint16(0x7FC0), bits)
    bits = np.array(array)
    if bits.dtype == np.float16:
        return np.where(np.isnan(bits), np.uint16(0x7E00), bits.view(np.uint16))
    if bits.dtype == np.float32:
        return np.where(np.isnan(bits), np.uint32(0x7FC00000), bits.view(np.uint32))
    return bits


def tensor_amax(bits, dtype):
    return mx.max(mx.abs(as_array(bits, dtype).astype(mx.float32)))


def quantize_lines():
    for mode, bits, group in FORMATS:
        for dtype in MX:
            for kind in KINDS:
                weight = inputs(kind, dtype)
                extra = {}
                if kind == "amax" and mode == "nvfp4":
                    extra["global_scale"] = tensor_amax(weight, dtype)
                parts = mx.quantize(as_array(weight, dtype), group, bits, mode, **extra)
                digests = [digest(as_bits(part)) for part in parts] + ["-"]
                yield " ".join(["quantize", mode, str(bits), str(group), dtype, kind] + digests[:3])


def codes_of_every_kind(bits, group, groups):
    """Every code in turn, packed: [groups, group * bits / 32]."""
    codes = np.arange(groups * group) % (1 << bits)
    stream = (codes[:, None] >> np.arange(bits)) & 1
    packed = np.packbits(stream.astype(np.uint8).ravel(), bitorder="little")
    return packed.view(np.uint32).reshape(groups, -1)


def dequantize_lines():
    """Every code with every scale byte; for affine, every code with 64 pairs of scale and bias."""
    for mode, bits, group in FORMATS:
        rows = 64 if mode == "affine" else 256
        each = max((1 << bits) // group, 1)
        words = mx.array(codes_of_every_kind(bits, group, rows * each))
        if mode == "affine":
            raw = (random_u64(1000 + bits, 2 * rows) >> np.uint64(40)).astype(np.int64)
            pairs = ((raw - (1 << 23)) * 2.0**-20).astype(np.float32)
            scales = mx.array(np.repeat(pairs[:rows], each)[:, None])
            biases = mx.array(np.repeat(pairs[rows:], each)[:, None])
            result = mx.dequantize(words, scales, biases, group, bits, mode)
            yield "dequantize affine %d %d - %s" % (bits, group, digest(as_bits(result)))
            continue
        scales = mx.array(np.repeat(np.arange(256, dtype=np.uint8), each)[:, None])
        for amax in ["-", "1.2345678"] if mode == "nvfp4" else ["-"]:
            extra = {} if amax == "-" else {"global_scale": mx.array(np.float32(amax))}
            result = mx.dequantize(
                words, scales, None, group, bits, mode, dtype=mx.float32, **extra
            )
            yield "dequantize %s %d %d %s %s" % (mode, bits, group, amax, digest(as_bits(result)))


def main():
    mx.set_default_device(mx.cpu)
    with open(sys.argv[1], "w") as out:
        for line in [*quantize_lines(), *dequantize_lines()]:
            print(line, file=out)


if __name__ == "__main__":
    main()
