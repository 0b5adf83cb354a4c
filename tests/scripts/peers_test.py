"""bench/peers: what is made of records, without measuring anything.

    peers_test.py BENCH_PEERS
"""

import contextlib
import io
import json
import pathlib
import sys
import unittest
from xml.etree import ElementTree

sys.path.insert(0, sys.argv.pop(1))
sys.dont_write_bytecode = True

import engines  # noqa: E402
import peers  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402


def records(measure, engine, rates, **changes):
    """A record a round; a rate below 0 stands for a round that was not clean."""
    return [{"round": turn, "threads": 1, "format": "mxfp8", "engine": engine,
             "engine_format": "mxfp8", "measure": measure, "rate": abs(rate), "read_share": 0.5,
             "clean": rate > 0, "version": f"{engine} 1"} | changes
            for turn, rate in enumerate(rates)]


def results(*lists):
    """What peers.py writes."""
    return {"date": "2026-01-02", "machine": "2 cores of a test", "command": "bench/peers/run",
            "prompt": 512, "tokens": 32, "rounds": 3, "records": sum(lists, [])}


class Medians(unittest.TestCase):
    def test_ratio_is_the_median_of_the_rounds(self):
        medians = report.Medians(records("decode", "Strake", [10, 30, 20]) +
                                 records("decode", "llama.cpp", [10, 10, 4]))
        ratio = medians.ratio("decode", 1, "mxfp8", "llama.cpp")
        self.assertEqual((ratio.value, ratio.noisy), (3, False))
        self.assertEqual(medians.of("rate", "decode", 1, "mxfp8", "Strake").value, 20)

    def test_rounds_that_are_not_clean(self):
        medians = report.Medians(records("decode", "Strake", [10, -70, 20, 30, -90]) +
                                 records("decode", "MLX", [1, 1, 1, -1, 1]))
        self.assertEqual(format(medians.of("rate", "decode", 1, "mxfp8", "Strake"), ".0f"), "20")
        # Only two rounds are clean on both sides: all five count.
        self.assertEqual(format(medians.ratio("decode", 1, "mxfp8", "MLX"), ".0f"), "30*")

    def test_what_was_not_measured(self):
        medians = report.Medians(records("decode", "Strake", [1], read_share=None))
        self.assertIsNone(medians.ratio("decode", 1, "mxfp8", "MLX"))
        self.assertIsNone(medians.of("read_share", "decode", 1, "mxfp8", "Strake"))
        self.assertEqual(report.show(None, ".2f"), "-")


class Tables(unittest.TestCase):
    def bars(self, *lists):
        return [(bar.peer, ratio.value, where)
                for bar, ratio, where in report.check_bars(report.Medians(sum(lists, [])))]

    def test_the_least_ratio_counts(self):
        many, few = "4096x4096, M=512", "4096x4096, M=8"
        self.assertEqual(
            self.bars(records(many, "Strake", [90] * 3), records(many, "oneDNN", [100] * 3),
                      records(many, "Strake", [80] * 3, format="nvfp4"),
                      records(many, "oneDNN", [100] * 3, format="nvfp4"),
                      records(few, "Strake", [1] * 3), records(few, "oneDNN", [100] * 3)),
            [("oneDNN", 0.8, "nvfp4, 4096x4096, M=512, 1 thread")])

    def test_bars_of_threads_and_formats(self):
        sides = [("Strake", [20] * 3), ("llama.cpp", [10] * 3), ("MLX", [0.1] * 3)]
        one = [records("decode", engine, rates) for engine, rates in sides]
        two = [records("decode", engine, rates, threads=2, format="mxfp4")
               for engine, rates in sides]
        self.assertEqual(self.bars(*one, *two), [
            ("llama.cpp", 2, "mxfp8, decode, 1 thread"),
            ("llama.cpp", 2, "mxfp4, decode, 2 threads"),
            ("MLX", 200, "mxfp8, decode, 1 thread")])

    def test_markdown(self):
        product = "4096x4096, M=128"
        text = report.markdown(results(
            records("decode", "Strake", [20] * 3), records("prefill", "Strake", [200] * 3),
            records("decode", "llama.cpp", [16] * 3, engine_format="q8_0"),
            records("prefill", "llama.cpp", [100] * 3, engine_format="q8_0"),
            records("decode", "MLX", [0.25] * 3),
            records(product, "Strake", [-95] * 3), records(product, "oneDNN", [100] * 3)))
        for line in (
                "2026-01-02, 2 cores of a test. MLX: MLX 1;",
                "llama.cpp's | 1.25 | 1.25 | mxfp8, decode, 1 thread | reached |",
                "| decode in mxfp8, of MLX's | 100 | 80 | mxfp8, decode, 1 thread | missed |",
                "| 0.94 | 0.95* | mxfp8, 4096x4096, M=128, 1 thread | noisy |",
                "| mxfp8 | q8_0 | 1 | 20.0 | 16.0 | 1.25 | 200 | 100 | 2.00 | 0.50 | 0.50 |",
                "| mxfp8 | 1 | 20.0 | 0.250 | 80 |",
                "| 4096x4096, 1 thread | M=128 | oneDNN | ratio | read share, M=128 | times MLX's",
                "| mxfp8 | 95* | 100 | 0.95* | 0.50* | - |"):
            self.assertIn(line, text)
        for head in (line for line in text.splitlines() if line.startswith("| ---")):
            self.assertNotIn("\n\n" + head, text)  # each below its column names


class Plot(unittest.TestCase):
    def test_bars(self):
        image = plot.svg(report.panels(results(
            records("decode", "Strake", [20] * 3), records("decode", "llama.cpp", [10] * 3),
            records("4096x4096, M=8", "Strake", [5] * 3))))
        root = ElementTree.fromstring(image)
        space = "{http://www.w3.org/2000/svg}"
        words = [text.text for text in root.iter(f"{space}text")]
        self.assertEqual(words[:4], ["decode, 1 thread: tokens a second", "20", "10", "mxfp8"])
        heights = [float(box.get("height")) for box in root.iter(f"{space}rect")
                   if box.get("y") not in (None, "10")]
        self.assertAlmostEqual(heights[0], 2 * heights[1], places=0)


class Driver(unittest.TestCase):
    def test_docs(self):
        page = f"a\n{peers.BEGIN}old\n{peers.END}z\n"
        self.assertEqual(peers.record_in_docs(page, "new\n"),
                         f"a\n{peers.BEGIN}new\n{peers.END}z\n")
        with self.assertRaises(ValueError):
            peers.record_in_docs("a\n", "new\n")

    def test_results_page_has_the_marks(self):
        page = (peers.ROOT / "docs/results.md").read_text()
        self.assertIn("\nnew\n", peers.record_in_docs(page, "new\n"))

    def test_pairs(self):
        options = peers.parse_options(["--threads", "2", "--formats", "affine 4"])
        self.assertEqual([(size, peer, kind) for _, _, size, _, _, peer, kind
                          in peers.pairs(options)],
                         [((4096, 4096), "oneDNN", "bf16"), ((4096, 4096), "MLX", "affine 4"),
                          (None, "llama.cpp", "q4_0"), (None, "MLX", "affine 4")])

    def test_unknown_format(self):
        errors = io.StringIO()
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(errors):
            peers.parse_options(["--formats", "mxfp8,q9"])
        self.assertIn("found q9", errors.getvalue())

    def test_strake_bench_is_read(self):
        output = json.dumps({"runs": [{
            "path": "portable", "weight_bytes_per_token": 7.0,
            "contexts": [{"prefill": {"tokens_per_second": 2.0},
                          "decode": {"tokens_per_second": 3.0}}]}]})
        self.assertEqual(engines.read_strake_bench(output), {
            "prefill": 2.0, "decode": 3.0, "weight_bytes": 7.0, "version": "path portable"})

    def test_a_process_that_fails(self):
        with self.assertRaisesRegex(engines.Failure, "exit code 3 of"):
            engines.run_alone(["sh", "-c", "exit 3"], 1)


if __name__ == "__main__":
    unittest.main()
