"""Every code point through the classes and forms of the `tokenizers` package 0.23.3.

Writes tests/data/text/tokenizer/unicode.json: for each class the ranges of code points that it
holds, for each form the 64-bit FNV-1a hash of the UTF-8 of all code points' images, one after
another. With --tables it prints instead the rows of src/text/tokenizer_unicode_versions.cpp. The
package's parts know different versions of Unicode: patterns 16, Rust's own tables 17, punctuation
8, marks and normal forms 9. Run it with Python 3.11, which knows 14, as PCRE2 10.42 does; utf8proc
2.8 and 2.9 know 15.
"""

import json
import pathlib
import sys
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/data/text/tokenizer/unicode.json"
CODES = [code for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf".split()
PATTERNS = {category: rf"\p{{{category}}}" for category in CATEGORIES} | {
    "space": r"\s", "word": r"\w", "word in class": r"[\w]", "digit": r"\d", "letter": r"\p{L}",
    "punct": "[[:punct:]]", "Han": r"\p{Han}",
}
FORMS = {
    "NFC": normalizers.NFC(), "NFD": normalizers.NFD(), "NFKC": normalizers.NFKC(),
    "NFKD": normalizers.NFKD(), "Lowercase": normalizers.Lowercase(),
}
# What utf8proc decomposes for compatibility, and the package, with older data, does not.
UTF8PROC_15 = list(range(0x1E030, 0x1E06E))


def ranges(codes):
    out = []
    for code in sorted(codes):
        if out and out[-1][1] == code - 1:
            out[-1][1] = code
        else:
            out.append([code, code])
    return out


def matched(pattern):
    removed = pre_tokenizers.Split(Regex(pattern), "removed")
    return {code for code in CODES if not removed.pre_tokenize_str(chr(code))}


def cut(pre_tokenizer):
    return {code for code in CODES if len(pre_tokenizer.pre_tokenize_str(f"a{chr(code)}a")) > 1}


def classes():
    whitespace = pre_tokenizers.Whitespace()
    strip = normalizers.StripAccents()
    return {name: matched(pattern) for name, pattern in PATTERNS.items()} | {
        "numeric": cut(pre_tokenizers.Digits(individual_digits=True)),
        "punctuation": cut(pre_tokenizers.Punctuation()),
        "whitespace": cut(pre_tokenizers.WhitespaceSplit()),
        "mark": {code for code in CODES if not strip.normalize_str(chr(code))},
        "Whitespace's word": {
            code for code in CODES
            if [part for part, _ in whitespace.pre_tokenize_str("a" + chr(code))] == ["a" + chr(code)]
        },
    }


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def image_hash(form):
    return fnv1a("".join(form.normalize_str(chr(code)) for code in CODES).encode())


# The characters that stand in for newer ones of the same class: (category, UTF-8 length).
STAND_INS = {
    ("Lu", 3): 0xA722, ("Ll", 3): 0xA723, ("Mn", 3): 0x1AB0,
    ("Mc", 3): 0x0903, ("Po", 3): 0x2016, ("So", 3): 0x2400,
    ("Lu", 4): 0x10400, ("Ll", 4): 0x10428, ("Lm", 4): 0x16B40, ("Lo", 4): 0x10280,
    ("Mn", 4): 0x1E000, ("Mc", 4): 0x11000, ("Nd", 4): 0x1D7CE,
    ("No", 4): 0x1F100, ("Po", 4): 0x10100, ("Pd", 4): 0x10EAD,
    ("Sm", 4): 0x1D6C1, ("So", 4): 0x1D000, ("Cf", 4): 0xE0001,
}


def rows(name, entries):
    print(f"{name}: {len(entries)}")
    texts = ["{" + ", ".join(f"0x{value:x}" for value in entry) + "}" for entry in entries]
    for begin in range(0, len(texts), 4):
        print("    " + ", ".join(texts[begin : begin + 4]) + ",")


def print_tables(found):
    newer = {}
    for category in CATEGORIES:
        for code in found[category]:
            if unicodedata.category(chr(code)) != category:
                stand_in = STAND_INS[category, len(chr(code).encode())]
                newer[code] = 0x3134A if code in found["Han"] and category == "Lo" else stand_in
    entries = []
    for code in sorted(newer):
        if entries and entries[-1][1] == code - 1 and entries[-1][2] == newer[code]:
            entries[-1][1] = code
        else:
            entries.append([code, code, newer[code]])
    rows("new to the engine, or in another category there (first, last, stand-in)", entries)
    modern = {name: set().union(*(found[c] for c in CATEGORIES if c[0] == name)) for name in "MNP"}
    rows("no punctuation to the package", ranges(modern["P"] - found["punctuation"]))
    ascii_symbols = {ord(c) for c in "$+<=>^`|~"}
    rows("only punctuation to the package",
         ranges(found["punctuation"] - modern["P"] - ascii_symbols))
    rows("no mark to the package", ranges(modern["M"] - found["mark"]))
    rows("only a mark to the package", ranges(found["mark"] - modern["M"]))
    rows("a newer number", ranges(
        code for code in found["numeric"] if unicodedata.category(chr(code)) == "Cn"))
    nfkd = normalizers.NFKD()
    rows("not decomposed by the package", ranges(
        UTF8PROC_15 + [code for code in CODES
         if nfkd.normalize_str(chr(code)) != unicodedata.normalize("NFKD", chr(code))]))
    lowercase = normalizers.Lowercase()
    cased = []
    for code in CODES:
        lower = [ord(c) for c in lowercase.normalize_str(chr(code))]
        if len(lower) == 1 and lower != [ord(c) for c in chr(code).lower()]:
            if cased and cased[-1][1] == code - 1 and cased[-1][2] + code - cased[-1][0] == lower[0]:
                cased[-1][1] = code
            else:
                cased.append([code, code, lower[0]])
    rows("newer case pairs (first, last, lower of first)", cased)


if __name__ == "__main__":
    found = classes()
    if "--tables" in sys.argv:
        print_tables(found)
    else:
        golden = {name: ranges(codes) for name, codes in found.items()}
        golden |= {name: f"{image_hash(form):016x}" for name, form in FORMS.items()}
        OUT.write_text(json.dumps(golden, separators=(",", ":")), encoding="utf-8")
