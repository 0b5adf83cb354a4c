"""README.md's table of models is the one that the program prints.

    readme_test.py PROGRAM README
"""

import pathlib
import subprocess
import sys
import unittest

PROGRAM, PAGE = sys.argv[1:3]
del sys.argv[1:3]


class Readme(unittest.TestCase):
    maxDiff = None

    def test_models(self):
        run = subprocess.run(
            [PROGRAM, "models"], capture_output=True, text=True, check=True, timeout=60)
        head = run.stdout.splitlines()[0]
        page = pathlib.Path(PAGE).read_text()
        self.assertEqual(page.count(head), 1)
        table = page[page.index(head):]
        self.assertEqual(table[: table.index("\n\n") + 1], run.stdout)


if __name__ == "__main__":
    unittest.main()
