"""Strings to try tokenizers on: varied, and the same for every run of one Python version (3.11).

`strings(count)` gives code, prose in many scripts, emoji and their joined sequences, combining
marks, control characters, runs of one character, numbers, markup, added tokens and mixtures.
Code points are drawn from blocks of Unicode 14 and before: programs differ in which later version
they know.
"""

import json
import random
import sys
import unicodedata

PROSE = [
    "The quick brown fox jumps over the lazy dog, doesn't it? They'll see; I'm sure we've won.",
    "IT'S A TEST: WE'LL SEE, YOU'RE HERE, I'D SAY 'TIS FINE.",
    "Größe, Äpfel und Öl kosten 12,50 €. Straßenbahn fährt um 7:45 Uhr.",
    "L'été dernier, j'ai mangé une crème brûlée à Nîmes — c'était délicieux !",
    "El niño comió piñas; ¿dónde está la cigüeña? ¡Aquí!",
    "Добрый день! Сколько стоит эта книга? Ёжик съел 3 яблока.",
    "Γειά σου Κόσμε, πώς είσαι; Ὀδυσσεὺς ἔφη.",
    "שלום עולם, מה שלומך היום? בְּרֵאשִׁית בָּרָא",
    "مرحبا بالعالم، كيف حالك؟ العَرَبِيَّة ١٢٣٤",
    "नमस्ते दुनिया, आप कैसे हैं? क्षत्रिय १२३",
    "বাংলা ভাষা সুন্দর। আমি ৪৫৬ টাকা দিলাম।",
    "வணக்கம் உலகம், எப்படி இருக்கிறீர்கள்?",
    "สวัสดีชาวโลก วันนี้อากาศดีมาก ๑๒๓",
    "你好，世界！今天是2024年3月15日，天气很好。",
    "こんにちは世界。カタカナとひらがな、ｶﾀｶﾅ、１２３。",
    "안녕하세요 세계! 오늘은 날씨가 좋네요. 각각",
    "გამარჯობა მსოფლიო, როგორ ხარ?",
    "Բարեւ աշխարհ, ինչպե՞ս ես",
    "ሰላም ልዑል፣ እንዴት ነህ?",
    "မင်္ဂလာပါ ကမ္ဘာလောက",
    "ខ្ញុំស្រឡាញ់ភាសាខ្មែរ",
    "Xin chào thế giới, hôm nay trời đẹp quá!",
    "İstanbul'da ılık bir gün; ŞEKER ĞÜÇ.",
    "Cześć świecie! Zażółć gęślą jaźń.",
    "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "ﬁne ﬂow oﬃce Ⅷ ① ½ ㎏ ℡ ﷺ ſtraße Ǆ ＡＢＣ",
    "𝓗𝓮𝓵𝓵𝓸 𝕎𝕠𝕣𝕝𝕕 𝟙𝟚𝟛 𐍈 𠀀𠮷 𒀀",
]
CODE = [
    "def f(x: int) -> str:\n    return f\"{x:>10}\"  # comment\n\n\nclass A(B):\n\tpass\n",
    "for (size_t i = 0; i < n; ++i) { sum += a[i] * b[i]; }  // loop\r\n",
    "SELECT * FROM users WHERE id = 42 AND name LIKE '%o''brien%';",
    "{\"key\": [1, 2.5e-3, null, true], \"nested\": {\"a\": \"\\u00e9\"}}",
    "<div class=\"x\"><a href='https://example.org/?q=1&r=2#top'>link</a></div>",
    "#!/bin/sh\nset -e\nfind . -name '*.c' | xargs grep -n \"TODO\" > /dev/null 2>&1\n",
    "fn main() {\n    println!(\"{:?}\", vec![1u8, 0xff, 0b1010]);\n}\n",
    "\\begin{equation} \\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2} \\end{equation}",
    "x=1;y=-2;z=x+y*3/4%5^6&7|8~9<10>11!=12==13<=14>=15",
    "	key:\t- value\n	- [ ] task\n  * item\n\n---\n## Title\n> quote `code`\n",
]
EMOJI = [
    "😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷🇯🇵", "❤️", "☺︎", "1️⃣", "🧑🏿‍🚀", "👩‍❤️‍💋‍👨",
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "✨", "‼️", "©️", "🤷‍♂️", "🫠",
]
MARKS = "\u0301\u0300\u0308\u0323\u0327\u0330\u20d7\u0345\u05b4\u064b\u093c\u0e38\u3099\u1ab0"
CONTROLS = "\x00\x01\x07\x08\x0b\x0c\x1b\x1f\x7f\x80\x85\x9f\xa0\xad"
SPACES = " \t\n\r\u00a0\u1680\u180e\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\ufffd\ufffe\uffff\ufe0f\u2581"
ADDED = [
    "<s>", "</s>", "<unk>", "<pad>", "<|begin|>", "<|end|>", "<|im_start|>", "<|im_end|>",
    "<|endoftext|>", "[MASK]", "[INST]", "<0x41>", "Hello", "<word>", "<left>", "<right>", "<both>",
    "Norm", "ÀB", "<special norm>", "<|im_start|>user\nHi<|im_end|>\n",
]
ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyz", "ABCxyz0123456789", "0123456789", " \n\t", "'sStTdDmMlLvVrReE ",
    "aàáâãäå", "ßſẞK\u212aÅ\u212b", "ǅǈǋ", "!\"#$%&()*+,-./:;<=>?@[]^_`{|}~",
]
BLOCKS = [  # first and last code point of what is drawn from, in Unicode 14 or before
    (0x20, 0x7e), (0xa1, 0x17f), (0x180, 0x24f), (0x250, 0x2ff), (0x300, 0x36f), (0x370, 0x3ff),
    (0x400, 0x52f), (0x531, 0x587), (0x5d0, 0x5f4), (0x600, 0x6ff), (0x904, 0x97f), (0xe01, 0xe3a),
    (0x10a0, 0x10ff), (0x1100, 0x11ff), (0x1e00, 0x1eff), (0x1f00, 0x1f15), (0x2010, 0x205e),
    (0x2070, 0x208e), (0x20a0, 0x20c0), (0x2100, 0x218b), (0x2190, 0x23ff), (0x2460, 0x24ff),
    (0x2500, 0x2bff), (0x3041, 0x30ff), (0x3131, 0x318e), (0x3200, 0x32fe), (0x3400, 0x4dbf),
    (0x4e00, 0x9fff), (0xac00, 0xd7a3), (0xe000, 0xf8ff), (0xf900, 0xfad9), (0xfb00, 0xfb06),
    (0xfb1d, 0xfb4f), (0xfe70, 0xfefc), (0xff01, 0xffdc), (0x10000, 0x100fa), (0x10400, 0x1044f),
    (0x12000, 0x12399), (0x1d400, 0x1d7ff), (0x1f300, 0x1f5ff), (0x1f600, 0x1f6d7),
    (0x20000, 0x2a6df), (0xf0000, 0xf00ff), (0x10fff0, 0x10ffff),
]


def code_point(random_):
    while True:
        low, high = random_.choice(BLOCKS)
        code = random_.randint(low, high)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs"):
            return chr(code)


def words(random_, texts):
    parts = random_.choice(texts).split(" ")
    begin = random_.randrange(len(parts))
    return " ".join(parts[begin : begin + random_.randint(1, 8)])


def piece(random_):
    kind = random_.randrange(14)
    if kind <= 2:
        return words(random_, PROSE)
    if kind <= 4:
        return words(random_, CODE)
    if kind == 5:
        return "".join(random_.choice(EMOJI) for _ in range(random_.randint(1, 4)))
    if kind == 6:
        base = [code_point(random_) for _ in range(random_.randint(1, 4))]
        return "".join(c + "".join(random_.choices(MARKS, k=random_.randint(0, 3))) for c in base)
    if kind == 7:
        return "".join(random_.choices(CONTROLS + INVISIBLE, k=random_.randint(1, 5)))
    if kind == 8:
        return "".join(random_.choices(SPACES, k=random_.randint(1, 6)))
    if kind == 9:
        return random_.choice(ADDED)
    if kind == 10:
        alphabet = random_.choice(ALPHABETS)
        return "".join(random_.choices(alphabet, k=random_.randint(1, 20)))
    if kind == 11:
        return random_.choice("a 0=-\n\t.é中😀\u0301") * random_.choice([2, 3, 4, 7, 15, 16, 40])
    if kind == 12:
        return "".join(code_point(random_) for _ in range(random_.randint(1, 12)))
    return str(random_.choice([random_.randint(0, 10**12), random_.random(), -random_.random()]))


def fixed():
    yield from ["", " ", "  ", "\n", "a", "\x00", "\x00\x00a\x00", "\ufeff", "\U0010ffff"]
    yield from PROSE + CODE + EMOJI + ADDED
    for character in ALPHABETS + [MARKS, CONTROLS, SPACES, INVISIBLE]:
        yield from character
    for token in ADDED:
        yield from [f" {token}", f"{token} ", f"a{token}b", f"  {token}  {token}\n", f"_{token}é"]
    for character in " a0=-\n\té中😀":
        yield from [character * 100, character * 1000, "x" + character * 257 + "y"]
    yield from [" " * n + "x" for n in range(2, 20)]
    yield "".join(chr(code) for code in range(0x250))


def strings(count, seed=2):
    """`count` strings, the fixed ones first."""
    random_ = random.Random(seed)
    out = list(fixed())[:count]
    while len(out) < count:
        separator = random_.choice(["", "", " ", " ", "\n", "  "])
        out.append(separator.join(piece(random_) for _ in range(random_.randint(1, 5))))
    return out


if __name__ == "__main__":
    json.dump(strings(int(sys.argv[1])), sys.stdout)
