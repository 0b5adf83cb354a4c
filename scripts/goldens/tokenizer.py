"""What the `tokenizers` package 0.23.3 makes of 5,000 strings, with tokenizers of many shapes.

Writes to tests/data/text/tokenizer:
  strings.json   the strings (strings.py)
  NAME.json      small tokenizers trained and put together here, one for each group of components
  NAME.bin       for each string and tokenizer a little-endian uint32: the two halves, xored, of the
                 64-bit FNV-1a hash of
                   ids without the post-processor's tokens, each as uint32, then 0xffffffff,
                   ids with them, each as uint32, then 0xffffffff,
                   the text of the former ids, special tokens kept, then byte 0xff,
                   the text of the latter ids, special tokens skipped
and llama.bin, the same for tests/data/text/llama/tokenizer.json.

  python scripts/goldens/tokenizer.py
  python scripts/goldens/tokenizer.py --check TOKENIZER.json --tool BUILD/tests/text/tokenize_tool
The second compares the tool with the package on 6,000 strings and writes nothing.
"""

import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import strings as samples
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

DATA = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "text"
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+|"
    r" ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LETTERS = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
    r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def corpus():
    return samples.PROSE + samples.CODE + samples.EMOJI


def train_bpe(tokenizer, size, **options):
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, **options)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def byte_level(size, pre_tokenizer, **model):
    """A BPE over bytes; `pre_tokenizer` must end in ByteLevel."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    train_bpe(tokenizer, size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    if model:
        state = json.loads(tokenizer.to_str())
        state["model"].update(model)
        tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def plain_bytes():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def split(pattern, behavior, invert=False):
    return pre_tokenizers.Split(pattern, behavior, invert)


def with_byte_tokens(tokenizer):
    """Puts <0x00> .. <0xFF> behind the vocabulary and turns byte fallback on."""
    state = json.loads(tokenizer.to_str())
    model = state["model"]
    names = [f"<0x{byte:02X}>" for byte in range(256)]
    if model["type"] == "BPE":
        for name in names:
            model["vocab"][name] = len(model["vocab"])
    else:
        worst = min(score for _, score in model["vocab"])
        model["vocab"] += [[name, worst - 1] for name in names]
    model["byte_fallback"] = True
    return Tokenizer.from_str(json.dumps(state))


def gpt2():
    tokenizer = byte_level(
        500, pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True), ignore_merges=True
    )
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def smollm():
    tokenizer = byte_level(
        450,
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        ),
    )
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return tokenizer


def cl100k():
    tokenizer = byte_level(
        450, pre_tokenizers.Sequence([split(Regex(CL100K), "isolated"), plain_bytes()])
    )
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens(["<|begin|>", "<|end|>"])
    template = processors.TemplateProcessing(
        single="<|begin|> $A <|end|>",
        pair="$A $B",
        special_tokens=[
            ("<|begin|>", tokenizer.token_to_id("<|begin|>")),
            ("<|end|>", tokenizer.token_to_id("<|end|>")),
        ],
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(), template])
    return tokenizer


def o200k():
    return byte_level(
        450, pre_tokenizers.Sequence([split(Regex(O200K), "removed", True), plain_bytes()])
    )


def splits():
    """Every behaviour of Split, patterns and strings, after one another."""
    return byte_level(
        450,
        pre_tokenizers.Sequence(
            [
                split(Regex(r"\p{N}{1,3}"), "isolated"),
                split(Regex("[一-龥぀-ゟ゠-ヿ]+"), "isolated"),
                split(Regex(LETTERS), "isolated"),
                split("=", "merged_with_previous"),
                split(Regex(r"\h{2}"), "merged_with_next"),
                split(Regex(r"[^\w\s]"), "contiguous"),
                split(Regex(r"\bthe\b|(?i:qu)|\p{Cyrillic}"), "isolated"),
                split(Regex(r"^|$"), "isolated"),
                split(Regex(r"a*"), "merged_with_previous", True),
                split("中", "removed"),
                plain_bytes(),
            ]
        ),
    )


def llama2():
    """SentencePiece's BPE: the text is one word, spaces are visible, bytes spell the rest."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    train_bpe(tokenizer, 500, special_tokens=["<unk>", "<s>", "</s>"], limit_alphabet=90)
    tokenizer = with_byte_tokens(tokenizer)
    tokenizer.pre_tokenizer = None
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_tokens([AddedToken("[INST]", normalized=True), AddedToken("Hello")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def gemma():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    train_bpe(tokenizer, 450, special_tokens=["<pad>", "<unk>"], limit_alphabet=80)
    tokenizer = with_byte_tokens(tokenizer)
    tokenizer.pre_tokenizer = split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def metaspace():
    """Unknown characters one by one, and the space that is put before the text's start alone."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Strip(left=True, right=False)]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    train_bpe(tokenizer, 400, special_tokens=["<unk>", "</s>"], limit_alphabet=80)
    tokenizer.add_tokens([AddedToken("[MASK]", normalized=False, lstrip=True)])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    return tokenizer


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=500, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"],
        unk_token="<unk>",
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer = with_byte_tokens(tokenizer)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return tokenizer


def words():
    """Words with an end mark, accents removed; no byte fallback, unknown characters are dropped."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    train_bpe(tokenizer, 400, limit_alphabet=70, end_of_word_suffix="</w>")
    tokenizer.decoder = decoders.BPEDecoder()
    return tokenizer


def prefixes():
    """Continuing subwords, as early files had them: no type, merges as lines, no decoder."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##"))
    tokenizer.normalizer = normalizers.Replace(Regex(r"\s{2,}"), " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation("contiguous"),
            pre_tokenizers.Digits(individual_digits=False),
        ]
    )
    train_bpe(
        tokenizer, 400, limit_alphabet=70, special_tokens=["[UNK]"], continuing_subword_prefix="##"
    )
    state = json.loads(tokenizer.to_str())
    del state["model"]["type"]
    state["model"]["merges"] = [" ".join(pair) for pair in state["model"]["merges"]]
    return state


def added():
    """Added tokens with every flag, some of them in the vocabulary already."""
    tokenizer = byte_level(350, plain_bytes())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.add_tokens(
        [
            AddedToken("<word>", single_word=True, normalized=False),
            AddedToken("<left>", lstrip=True, normalized=False),
            AddedToken("<right>", rstrip=True, normalized=False),
            AddedToken("<both>", lstrip=True, rstrip=True, normalized=False),
            AddedToken("Hello", single_word=True, normalized=True),
            AddedToken("Norm", normalized=True, rstrip=True),
            AddedToken("ÀB", normalized=True, single_word=True, lstrip=True),
            AddedToken("</s>", normalized=False),
            AddedToken("</s></s>", normalized=False),
            AddedToken("\n\n", normalized=False),
            AddedToken("e", normalized=False, single_word=True),
            AddedToken("  ", normalized=True),
        ]
    )
    tokenizer.add_special_tokens(
        [
            AddedToken("<s>", normalized=False),
            AddedToken("<special norm>", normalized=True),
            AddedToken("<SPECIAL NORM>é", normalized=True),
        ]
    )
    return tokenizer


def normalized_bytes():
    """Bytes made printable by the normalizer, a regular expression cuts them."""
    tokenizer = byte_level(400, plain_bytes())
    tokenizer.pre_tokenizer = split(Regex("Ġ?[a-zA-Z]+|Ġ+(?!Ġ)"), "isolated")
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Strip(), normalizers.Replace(Regex(r"\d(?=(\d{3})+$)"), "#"),
         normalizers.ByteLevel()]
    )
    tokenizer.add_tokens([AddedToken("a b", normalized=True)])
    return tokenizer


TOKENIZERS = [
    gpt2, smollm, cl100k, o200k, splits, llama2, gemma, metaspace, unigram, words, prefixes, added,
    normalized_bytes,
]


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def golden(tokenizer, text):
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    whole = tokenizer.encode(text, add_special_tokens=True).ids
    value = fnv1a(
        struct.pack(f"<{len(plain) + 1}I", *plain, 0xFFFFFFFF)
        + struct.pack(f"<{len(whole) + 1}I", *whole, 0xFFFFFFFF)
        + tokenizer.decode(plain, skip_special_tokens=False).encode()
        + b"\xff"
        + tokenizer.decode(whole, skip_special_tokens=True).encode()
    )
    return (value ^ value >> 32) & 0xFFFFFFFF


def write_goldens():
    texts = samples.strings(5000)
    out = DATA / "tokenizer"
    (out / "strings.json").write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
    files = {"llama": DATA / "llama" / "tokenizer.json"}
    for make in TOKENIZERS:
        made = make()
        state = made if isinstance(made, dict) else json.loads(made.to_str())
        files[make.__name__] = out / f"{make.__name__}.json"
        files[make.__name__].write_text(
            json.dumps(state, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
        )
    for name, path in files.items():
        tokenizer = Tokenizer.from_file(str(path))
        hashes = [golden(tokenizer, text) for text in texts]
        (out / f"{name}.bin").write_bytes(struct.pack(f"<{len(hashes)}I", *hashes))


def check(path, tool):
    texts = samples.strings(6000, seed=3)
    tokenizer = Tokenizer.from_file(path)
    differences = 0
    for flag, special in (([], False), (["--special"], True)):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(texts, file)
            file.flush()
            run = subprocess.run([tool, path, file.name, *flag], capture_output=True, check=True)
        lines = run.stdout.decode().split("\n")[:-1]
        assert len(lines) == len(texts), f"{len(lines)} lines for {len(texts)} strings"
        for text, line in zip(texts, lines):
            ids = tokenizer.encode(text, add_special_tokens=special).ids
            expected = {"ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=False)}
            if json.loads(line) != expected:
                differences += 1
                print(f"{text!r}\n  expected {expected}\n  found    {line}", file=sys.stderr)
    print(f"{path}: {len(texts)} strings, {differences} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", metavar="TOKENIZER.json")
    parser.add_argument("--tool")
    arguments = parser.parse_args()
    if arguments.check:
        sys.exit(check(arguments.check, arguments.tool))
    write_goldens()
