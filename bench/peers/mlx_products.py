"""Products by MLX on the processor, a line of JSON each.

    mlx_products.py FORMAT OUTPUTS INPUTS ROWS,ROWS,... SECONDS

The weights of successive calls fill 512 MB. A call may take seconds: there is one at least.
"""

import json
import sys
import time

import mlx.core as mx

from mlx_random import Matrix

COLD_BYTES = 512 << 20


def main(name, outputs, inputs, row_counts, seconds):
    """Measures."""
    mx.set_default_device(mx.cpu)
    matrices = [Matrix(name, outputs, inputs)]
    while len(matrices) * matrices[0].nbytes < COLD_BYTES:
        matrices.append(Matrix(name, outputs, inputs))
    for rows in row_counts:
        x = mx.random.uniform(-1, 1, (rows, inputs)).astype(mx.bfloat16)
        mx.eval(x)
        calls = 0
        start = time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds or calls == 0:
            mx.eval(matrices[calls % len(matrices)](x))
            calls += 1
        print(json.dumps({"version": f"MLX {mx.__version__}", "rows": rows,
                          "seconds": elapsed / calls, "bytes": matrices[0].nbytes,
                          "operations": 2 * rows * outputs * inputs}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]),
         [int(rows) for rows in sys.argv[4].split(",")], float(sys.argv[5]))
