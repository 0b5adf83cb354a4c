"""One sample of decode by MLX on the processor: a Llama of random weights, as a line of JSON.

    mlx_engine.py FORMAT TOKENS

A token takes seconds, so the context is short: MLX gains from that, if anything.
"""

import json
import sys
import time

import mlx.core as mx

from mlx_random import Matrix
from shape import LLAMA_1B as SHAPE


class Layer:
    """A transformer block and its cache."""

    def __init__(self, name):
        hidden, mlp = SHAPE["hidden"], SHAPE["mlp"]
        queries, keys = (SHAPE[heads] * SHAPE["head_dim"] for heads in ("heads", "kv_heads"))
        self.q, self.o = Matrix(name, queries, hidden), Matrix(name, hidden, queries)
        self.k, self.v = Matrix(name, keys, hidden), Matrix(name, keys, hidden)
        self.gate, self.up = Matrix(name, mlp, hidden), Matrix(name, mlp, hidden)
        self.down = Matrix(name, hidden, mlp)
        self.keys = self.values = mx.zeros((1, SHAPE["kv_heads"], 0, SHAPE["head_dim"]),
                                           mx.bfloat16)

    def __call__(self, x):
        x = x + self.attention(norm(x))
        y = norm(x)
        gate = self.gate(y)
        return x + self.down(gate * mx.sigmoid(gate) * self.up(y))

    def attention(self, x):
        """x [1, 1, hidden]; a token more in the cache."""
        def heads(y):
            return y.reshape(1, 1, -1, SHAPE["head_dim"]).transpose(0, 2, 1, 3)

        def rope(y):
            return mx.fast.rope(y, SHAPE["head_dim"], traditional=False, base=SHAPE["rope_base"],
                                scale=1.0, offset=self.keys.shape[2])
        q, k = rope(heads(self.q(x))), rope(heads(self.k(x)))
        self.keys = mx.concatenate([self.keys, k], 2)
        self.values = mx.concatenate([self.values, heads(self.v(x))], 2)
        y = mx.fast.scaled_dot_product_attention(q, self.keys, self.values,
                                                 scale=SHAPE["head_dim"] ** -0.5)
        return self.o(y.transpose(0, 2, 1, 3).reshape(1, 1, -1))


def norm(x):
    """RMS norm with a weight of ones."""
    return mx.fast.rms_norm(x, None, SHAPE["epsilon"])


def main(name, tokens):
    """Measures."""
    mx.set_default_device(mx.cpu)
    embedding = Matrix(name, SHAPE["vocabulary"], SHAPE["hidden"])
    layers = [Layer(name) for _ in range(SHAPE["layers"])]

    def step(token):
        x = embedding.rows(mx.array([[token]]))
        for layer in layers:
            x = layer(x)
        return int(mx.argmax(embedding(norm(x))).item())

    token = 1
    start = time.perf_counter()
    for _ in range(tokens):
        token = step(token)
    elapsed = time.perf_counter() - start
    matrices = [part for layer in layers for part in vars(layer).values()
                if isinstance(part, Matrix)]
    print(json.dumps({"version": f"MLX {mx.__version__}", "decode": tokens / elapsed,
                      "weight_bytes": embedding.nbytes + sum(part.nbytes for part in matrices)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
