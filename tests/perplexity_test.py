"""The starter model's perplexity against the figure of an independent engine; docs/accuracy.md says how that was made."""

import json
import pathlib
import tempfile
import unittest

import support

# llama.cpp at 3f545becc on the same GGUF file: llama-perplexity -m GGUF -f LICENSE -t 2 (context 512).
INDEPENDENT = 15.9289
TOLERANCE = 0.005


class Perplexity(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = support.starter()

    def report(self, *flags: str) -> dict:
        done = support.landfall("perplexity", self.model, str(support.ROOT / "LICENSE"), "--context", "512", "--json", *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_agrees_with_an_independent_engine(self):
        for flags in ([], ["--exact"]):
            with self.subTest(flags=flags):
                report = self.report(*flags)
                self.assertEqual((report["tokens"], report["pieces"]), (1020, 4))
                self.assertLess(abs(report["perplexity"] / INDEPENDENT - 1), TOLERANCE, report)

    def test_a_cache_in_8_bits_costs_little(self):
        f32, int8 = (self.report("--exact", "--cache-type", kind)["perplexity"] for kind in ("f32", "int8"))
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
