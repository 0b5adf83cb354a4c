"""Makes tests/data/io/{types,tiny_llama,tokenizer_*}.gguf and what they should become.

Packages: gguf 0.19.0, tokenizers 0.23.3, safetensors 0.8.0, numpy 2.4.6.

types.gguf: for each element type T a tensor "T" of two rows of random blocks and "T.values", what
gguf.quants.dequantize gives for it; a metadata pair of every type.
tiny_llama.gguf: an untrained llama of 2 layers, the tensors of many types, its q and k rows in the
order of llama.cpp's converter; tiny_llama.safetensors: the values under the checkpoint's names.
tokenizer_<pre>.gguf: the metadata of byte-level BPE tokenizers trained here on a few sentences;
tokenizer_cases.json: texts and the ids that the tokenizers package gives for them.
"""

import json
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

DATA = pathlib.Path(__file__).parents[2] / "tests/data/io"
RNG = np.random.default_rng(7)

# Byte offsets of the float16 fields of a block.
HALVES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82],
          T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0],
          T.IQ4_XS: [0], T.TQ1_0: [52], T.TQ2_0: [64], T.MXFP4: []}


def random_blocks(kind, rows, columns, scale=None):
    """Rows of blocks whose float16 fields are finite (and near `scale` when given)."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    count = rows * columns // block
    data = RNG.integers(0, 256, (count, size), dtype=np.uint8)
    for at in HALVES[kind]:
        if scale is None:
            half = RNG.integers(0, 0x7c00, count).astype(np.uint16)
            half |= (RNG.integers(0, 2, count) << 15).astype(np.uint16)
            half[:4] = [0, 1, 0x8001, 0x7bff][:count]
        else:
            half = (RNG.standard_normal(count) * scale).astype(np.float16).view(np.uint16)
        data[:, at:at + 2] = half.view(np.uint8).reshape(count, 2)
    if kind == T.MXFP4:
        data[:, 0] = RNG.integers(0, 255, count) if scale is None else RNG.integers(118, 122, count)
        if scale is None:
            data[:3, 0] = [0, 1, 254]
    return data.reshape(rows, -1)


def values_of(kind, data):
    with np.errstate(over="ignore"):
        return gguf.quants.dequantize(data, kind).astype(np.float32)


def types_file():
    writer = gguf.GGUFWriter(DATA / "types.gguf", "llama")
    writer.add_uint8("test.u8", 200)
    writer.add_int8("test.i8", -100)
    writer.add_uint16("test.u16", 60000)
    writer.add_int16("test.i16", -30000)
    writer.add_uint32("test.u32", 4000000000)
    writer.add_int32("test.i32", -2000000000)
    writer.add_uint64("test.u64", 1 << 62)
    writer.add_int64("test.i64", -(1 << 62))
    writer.add_float32("test.f32", 1e-5)
    writer.add_float64("test.f64", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_string("test.text", "h\u00e9llo")
    writer.add_array("test.integers", [1, -2, 3])
    writer.add_array("test.numbers", [0.5, -1.5])
    writer.add_array("test.flags", [True, False])
    writer.add_array("test.texts", ["a", "", "\u4f60"])
    for kind in HALVES:
        data = random_blocks(kind, 2, 2 * gguf.GGML_QUANT_SIZES[kind][0])
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        writer.add_tensor(kind.name + ".values", values_of(kind, data))
    plain = RNG.standard_normal((2, 5))
    for name, array in {"F32": plain.astype(np.float32), "F16": plain.astype(np.float16), "F64": plain,
                        "I8": (plain * 50).astype(np.int8), "I16": (plain * 5000).astype(np.int16),
                        "I32": (plain * 5e8).astype(np.int32),
                        "I64": (plain * 5e17).astype(np.int64)}.items():
        writer.add_tensor(name, array)
        writer.add_tensor(name + ".values", array.astype(np.float32))
    bits = (plain.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    writer.add_tensor("BF16", bits.view(np.uint8), raw_dtype=T.BF16)
    writer.add_tensor("BF16.values", (bits.astype(np.uint32) << 16).view(np.float32))
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


HIDDEN, HEADS, KV_HEADS, FFN, VOCABULARY = 32, 4, 2, 256, 40

LAYER = {"attn_q": ("self_attn.q_proj", HIDDEN, HIDDEN),
         "attn_k": ("self_attn.k_proj", HIDDEN // 2, HIDDEN),
         "attn_v": ("self_attn.v_proj", HIDDEN // 2, HIDDEN),
         "attn_output": ("self_attn.o_proj", HIDDEN, HIDDEN),
         "ffn_gate": ("mlp.gate_proj", FFN, HIDDEN), "ffn_up": ("mlp.up_proj", FFN, HIDDEN),
         "ffn_down": ("mlp.down_proj", HIDDEN, FFN)}

KINDS = [{"attn_q": T.Q4_0, "attn_k": T.Q4_0, "attn_v": T.Q8_0, "attn_output": T.Q4_1,
          "ffn_gate": T.Q4_0, "ffn_up": T.MXFP4, "ffn_down": T.Q6_K},
         {"attn_q": T.Q5_1, "attn_k": T.F16, "attn_v": T.BF16, "attn_output": T.F32,
          "ffn_gate": T.Q4_0, "ffn_up": T.IQ4_NL, "ffn_down": T.Q4_K}]


def head_rows(values, heads):
    """From llama.cpp's interleaved rows back to half after half."""
    rows = values.reshape(heads, values.shape[0] // heads // 2, 2, -1)
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(values.shape))


def tiny_llama():
    writer = gguf.GGUFWriter(DATA / "tiny_llama.gguf", "llama")
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    expected = {}

    def add(name, module, kind, rows, columns):
        shape = (rows, columns) if rows else (columns,)
        if kind in HALVES:
            data = random_blocks(kind, rows, columns, 0.02)
            values = values_of(kind, data)
            writer.add_tensor(name + ".weight", data, raw_dtype=kind)
        else:
            values = RNG.standard_normal(shape).astype(np.float32) * np.float32(0.1)
            if kind == T.F16:
                values = values.astype(np.float16)
                writer.add_tensor(name + ".weight", values)
            elif kind == T.BF16:
                bits = (values.view(np.uint32) >> 16).astype(np.uint16)
                values = (bits.astype(np.uint32) << 16).view(np.float32)
                writer.add_tensor(name + ".weight", bits.view(np.uint8), raw_dtype=kind)
            else:
                writer.add_tensor(name + ".weight", values)
        values = values.astype(np.float32)
        if name.endswith("attn_q"):
            values = head_rows(values, HEADS)
        if name.endswith("attn_k"):
            values = head_rows(values, KV_HEADS)
        expected[module + ".weight"] = values

    add("token_embd", "model.embed_tokens", T.Q8_0, VOCABULARY, HIDDEN)
    for layer, kinds in enumerate(KINDS):
        gg, hf = f"blk.{layer}.", f"model.layers.{layer}."
        add(gg + "attn_norm", hf + "input_layernorm", T.F32, 0, HIDDEN)
        add(gg + "ffn_norm", hf + "post_attention_layernorm", T.F32, 0, HIDDEN)
        for name, (module, rows, columns) in LAYER.items():
            add(gg + name, hf + module, kinds[name], rows, columns)
    add("output_norm", "model.norm", T.F32, 0, HIDDEN)
    finish(writer)
    save_file(expected, DATA / "tiny_llama.safetensors")
    (DATA / "tiny_llama.safetensors").chmod(0o644)


CORPUS = ["The quick brown fox jumps over the lazy dog, and it's 1234 miles away!", "don't can't I'll we've HE'S",
          "  leading and   inner   spaces\n\n\ttabs", "caf\u00e9 na\u00efve \u00fcber 2024-11-22", "\u4f60\u597d\uff0c\u4e16\u754c 3.14159",
          "def f(x):\n    return x + 1\n"]
TEXTS = CORPUS + ["", " ", "\n", "   \n  x", "e\u0301 \u00e9", "12345678", "\U0001f389\U0001f468\u200d\U0001f469 ok", "a\u00a0b",
                  "<|start|>hi<|end|> <tool> there", "x" * 40, "\u0000\u0001", "it'S \u2019s"]
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def pre_tokenizer(pre):
    byte_level = lambda use_regex: pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    if pre == "gpt-2":
        return byte_level(True)
    if pre == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True)])
    pattern = LLAMA3 if pre == "llama-bpe" else LLAMA3.replace("{1,3}", "")
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level(False)])


def tokenizer_file(pre, cases):
    tokenizer = Tokenizer(models.BPE(ignore_merges=pre == "llama-bpe"))
    tokenizer.pre_tokenizer = pre_tokenizer(pre)
    tokenizer.decoder = decoders.ByteLevel()
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(vocab_size=340, special_tokens=["<|start|>", "<|end|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False)])
    size = tokenizer.get_vocab_size()
    tokens = [tokenizer.id_to_token(i) for i in range(size)]
    if pre == "llama-bpe":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|start|> $A", pair="<|start|> $A <|start|> $B", special_tokens=[("<|start|>", 0)])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer = gguf.GGUFWriter(DATA / f"tokenizer_{pre}.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3] + [1] * (size - 3) + [4])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template("{{ messages }}")
    finish(writer)
    ids = [tokenizer.encode(text).ids for text in TEXTS]
    cases[pre] = [{"text": text, "ids": i, "decoded": tokenizer.decode(i, skip_special_tokens=False)}
                  for text, i in zip(TEXTS, ids)]


def main():
    types_file()
    tiny_llama()
    cases = {}
    for pre in ["gpt-2", "smollm", "llama-bpe", "qwen2"]:
        tokenizer_file(pre, cases)
    (DATA / "tokenizer_cases.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
