"""The starter model's perplexity against the figure of an independent engine; docs/accuracy.md says how that was made."""

import json
import math
import pathlib
import statistics
import tempfile
import unittest

import support

# The first 96 kB of Newton's Opticks, 4th edition (1730), as Project Gutenberg has it (ebook 33504). A short text decides by
# chance: 8-bit activations move each token's probability a little, up or down.
TEXT = support.ROOT / "tests/golden/text/opticks.txt"
# llama.cpp at 3f545becc on the same GGUF file: llama-perplexity -m GGUF -f TEXT -c 512 -t 2 --chunks 24.
PIECES, SCORED, INDEPENDENT = 24, 6120, 20.6777


class Perplexity(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = support.starter()

    def report(self, *flags: str, kernels: str = "", text: pathlib.Path = TEXT) -> dict:
        environment = {**support.environment(), **({"LANDFALL_KERNELS": kernels} if kernels else {})}
        done = support.landfall("perplexity", self.model, str(text), "--json", *flags, env=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_agrees_with_an_independent_engine_and_with_itself_in_floats(self):
        report, floats = self.report("--pieces", str(PIECES)), self.report("--pieces", str(PIECES), "--exact")
        self.assertEqual((report["tokens"], report["pieces"]), (SCORED, PIECES))
        self.assertLess(abs(report["perplexity"] / INDEPENDENT - 1), 0.005, report)
        self.assertLess(abs(floats["perplexity"] / INDEPENDENT - 1), 0.005, floats)
        self.assertLess(abs(report["perplexity"] / floats["perplexity"] - 1), 0.005)
        if json.loads(support.landfall("doctor", "--json").stdout)["kernels"] == "avx512":  # the same quantisation, in other kernels
            between, error = self.paired(self.report("--pieces", str(PIECES), kernels="avx2"), report)
            self.assertLess(abs(between), 0.0005 + 2 * error)
            self.assertLess(error, 0.003)

    def paired(self, a: dict, b: dict) -> tuple[float, float]:
        """By how much the logarithms of two perplexities of one text differ, and the standard error of that."""
        differences = [x - y for x, y in zip(a["by_piece"], b["by_piece"], strict=True)]
        self.assertAlmostEqual(statistics.fmean(differences), math.log(a["perplexity"] / b["perplexity"]), places=9)
        return statistics.fmean(differences), statistics.stdev(differences) / len(differences) ** 0.5

    def test_readings_of_one_text_are_compared_piece_by_piece(self):
        short = support.ROOT / "LICENSE"
        between, error = self.paired(*(self.report("--cache-type", kind, text=short) for kind in ("f32", "bf16")))
        self.assertLess(abs(between), 0.0005 + 3 * error)
        self.assertGreater(error, 0)

    def test_a_cache_in_8_bits_costs_little(self):
        short = support.ROOT / "LICENSE"
        f32, int8 = (self.report("--exact", "--cache-type", kind, text=short)["perplexity"] for kind in ("f32", "int8"))
        self.assertNotEqual(f32, int8)
        self.assertLess(abs(int8 / f32 - 1), 0.002)

    def test_a_text_that_cannot_be_scored_is_one_line(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "text"
            for content, says in ((b"good so far \xff\xfe", "is not UTF-8 at byte 12"), (b"short", r"has 1 tokens; at least one piece of 512")):
                path.write_bytes(content)
                done = support.landfall("perplexity", self.model, str(path))
                self.assertEqual(done.returncode, 2)
                self.assertRegex(done.stderr, rf"^landfall: [^\n]*{says}[^\n]*\n$")


if __name__ == "__main__":
    unittest.main()
