"""Random weights in MLX's formats."""

import mlx.core as mx

# Format, as the tables call it: MLX's mode, bits and group size.
FORMATS = {
    "mxfp8": ("mxfp8", 8, 32), "mxfp4": ("mxfp4", 4, 32), "nvfp4": ("nvfp4", 4, 16),
    "affine 8": ("affine", 8, 64), "affine 4": ("affine", 4, 64),
}
CODE_2_POW_MINUS_8 = {"mxfp8": 119, "mxfp4": 119, "nvfp4": 0x04}  # scales


class Matrix:
    """[outputs, inputs] of random codes, for products with its transpose."""

    def __init__(self, name, outputs, inputs):
        mode, bits, group_size = FORMATS[name]
        self.options = {"group_size": group_size, "bits": bits, "mode": mode}
        self.codes = mx.random.randint(0, 1 << 32, (outputs, inputs * bits // 32), mx.uint32)
        groups = (outputs, inputs // group_size)
        self.biases = None
        if mode == "affine":
            self.scales = mx.full(groups, 2.0 ** -8, mx.bfloat16)
            self.biases = mx.full(groups, -(2.0 ** (bits - 9)), mx.bfloat16)
        else:
            self.scales = mx.full(groups, CODE_2_POW_MINUS_8[mode], mx.uint8)
        if mode == "mxfp8":  # e4m3 has a code that is no number: elements stay below 2
            self.codes = self.codes & 0xBFBFBFBF
        self.parts = [part for part in (self.codes, self.scales, self.biases) if part is not None]
        mx.eval(self.parts)
        self.nbytes = sum(part.nbytes for part in self.parts)

    def __call__(self, x):
        """x [..., inputs] -> [..., outputs]"""
        return mx.quantized_matmul(x, self.codes, self.scales, self.biases, **self.options)

    def rows(self, ids):
        """Rows `ids`, as numbers."""
        biases = None if self.biases is None else self.biases[ids]
        return mx.dequantize(self.codes[ids], self.scales[ids], biases, **self.options).astype(
            mx.bfloat16)
