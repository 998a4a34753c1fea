#!/usr/bin/env python3
"""Makes what the tokenizer is checked against, with the `tokenizers` library as the reference.

  make_tokenizer_goldens.py            writes tests/golden/tokenizer/
  make_tokenizer_goldens.py --tables   writes src/model/tokenizer/unicode_tables.cpp
  make_tokenizer_goldens.py --starter FILE.gguf   writes tests/golden/tokenizer/starter.ids, with that vocabulary

All are deterministic. The tables are probed from the library, because its Unicode version decides the ids.
"""
import json
import os
import random
import sys
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def members(expression):
    """The code points that match a one-character expression."""
    out = set()
    for i in range(0, len(CODE_POINTS), 4096):
        text = "".join(map(chr, CODE_POINTS[i : i + 4096]))
        left = set()
        for piece, _ in pre_tokenizers.Split(Regex(expression), "removed").pre_tokenize_str(text):
            left.update(piece)
        out.update(ord(c) for c in text if c not in left)
    return out


# Stand-ins by length and place: the published expressions name ranges of three-byte characters, so a stand-in must lie
# in the same ones: U+0800..4E00, U+3040..30FF within it, U+AC00..D7FF, or none.
STAND_INS = {
    "2": {"": 0xAD},
    "low": {"L": 0x905, "M": 0x901, "N": 0x966, "P": 0x964, "S": 0xBF3, "": 0x200B},
    "kana": {},
    "hangul": {},
    "3": {"L": 0xA4D0, "M": 0xA802, "N": 0xA620, "P": 0xA4FE, "S": 0xA490, "": 0xFEFF},
    "4": {"L": 0x10000, "M": 0x10A01, "N": 0x104A0, "P": 0x10100, "S": 0x1D000, "": 0xE0001},
}


# Stands in for what the library's "Digits" step alone takes for a digit: that step follows a later version of Unicode
# than the expressions do, to which these characters are unassigned, as a tag character is no letter or digit either.
STEP_DIGIT = 0xE0020


def step_digits():
    """The code points that the "Digits" step cuts out and \\p{N} does not match."""
    step, out = pre_tokenizers.Digits(individual_digits=True), set()
    for i in range(0, len(CODE_POINTS), 4096):
        text = "".join("a" + chr(c) for c in CODE_POINTS[i : i + 4096])
        out.update(ord(piece) for piece, _ in step.pre_tokenize_str(text) if len(piece) == 1 and piece != "a")
    return out - members(r"\p{N}")


def place(c):
    if c < 0x800:
        return "2"
    if 0x3040 <= c <= 0x30FF:
        return "kana"
    if c <= 0x4E00:
        return "low"
    if 0xAC00 <= c <= 0xD7FF:
        return "hangul"
    return "3" if c < 0x10000 else "4"


def stand_in_rows():
    assert unicodedata.unidata_version == "14.0.0", "the base is what every PCRE2 in use knows: Unicode 14"
    classes = {k: members(r"\p{%s}" % k) for k in "LMNPS"}
    spaces = members(r"\s")
    digits_of_the_step = step_digits()
    rows = []
    for c in CODE_POINTS:
        kind = next((k for k in classes if c in classes[k]), "")
        base = unicodedata.category(chr(c))
        if base != "Cn":
            assert (base[0] if base[0] in "LMNPS" else "") == kind, hex(c)
            # The Mongolian vowel separator is a space to PCRE2 and none to the reference; and the stand-in that says
            # "digit" to one step must not say so for itself.
            if c not in (0x180E, STEP_DIGIT):
                continue
        assert c not in spaces
        by = STEP_DIGIT if c in digits_of_the_step else STAND_INS[place(c)].get(kind)
        if by is None:
            assert place(c) in ("kana", "hangul") and kind == "", hex(c)
            continue
        assert len(chr(by).encode()) == len(chr(c).encode())
        if rows and rows[-1][2] == by and rows[-1][1] + 1 == c:
            rows[-1][1] = c
        else:
            rows.append([c, c, by])
    return rows


def decomposition_rows():
    nfd, nfc = normalizers.NFD(), normalizers.NFC()
    full = {}
    for c in CODE_POINTS:
        if 0xAC00 <= c <= 0xD7A3:
            continue
        text = nfd.normalize_str(chr(c))
        if text != chr(c):
            full[c] = text
    # A full decomposition is turned into single steps: the first part is what composes with the last character.
    rows = []
    by_full = {v: k for k, v in full.items()}
    for c, text in full.items():
        composes = nfc.normalize_str(text) == chr(c)
        if len(text) == 1:
            rows.append((c, ord(text), 0, False))
        elif len(text) == 2:
            rows.append((c, ord(text[0]), ord(text[1]), composes))
        else:
            head = nfc.normalize_str(text[:-1])
            if len(head) != 1:  # no such character: chain through the table's own entry of the head
                head = chr(by_full[text[:-1]])
            rows.append((c, ord(head), ord(text[-1]), composes))
    return rows


def combining_rows():
    """Classes by probing: two marks are swapped exactly when the first has the greater class."""
    nfd = normalizers.NFD()
    known = {}
    for c in CODE_POINTS:
        if unicodedata.combining(chr(c)):
            known.setdefault(unicodedata.combining(chr(c)), chr(c))
    order = sorted(known)
    rows = []
    for c in CODE_POINTS:
        value = unicodedata.combining(chr(c))
        if value == 0 and unicodedata.category(chr(c)) == "Cn" and not 0xAC00 <= c <= 0xD7A3:
            mark = chr(c)
            above = [k for k in order if nfd.normalize_str("a" + known[k] + mark) == "a" + mark + known[k]]
            below = [k for k in order if nfd.normalize_str("a" + mark + known[k]) == "a" + known[k] + mark]
            if above or below:  # a mark newer than this Python
                between = [k for k in order if k not in above and k not in below]
                assert len(between) == 1, (hex(c), between)
                value = between[0]
        elif value:  # the library may be older than this Python in this part
            low, high, mark = "\u0334", "\u0345", chr(c)  # classes 1 and 240
            moved = "a" + mark + low if value > 1 else "a" + high + mark
            if nfd.normalize_str(moved) == moved:
                value = 0
        if value == 0:
            continue
        if rows and rows[-1][2] == value and rows[-1][1] + 1 == c:
            rows[-1][1] = c
        else:
            rows.append([c, c, value])
    return rows


def write_tables():
    def table(kind, name, rows):
        lines, line = [], "   "
        for row in rows:
            item = " {" + ", ".join(row) + "},"
            if len(line) + len(item) > 120:
                lines.append(line)
                line = "   "
            line += item
        lines.append(line)
        body = "\n".join(lines)
        return (
            f"constexpr {kind} k{name}Rows[] = {{\n{body}\n}};\n",
            f"const std::span<const {kind}> k{name} = k{name}Rows;\n",
        )

    hexa = lambda *v: [f"0x{x:X}" for x in v]
    parts = [
        table("StandIn", "StandIns", [hexa(*r) for r in stand_in_rows()]),
        table(
            "Decomposition",
            "Decompositions",
            [hexa(*r[:3]) + ["true" if r[3] else "false"] for r in decomposition_rows()],
        ),
        table("CombiningClass", "CombiningClasses", [hexa(*r[:2]) + [str(r[2])] for r in combining_rows()]),
    ]
    with open(os.path.join(ROOT, "src/model/tokenizer/unicode_tables.cpp"), "w") as f:
        f.write("// Generated by tests/golden/make_tokenizer_goldens.py --tables; do not edit.\n// clang-format off\n")
        f.write('#include "model/tokenizer/unicode_tables.h"\n\nnamespace landfall {\nnamespace {\n\n')
        f.write("\n".join(p[0] for p in parts))
        f.write("\n}  // namespace\n\n")
        f.write("".join(p[1] for p in parts))
        f.write("\n}  // namespace landfall\n")


# --- the published pipelines ---

# Letters as deepseek-llm lists them, by code point: some of these characters have look-alikes that editors replace.
LLM_LETTERS = (
    "A-Z a-z B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386 388-38A 38C 38E-3A1 "
    "3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B 1D6B-1D77 1D79-1D9A "
    "1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 "
    "1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 "
    "212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D "
    "A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F "
    "104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943"
)


def character_class(spec):
    def one(text):
        return text if len(text) == 1 else chr(int(text, 16))

    return "[" + "".join("-".join(one(part) for part in item.split("-")) for item in spec.split()) + "]"


LLM_WORDS = r"\s?" + character_class(LLM_LETTERS) + "+"
LLM_PUNCTUATION = r"\s?" + "[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+"
IDEOGRAPHS = "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+"
V3_KANA = "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+"
V3_WORDS = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_WORDS = QWEN_WORDS.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def split(expression):
    return pre_tokenizers.Split(Regex(expression), "isolated")


def byte_level(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


PIPELINES = {
    "deepseek-llm": [
        split("[\r\n]"),
        split(LLM_WORDS),
        split(LLM_PUNCTUATION),
        split(r"\s+$"),
        split(IDEOGRAPHS),
        pre_tokenizers.Digits(individual_digits=True),
        byte_level(False),
    ],
    "deepseek-coder": [
        split("[\r\n]"),
        split(r"\s?\p{L}+"),
        split(r"\s?\p{P}+"),
        split(IDEOGRAPHS),
        pre_tokenizers.Digits(individual_digits=True),
        byte_level(False),
    ],
    "deepseek-v3": [split(r"\p{N}{1,3}"), split(V3_KANA), split(V3_WORDS), byte_level(False)],
    "qwen2": [split(QWEN_WORDS), byte_level(False)],
    "llama-bpe": [split(LLAMA3_WORDS), byte_level(False)],
    "smollm": [pre_tokenizers.Digits(individual_digits=True), byte_level(True)],
    "gpt-2": [byte_level(True)],
}

# --- the lines ---

ENGLISH = (
    "the of and to in a is that it was for on are with as his they at be this from I have or by one had not but what "
    "all were when we there can an your which their said if do will each about how up out them then she many some so "
    "these would other into has more her two like him see time could no make than first been its who now people my "
    "made over did down only way find use may water long little very after words called just where most know get "
    "through back much before go good new write our used me man too any day same right look think also around another "
    "came come work three word must because does part even place well such here take why things help put years "
    "different away again off went old number great tell men say small every found still between name should home big "
    "give air line set own under read last never us left end along while might next sound below saw something thought "
    "both few those always looked show large often together asked house don't world going want school important until "
    "interesting tokenizer language model paragraph sentence understanding"
).split()
CHINESE = (
    "你好 世界 深度 学习 模型 语言 我们 今天 天气 很好 北京 上海 请问 如何 使用 这个 工具 谢谢 一起 研究 问题 答案 数据 "
    "训练 推理 开源 社区 代码 程序 运行 速度 内存 中文 分词 测试 字符 繁體 漢字 編碼 ，。 、 ！ ？ 《书名》 “引号” （括号） ： ；"
).split()
OTHER = (
    "привет мир как дела Ελληνικά κόσμος こんにちは 世界 カタカナ ひらがな ｶﾅ 한국어 안녕하세요 مرحبا بالعالم שלום नमस्ते "
    "दुनिया ไทย สวัสดี Việt Nam tiếng français déjà vu naïve Straße Ünïcödé İstanbul ǅ ﬁ Ωmega ℃ Ⅷ ½ ² ⑤ ٣٤ ९ 〇 ℝ Å"
).split()
CODE = [
    "def f(x, *args):\n    return x ** 2 + args[0]\n",
    "int main(int argc, char** argv) { return argc > 1 ? 0 : -1; }",
    "for (let i = 0; i < 10; i++) {\n\tconsole.log(`${i}`);\n}\n",
    "SELECT name, COUNT(*) FROM t WHERE id <> 7 GROUP BY name;",
    "std::vector<std::pair<int, double>> v{{1, 2.5}, {3, 4e-10}};",
    "#include <stdio.h>\r\n\r\n/* comment */\r\n",
    "if x != None and y <= 0xFF: pass  # TODO(me): fix",
    "<div class=\"a-b_c\" id='d'>&nbsp;</div>",
    "git commit -m \"fix: it's done\" && ls -la ~/src/*.cpp | wc -l",
    "{\"key\": [1, 2.0, null, true], \"s\": \"a\\nb\\u00e9\"}",
    "\\frac{a_1}{b^2} \\le \\sum_{i=0}^{n} x_i",
    "https://example.org/a/b?c=d&e=%20f#g",
    "let v: Vec<&'static str> = vec![\"a\"; 3]; // it's",
    "\tx = y;\n\t\tz();\n    \n  \n",
]
EMOJI = [
    "\U0001F600", "\U0001F468\u200D\U0001F469\u200D\U0001F467\u200D\U0001F466", "\U0001F44D\U0001F3FD", "\u2764\uFE0F",
    "\U0001F1E9\U0001F1EA", "\U0001F3F3\uFE0F\u200D\U0001F308", "\u0031\uFE0F\u20E3", "\U0001F9D1\u200D\U0001F4BB",
    "\u263A", "\U0001FAE0",
]
MARKS = ["e\u0301", "a\u030A\u0323", "o\u0323\u0302", "n\u0303o", "\u0301", "q\u0307\u0323", "\u1112\u1161\u11AB",
         "\u0915\u093C", "\u0E01\u0E33", "\u2126", "\u212B", "\uF900", "\u0344", "A\u030A", "\u1E9B\u0323"]
CONTROLS = ["\0", "\x01", "\x07", "\x08", "\x0B", "\x0C", "\x1B[0m", "\x1C", "\x1F", "\x7F", "\x80", "\x85", "\x9F",
            "\xAD", "\u180E", "\u200B", "\u200E", "\u2028", "\u2029", "\uFEFF", "\uFFFC", "\uFFFD", "\uFFFE", "\U0010FFFF"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\r", "\r\n", "\r\n\r\n", "\n\n\n", " \n", "\n ", "\xA0", "\u3000", "\u2003",
          "\u1680"]
CONTRACTIONS = ["it's", "IT'S", "don't", "we'RE", "I'll", "they'd", "I'M", "you've", "o'clock", "'s", "' s", "it\u2019s",
                "it'\u017F", "x'LLy", "'" * 4, "rock'n'roll"]
SPECIALS = ["<|im_start|>", "<|im_end|>", "<\uFF5CUser\uFF5C>", "<\uFF5Cend\u2581of\u2581sentence\uFF5C>"]
ADDED = ["\u00F6", "\u00FC", "[gap]"]

# Digits to the library's "Digits" step, unassigned to its expressions; and the character that stands in for them.
DISPUTED = [*range(0x11DE0, 0x11DEA), *range(0x16FF4, 0x16FF7), STEP_DIGIT]


def make_lines():
    rng = random.Random(20250801)
    unassigned = [c for c in CODE_POINTS if unicodedata.category(chr(c)) == "Cn"]
    newer = [c for c in unassigned if c < 0x33480]  # where later versions assign characters
    blocks = [(0xA0, 0x600), (0x600, 0x1200), (0x1200, 0x2000), (0x2000, 0x3400), (0xA000, 0xAC00), (0xF900, 0x10000),
              (0x10000, 0x13000), (0x1D000, 0x1FC00)]
    lines = ["", " ", "a", "\n", "\r\n", "  a", "a  ", "a  \n  b", "\t\t", "0", "007", "1234567890123", "3.14159",
             "1,000,000", "x" * 300, " " * 100 + "x", "\n" * 50, "ab" * 100, "\u4E2D" * 80, "9" * 100, "-" * 90]
    lines += CODE + EMOJI + MARKS + CONTROLS + CONTRACTIONS + ["".join(SPACES)]

    def words(pool, low, high, joint=" "):
        return joint.join(rng.choice(pool) for _ in range(rng.randint(low, high)))

    def sentence():
        return words(ENGLISH, 3, 14).capitalize() + rng.choice([".", "!", "?", "...", ";", ": ", ' "so"', " (yes)", ""])

    def digits():
        return "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 12)))

    def mix(*pools, count):
        return "".join(rng.choice(rng.choice(pools)) for _ in range(count))

    for _ in range(420):
        lines.append(" ".join(sentence() for _ in range(rng.randint(1, 2))))
    for _ in range(300):
        lines.append(words(CHINESE, 2, 14, ""))
    for _ in range(160):
        lines.append(words(CHINESE + ENGLISH[:60] + [digits()], 3, 12, rng.choice(["", " "])))
    for _ in range(160):
        lines.append(words(OTHER, 2, 8, rng.choice(["", " ", "\n"])))
    for _ in range(180):
        snippet = rng.choice(CODE).replace("x", rng.choice(ENGLISH)).replace("0", digits())
        lines.append(rng.choice(["", "    ", "\t"]) + snippet)
    for _ in range(140):
        lines.append(rng.choice(["", " "]).join(rng.choice([digits(), digits(), rng.choice(".,-/: %$x")]) for _ in range(6)))
    for _ in range(120):
        lines.append(mix(EMOJI, EMOJI, [" ", "ok", "!"], count=6))
    for _ in range(140):
        lines.append(mix(MARKS, OTHER, [" ", "e"], count=7))
    for _ in range(120):
        lines.append(mix(CONTROLS, SPACES, ENGLISH, ["."], count=8))
    for _ in range(160):
        lines.append(mix(SPACES, SPACES, ENGLISH, ["7"], count=9))
    for _ in range(60):
        lines.append(words(CONTRACTIONS + ENGLISH[:20], 2, 8))
    for _ in range(260):
        pool = rng.choice([CODE_POINTS, unassigned, newer, range(*rng.choice(blocks)), range(*rng.choice(blocks))])
        lines.append("".join(chr(rng.choice(pool)) + rng.choice(["", "", " ", "a", "1", "\n", "."])
                             for _ in range(rng.randint(2, 12))))
    for _ in range(60):
        lines.append(mix(SPECIALS, ADDED, [" ", "hi", "\n", "<|im_", "|>"], count=7))
    lines += ["a%cb" % c for c in DISPUTED] + [mix(list(map(chr, DISPUTED)), ["1", " ", "x", "\n"], count=9) for _ in range(30)]
    lines = list(dict.fromkeys(lines))
    assert len(lines) >= 2000, len(lines)
    return lines


def make_tokenizer(name, lines):
    """A vocabulary of the published pipeline, trained on the lines."""
    steps = pre_tokenizers.Sequence(PIPELINES[name])
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = steps
    trainer = trainers.BpeTrainer(
        vocab_size=1600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    trained.train_from_iterator(lines, trainer)
    model = json.loads(trained.to_str())["model"]
    vocab, merges = model["vocab"], [tuple(m) for m in model["merges"]]
    # Tokens that no merge makes: with ignore_merges they are used all the same.
    for word in ("\u0120understanding", "interesting", "!!!!"):
        vocab.setdefault(word, len(vocab))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=name == "llama-bpe"))
    tokenizer.pre_tokenizer = steps
    tokenizer.decoder = decoders.ByteLevel()
    if name == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in SPECIALS])
    tokenizer.add_tokens([AddedToken(t, normalized=True) for t in ADDED])
    return tokenizer


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def packed(ids_of_lines):
    return b"".join(varint(len(ids)) + b"".join(map(varint, ids)) for ids in ids_of_lines)


def write_goldens():
    folder = os.path.join(ROOT, "tests/golden/tokenizer")
    os.makedirs(folder, exist_ok=True)
    lines = make_lines()
    with open(os.path.join(folder, "lines.json"), "w") as f:
        json.dump(lines, f, indent=0)  # escapes throughout: no editor or checkout may touch the characters
    composed = {str(i): t for i, line in enumerate(lines) if (t := normalizers.NFC().normalize_str(line)) != line}
    with open(os.path.join(folder, "nfc.json"), "w") as f:
        json.dump(composed, f, indent=0)
    for number, name in enumerate(PIPELINES):
        tokenizer = make_tokenizer(name, lines)
        spec = json.loads(tokenizer.to_str())
        if number % 2:  # files in circulation hold merges in either form
            spec["model"]["merges"] = [" ".join(m) for m in spec["model"]["merges"]]
        with open(os.path.join(folder, name + ".json"), "w") as f:
            json.dump(spec, f, separators=(",", ":"))
        for kind, plain in (("plain", True), ("special", False)):
            tokenizer.encode_special_tokens = plain
            ids = [e.ids for e in tokenizer.encode_batch(lines, add_special_tokens=False)]
            with open(os.path.join(folder, f"{name}.{kind}.ids"), "wb") as f:
                f.write(packed(ids))


def write_starter(path):
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    tokens, types, merges = (
        fields["tokenizer.ggml." + key].contents() for key in ("tokens", "token_type", "merges")
    )
    vocab = {token: i for i, token in enumerate(tokens) if types[i] == 1}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[tuple(m.split(" ")) for m in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(PIPELINES["smollm"])
    with open(os.path.join(ROOT, "tests/golden/tokenizer/starter.ids"), "w") as f:
        for line in make_lines():
            f.write(" ".join(map(str, tokenizer.encode(line, add_special_tokens=False).ids)) + "\n")


if __name__ == "__main__":
    if "--starter" in sys.argv[1:]:
        write_starter(sys.argv[-1])
    elif "--tables" in sys.argv[1:]:
        write_tables()
    else:
        write_goldens()
