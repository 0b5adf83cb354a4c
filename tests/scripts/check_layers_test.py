"""check_layers.py finds what it is for: each test breaks one rule in a small tree.

    check_layers_test.py CHECK_LAYERS
"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK_LAYERS = sys.argv.pop(1)

GOOD = {
    "include/strake/strake.h": '#pragma once\n#include "strake/quant/format.h"\n',
    "include/strake/quant/format.h": '#pragma once\n#include <string>\n',
    "src/base/fail.h": "#pragma once\n#include <fmt/format.h>\n",
    "src/quant/format.cpp": '#include "base/fail.h"\n#include "strake/quant/format.h"\n',
    "src/quant/CMakeLists.txt": "strake_layer(quant SOURCES format.cpp\n  DEPENDS tensor)\n",
    "apps/cli/main.cpp": '#include "command.h"\n#include <CLI/CLI.hpp>\n',
    "apps/cli/command.h": "#pragma once\n",
}


class CheckLayers(unittest.TestCase):
    def check(self, changes):
        """The exit code and output for the good tree with these files instead."""
        with tempfile.TemporaryDirectory() as name:
            for path, text in (GOOD | changes).items():
                file = pathlib.Path(name, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            run = subprocess.run(
                [sys.executable, CHECK_LAYERS, name], capture_output=True, text=True, check=False)
            return run.returncode, run.stdout

    def expect_error(self, path, text, message):
        code, output = self.check({path: text})
        self.assertEqual(code, 1, output)
        self.assertIn(path, output)
        self.assertIn(message, output)
        self.assertIn("1 places", output)

    def test_a_good_tree_passes(self):
        code, output = self.check({})
        self.assertEqual((code, output), (0, "check_layers: 0 places break the rules\n"))

    def test_include_upwards(self):
        self.expect_error("src/quant/format.cpp", '#include "nn/rope.h"\n',
                          "format.cpp:1: layer quant may not include nn/rope.h")
        self.expect_error("src/tensor/tensor.cpp", '\n#include "strake/quant/format.h"\n',
                          "tensor.cpp:2: layer tensor may not include strake/quant/format.h")

    def test_ops_and_comm_apart(self):
        self.expect_error("src/ops/a.cpp", '#include "strake/comm/group.h"\n',
                          "layer ops may not include strake/comm/group.h")
        self.expect_error("src/comm/a.cpp", '#include "strake/ops/backend.h"\n',
                          "layer comm may not include strake/ops/backend.h")

    def test_kernels_are_private(self):
        self.expect_error("src/nn/a.cpp", '#include "ops/cpu/lanes.h"\n', "ops/cpu is private to ops")

    def test_public_headers(self):
        header = "include/strake/quant/format.h"
        once = "#pragma once\n"
        self.expect_error(header, once + '#include "quant/codecs.h"\n', "includes the private")
        self.expect_error(header, once + "#include <fmt/format.h>\n", "includes fmt/format.h")
        self.expect_error(header, once + "#include <nlohmann/json.hpp>\n", "includes nlohmann")
        self.expect_error(header, once + "#include <sys/mman.h>\n", "includes <sys/mman.h>")

    def test_outside_libraries_stay_where_they_belong(self):
        self.expect_error("src/engine/a.cpp", "#include <mpi.h>\n", "mpi.h belongs to comm")
        self.expect_error("src/engine/a.cpp", "#include <CLI/CLI.hpp>\n", "belongs to cli and server")

    def test_unknown_names(self):
        self.expect_error("src/quant/format.cpp", '#include "codecs.h"\n', "no header of a layer")
        self.expect_error("src/misc/a.cpp", "\n", "no layer is called misc")

    def test_links(self):
        self.expect_error("src/quant/CMakeLists.txt", "strake_layer(quant\n  DEPENDS tensor ops)\n",
                          "CMakeLists.txt:2: layer quant may not link ops")

    def test_guard_missing(self):
        self.expect_error("src/base/fail.h", "\n", "#pragma once is missing")

    def test_umbrella_incomplete(self):
        self.expect_error("include/strake/strake.h", "#pragma once\n",
                          "strake/quant/format.h is not included")

    def test_path_of_a_machine(self):
        path = "/".join(["", "home", "someone", "models"])
        self.expect_error("docs/a.md", f"Look in {path}.\n", "names a path of one machine")

    def test_long_file_is_a_warning(self):
        code, output = self.check({"src/quant/format.cpp": "\n" * 401})
        self.assertEqual(code, 0)
        self.assertIn("src/quant/format.cpp:401: warning: longer than 400 lines", output)


if __name__ == "__main__":
    unittest.main()
