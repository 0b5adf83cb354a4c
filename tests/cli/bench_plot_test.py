"""The plot of strake bench is an SVG that shows what its JSON says.

    bench_plot_test.py PROGRAM
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

PROGRAM = sys.argv.pop(1)
SVG = "{http://www.w3.org/2000/svg}"


def bench(*options):
    """The report as JSON, and the plot's root element."""
    with tempfile.TemporaryDirectory() as folder:
        plot = pathlib.Path(folder) / "plot.svg"
        command = [PROGRAM, "bench", "--json", "--tokens", "2", "--repeats", "1", "--plot", plot]
        run = subprocess.run(
            [*command, *options], capture_output=True, text=True, check=True, timeout=120)
        return json.loads(run.stdout), xml.parse(plot).getroot()


class Plot(unittest.TestCase):
    def test_contexts(self):
        contexts = [4, 8, 32]
        report, svg = bench("--contexts", ",".join(map(str, contexts)))
        rows = report["runs"][0]["contexts"]
        self.assertEqual([row["context"] for row in rows], contexts)
        told = [title.text for title in svg.iter(f"{SVG}title")]
        rates = [row["decode"]["tokens_per_second"] for row in rows]
        shares = [100 * row["decode"]["share_of_read_bandwidth"] for row in rows]
        expected = list(zip(contexts + contexts, rates + shares))
        self.assertEqual(told, [f"{x}: {y:.4g}" for x, y in expected])

        # Points stand in the order and the proportions of their values, inside the image.
        circles = [(float(c.get("cx")), float(c.get("cy"))) for c in svg.iter(f"{SVG}circle")]
        width, height = float(svg.get("width")), float(svg.get("height"))
        self.assertTrue(all(0 < x < width and 0 < y < height for x, y in circles))
        xs = [x for x, _ in circles]
        self.assertEqual(xs, sorted(xs[:3]) * 2)
        self.assertAlmostEqual(2 * (xs[1] - xs[0]), xs[2] - xs[1], delta=0.2)  # 4, 8, 32
        zeros = [float(line.get("y1")) for line in svg.iter(f"{SVG}line")
                 if line.get("y1") == line.get("y2") and line.get("stroke") == "#222"]
        self.assertEqual(len(zeros), 2)
        for zero, values, points in zip(zeros, (rates, shares), (circles[:3], circles[3:])):
            heights = [zero - y for _, y in points]
            for value, length in zip(values, heights):
                self.assertAlmostEqual(length * values[0], value * heights[0],
                                       delta=0.2 * max(values))

        texts = [text.text for text in svg.iter(f"{SVG}text")]
        self.assertIn("context, tokens", texts)
        self.assertIn("decode, tokens a second", texts)
        for context in contexts:
            self.assertEqual(texts.count(str(context)), 2)  # labelled under both panels

    def test_one_point(self):
        _, svg = bench("--contexts", "4")
        self.assertEqual(len(list(svg.iter(f"{SVG}circle"))), 2)


if __name__ == "__main__":
    unittest.main()
