"""`landfall export`: a model in the other layout is the same model, there and back."""

import json
import pathlib
import tempfile
import unittest

import support
import tiny_model


class Export(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.root = pathlib.Path(folder.name)
        cls.model = tiny_model.write(cls.root / "model", tiny_model.text_model_files())
        cls.text = cls.root / "text.txt"
        cls.text.write_text(" ".join(f"The lamp of harbour {i % 9} burns at night." for i in range(20)))

    def export(self, model, out: str, *more: str):
        return support.landfall("export", model, "--out", self.root / out, *more)

    def perplexity(self, model, *more: str) -> float:
        done = support.landfall("perplexity", model, self.text, "--context", "64", "--exact", "--json", *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["perplexity"]

    def test_there_and_back_it_predicts_the_same(self):
        done = self.export(self.model, "there.gguf", "--type", "F32")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("landfall run", done.stdout)
        done = self.export(self.root / "there.gguf", "back", "--layout", "safetensors", "--type", "F32", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["layout"], "safetensors")
        self.assertEqual({path.name for path in (self.root / "back").iterdir()},
                         {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"})
        expected = self.perplexity(self.model)
        for model in ("there.gguf", "back"):
            self.assertAlmostEqual(self.perplexity(self.root / model) / expected, 1, delta=1e-5)
        # What stands there is not written over.
        again = self.export(self.model, "there.gguf")
        self.assertEqual(again.returncode, 2)
        self.assertIn("--out", again.stderr)

    def test_the_starter_becomes_a_folder(self):
        done = self.export(support.starter(), "starter", "--layout", "safetensors", "--type", "F32")
        self.assertEqual(done.returncode, 0, done.stderr)
        expected = self.perplexity(support.starter(), "--pieces", "3")
        self.assertLess(expected, 20)
        self.assertAlmostEqual(self.perplexity(self.root / "starter", "--pieces", "3") / expected, 1, delta=1e-4)

    def test_bad_input_leaves_nothing(self):
        for flags, said in ((["--type", "Q4_K_M", "--layout", "safetensors"], "BF16"), (["--type", "F7"], "Q4_K_M"),
                            (["--layout", "onnx"], "safetensors")):  # fmt: skip
            done = self.export(self.model, "nothing", *flags)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(said, done.stderr)
            self.assertFalse((self.root / "nothing").exists())


if __name__ == "__main__":
    unittest.main()
