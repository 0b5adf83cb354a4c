"""Makes tests/data/io/{reference,mlx,mlx_null}.safetensors.

Packages: safetensors 0.8.0, mlx 0.32.4, numpy 2.4.6.

reference.safetensors: every element type that the safetensors package writes from numpy, an empty
tensor, a scalar, metadata. Tensor "x.<dtype>" [2, 3, 4] holds 0, 1, 2, .. (BOOL: odd numbers true).
mlx.safetensors: MLX's own writer, whose data order is not its key order; mlx_null.safetensors: the
same without metadata, which MLX spells null. Tensor "t<i>" [i + 1, 2] holds i everywhere.
"""

import pathlib
import sys

import mlx.core as mx
import numpy as np
from safetensors import TensorSpec, serialize_file

DATA = pathlib.Path(__file__).parents[2] / "tests/data/io"

NUMPY = {"float32": np.float32, "float16": np.float16, "float64": np.float64, "uint8": np.uint8,
         "int8": np.int8, "uint16": np.uint16, "int16": np.int16, "uint32": np.uint32,
         "int32": np.int32, "uint64": np.uint64, "int64": np.int64, "bool": np.bool_}


def reference():
    count = np.arange(24)
    tensors = {}

    def add(name, dtype, array):
        tensors[name] = (dtype, array)

    for dtype, numpy in NUMPY.items():
        values = (count % 2 == 1) if dtype == "bool" else count
        add("x." + dtype, dtype, values.astype(numpy).reshape(2, 3, 4))
    bits = (count.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    add("x.bfloat16", "bfloat16", bits.reshape(2, 3, 4))
    add("x.float8_e4m3fn", "float8_e4m3fn", count.astype(np.uint8).reshape(2, 3, 4))
    add("x.float8_e5m2", "float8_e5m2", count.astype(np.uint8).reshape(2, 3, 4))
    add("empty", "float32", np.zeros((3, 0, 2), np.float32))
    add("scalar", "float32", np.array(2.5, np.float32))
    arrays = {name: (dtype, np.require(a, requirements="C")) for name, (dtype, a) in tensors.items()}
    specs = {name: TensorSpec(dtype=dtype, shape=list(a.shape), data_ptr=a.ctypes.data,
                              data_len=a.nbytes) for name, (dtype, a) in arrays.items()}
    serialize_file(specs, DATA / "reference.safetensors", {"format": "np", "note": "\u00e9\n"})
    (DATA / "reference.safetensors").chmod(0o644)


def main():
    DATA.mkdir(parents=True, exist_ok=True)
    reference()
    arrays = {f"t{i}": mx.full((i + 1, 2), i, dtype=[mx.float32, mx.bfloat16, mx.uint32][i % 3])
              for i in range(20)}
    mx.save_safetensors(str(DATA / "mlx.safetensors"), arrays, {"format": "mlx"})
    mx.save_safetensors(str(DATA / "mlx_null.safetensors"), arrays)


if __name__ == "__main__":
    sys.exit(main())
