"""docs/adding.md tells the truth about the tree: what it names is there, and nothing is missing.

    adding_test.py ROOT

In the page's names, x stands for a new thing; here, for one that exists.
"""

import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else ".")
PAGE = "docs/adding.md"

# Section of the page: the table with its file, and what x stands for.
SECTIONS = {
    "A quantization mode": ("src/quant/format_list.h", "kModes", None),
    "A model": ("src/models/table.cpp", "kModels", "llama"),
    "A backend": ("src/ops/backend.cpp", "kBackends", "cpu"),
    "A communicator": ("src/comm/communicators.cpp", "kTable", "mpi"),
    "A command": ("apps/cli/main.cpp", None, "generate"),
}
# Files that name some of a kind only, as the page tells too, and exactly those.
BESIDES = {
    "src/io/model_config.cpp": {"affine", "mxfp4"},
    "src/io/checkpoint_experts.cpp": {"mxfp4"},
    "src/io/checkpoint_packed.cpp": {"affine"},
    "src/engine/convert.cpp": {"affine"},
    "src/io/gguf_quantized.cpp": {"affine", "mxfp4"},
    "src/quant/quantize.cpp": {"nvfp4"},
    "src/quant/quantized_matrix.cpp": {"affine", "nvfp4"},
    "src/ops/cpu/block_layout.cpp": {"affine"},
    "src/ops/cuda/codes.h": {"affine", "mxfp8", "nvfp4"},
    "src/ops/cuda/encode.h": {"affine", "mxfp4", "nvfp4"},
    "src/ops/cuda/few_rows_block.h": {"affine"},
    "src/ops/cuda/few_rows_kernel.h": {"affine"},
    "src/comm/communicators.cpp": {"cpu", "cuda", "mpi", "solo"},
    "apps/cli/bench.cpp": {"mxfp8"},
    "src/io/gguf_architecture.cpp": {"llama", "qwen2", "qwen3", "qwen3_moe"},
    "src/io/gguf_config.cpp": {"qwen3_moe"},
    "src/io/gguf_tokenizer.cpp": {"qwen2"},
    "src/models/shapes.cpp": {"llama", "qwen3_moe", "deepseek_v3", "glm_moe_dsa"},
    "src/tensor/tensor.cpp": {"cpu", "cuda"},
    "src/engine/session.h": {"cpu"},
    "apps/cli/command.h": {"cpu"},
    "src/comm/mpi_environment.cpp": {"mpi"},
    "include/strake/comm/mpi_group.h": {"mpi"},
    "include/strake/comm/group.h": {"solo"},
    "apps/cli/launch.cpp": {"mpi"},
}
# Lines that only the example has.
EXAMPLE = re.compile(r"\bkMine\b|\.\.\.")
PATH = re.compile(r"[\w.]+(?:/[\w.]+)*/?")


def read(path):
    return (ROOT / path).read_text()


def code_of(text):
    """C++ without comments and include lines."""
    literal = r'"(?:\\.|[^"\\\n])*"'
    text = re.sub(rf"({literal})|//[^\n]*|/\*.*?\*/", lambda m: m[1] or "", text, flags=re.S)
    return re.sub(r"^\s*#\s*include.*$", "", text, flags=re.M)


def sources():
    """Path and code of every source file of the program."""
    for top in ("src", "include", "apps"):
        for file in sorted((ROOT / top).rglob("*")):
            if file.suffix in (".h", ".cpp", ".inl", ".c"):
                yield str(file.relative_to(ROOT)), code_of(file.read_text())


CODE = dict(sources())


def squeezed(text):
    return re.sub(r"\s+", "", text)


def substitute(text, name):
    """The page's text with a name in place of x."""
    if name is None:
        return text
    text = re.sub(r"(?<![A-Za-z0-9])x(?![A-Za-z0-9])", name, text)
    return text


class Section:
    """One section of the page, x substituted."""

    def __init__(self, title, text):
        self.table_file, self.table, example = SECTIONS[title]
        fence = re.compile(r"^```cpp\n(.*?)^```\n", re.S | re.M)
        self.with_x = fence.sub("", text)
        text = substitute(text, example)
        self.blocks = [(text[: m.start()], m[1]) for m in fence.finditer(text)]
        self.prose = fence.sub("", text)
        self.quoted = re.findall(r"`([^`]+)`", self.prose)
        self.files = [q for q in self.quoted if PATH.fullmatch(q) and is_path(q)]

    def rows(self):
        """Name and other identifiers of each row of the table."""
        body = re.search(rf"\b{self.table}\b[^;]*?\{{(.*?)\n *\}}", CODE[self.table_file], re.S)[1]
        for row in re.split(r"\n *(?=\{)", body):
            name = re.search(r'"(\w+)"', row)
            if name:
                names = re.sub(r'"[^"]*"', "", row)  # texts name nothing
                yield name[1], re.findall(r"\b\w*[A-Za-z_]\w*\b", names)

    def has(self, path, name):
        """Whether the page says that what is called so is in this file."""
        if path in BESIDES and path in self.files:
            return name in BESIDES[path]
        files = [substitute(quoted, name) for quoted in re.findall(r"`([^`]+)`", self.with_x)]
        return any(path == file or path.endswith("/" + file) or
                   (file.endswith("/") and path.startswith(file)) for file in files)


def is_path(text):
    return "/" in text or text.endswith((".h", ".cpp", ".txt", ".json", ".py"))


def sections():
    parts = re.split(r"^## (.*)\n", read(PAGE), flags=re.M)
    return {title: Section(title, text) for title, text in zip(parts[1::2], parts[2::2])}


def exists(path):
    """Whether a path of the page is there: from the root, or the end of a source's path."""
    return (ROOT / path).exists() or any(file.endswith("/" + path) for file in CODE) or any(
        (ROOT / top / path).is_dir() for top in ("src", "include/strake", "apps"))


class Adding(unittest.TestCase):
    maxDiff = None

    def each_table(self):
        for title, section in sections().items():
            if section.table:
                rows = list(section.rows())
                self.assertTrue(rows, section.table)
                yield title, section, rows

    def test_sections(self):
        self.assertEqual(list(sections()), list(SECTIONS))

    def test_files_exist(self):
        for title, section in sections().items():
            self.assertTrue(section.files, title)
            for file in section.files:
                if file != "config.json":  # of a checkpoint
                    self.assertTrue(exists(file), f"{title}: {file} does not exist")

    def test_names_exist(self):
        every = "\n".join(CODE.values()) + read("tests/comm/group_test.cpp")
        for title, section in sections().items():
            for quoted in section.quoted:
                if quoted in section.files or quoted == "config.json":
                    continue
                for word in re.findall(r"[A-Za-z_]\w{2,}", quoted):
                    self.assertRegex(every, rf"\b{word}\b", f"{title}: {quoted}")

    def test_names_are_where_the_page_puts_them(self):
        for title, section in sections().items():
            for name, file in re.findall(
                    r"`(\w+)`(?: \(| of | in )\s*`([\w/.]+\.(?:h|cpp))`", section.prose):
                self.assertRegex(CODE[file], rf"\b{name}\b", f"{title}: {name} in {file}")

    def test_blocks_quote_their_file(self):
        for title, section in sections().items():
            for before, block in section.blocks:
                file = re.findall(r"`([\w/]+\.(?:h|cpp))`", before)[-1]
                code = squeezed(CODE[file])
                lines = [line for line in code_of(block).splitlines()
                         if line.strip() and not EXAMPLE.search(line)]
                self.assertGreater(len(lines), 1, title)
                for line in lines:
                    self.assertIn(squeezed(line), code, f"{title}: not in {file}")

    def test_one_row_each(self):
        for title, _, rows in self.each_table():
            names = [name for name, _ in rows]
            self.assertEqual(len(names), len(set(names)), title)

    def test_no_other_file_names_them(self):
        unsaid, named = [], {}
        for title, section, rows in self.each_table():
            for name, identifiers in rows:
                own = [word for word in identifiers if name in word.lower() and word != name]
                literal = rf'"[^"\n]*(?<![\w-]){name}(?![\w-])[^"\n]*"'
                words = re.compile("|".join([literal, *(rf"\b{word}\b" for word in own)]))
                for path, code in CODE.items():
                    found = words.search(code)
                    if found and not section.has(path, name):
                        unsaid.append(f"{title}: {path} names {name}: {found[0]}")
                    if found and path in BESIDES:
                        named.setdefault(path, set()).add(name)
        self.assertEqual(unsaid, [], f"{PAGE} does not say so")
        self.assertEqual(named, BESIDES)

    def test_users_are_told_of_modes_and_backends(self):
        for title, help_file in (("A quantization mode", "apps/cli/quantize.cpp"),
                                 ("A backend", "apps/cli/command.cpp")):
            for name, _ in sections()[title].rows():
                for text in (CODE[help_file], read("docs/man/strake.1.scd")):
                    self.assertRegex(text, rf"\b{name}\b", title)

    def test_sources_are_built(self):
        lists = {"A model": "src/models", "A backend": "src/ops", "A communicator": "src/comm",
                 "A command": "apps/cli"}
        for title, folder in lists.items():
            section = sections()[title]
            self.assertIn(f"{folder}/CMakeLists.txt", section.files)
            for file in section.files:
                if file.startswith(folder + "/") and file.endswith(".cpp"):
                    self.assertIn(file.removeprefix(folder + "/"), read(f"{folder}/CMakeLists.txt"))

    def test_commands(self):
        header, main = CODE["apps/cli/command.h"], CODE["apps/cli/main.cpp"]
        declared = re.findall(r"void add_(\w+)\(CLI::App& \w+, Action& \w+\);", header)
        called = re.findall(r"\badd_(\w+)\(app, action\);", main)
        self.assertTrue(declared)
        self.assertEqual(declared, called)
        for command in declared:
            self.assertIn(f"void add_{command}(", CODE[f"apps/cli/{command}.cpp"])
            self.assertIn(f"\n*{command}*\n", read("docs/man/strake.1.scd"))


if __name__ == "__main__":
    unittest.main()
