"""Writes a GGUF of random weights in the shape of Llama 3.2 1B, all matrices in one type.

    random_gguf.py TYPE FILE

TYPE: q8_0, q4_0, mxfp4, nvfp4. There is no tokenizer, and the head is the embedding's matrix.
"""

import sys

import gguf
import numpy

from shape import LLAMA_1B as SHAPE

# Type: elements of a block, the bytes of its scale (2^-8 or so) and the bytes of its codes.
BLOCKS = {
    "q8_0": (32, numpy.float16(2.0 ** -12).tobytes(), 32),
    "q4_0": (32, numpy.float16(2.0 ** -8).tobytes(), 16),
    "mxfp4": (32, bytes([127 - 7]), 16),
    "nvfp4": (64, bytes([0x04] * 4), 32),
}


def random_matrix(random, kind, outputs, inputs):
    """The bytes of [outputs, inputs], a row of blocks each."""
    elements, scale, codes = BLOCKS[kind]
    blocks = numpy.empty((outputs, inputs // elements, len(scale) + codes), numpy.uint8)
    blocks[..., :len(scale)] = numpy.frombuffer(scale, numpy.uint8)
    blocks[..., len(scale):] = random.integers(0, 256, (*blocks.shape[:2], codes), numpy.uint8)
    return blocks.reshape(outputs, -1)


def matrices():
    """Name, outputs and inputs of each."""
    hidden, mlp = SHAPE["hidden"], SHAPE["mlp"]
    queries, keys = (SHAPE[name] * SHAPE["head_dim"] for name in ("heads", "kv_heads"))
    yield "token_embd", SHAPE["vocabulary"], hidden
    for layer in range(SHAPE["layers"]):
        for name, outputs, inputs in (
                ("attn_q", queries, hidden), ("attn_k", keys, hidden), ("attn_v", keys, hidden),
                ("attn_output", hidden, queries), ("ffn_gate", mlp, hidden),
                ("ffn_up", mlp, hidden), ("ffn_down", hidden, mlp)):
            yield f"blk.{layer}.{name}", outputs, inputs


def main(kind, path):
    """Writes the file."""
    writer = gguf.GGUFWriter(path, "llama", use_temp_file=True)
    writer.add_context_length(8192)
    writer.add_embedding_length(SHAPE["hidden"])
    writer.add_feed_forward_length(SHAPE["mlp"])
    writer.add_block_count(SHAPE["layers"])
    writer.add_head_count(SHAPE["heads"])
    writer.add_head_count_kv(SHAPE["kv_heads"])
    writer.add_rope_dimension_count(SHAPE["head_dim"])
    writer.add_rope_freq_base(SHAPE["rope_base"])
    writer.add_layer_norm_rms_eps(SHAPE["epsilon"])
    writer.add_vocab_size(SHAPE["vocabulary"])
    writer.add_tokenizer_model("none")
    random = numpy.random.default_rng(1)
    for name, outputs, inputs in matrices():
        writer.add_tensor(f"{name}.weight", random_matrix(random, kind, outputs, inputs),
                          raw_dtype=gguf.GGMLQuantizationType[kind.upper()])
    ones = numpy.ones(SHAPE["hidden"], numpy.float32)
    writer.add_tensor("output_norm.weight", ones)
    for layer in range(SHAPE["layers"]):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", ones)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
