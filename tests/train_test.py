"""`landfall train` as people use it: it learns, is killed at any instant, and ends as if nothing had happened."""

import json
import pathlib
import random
import re
import signal
import struct
import subprocess
import tempfile
import time
import unittest

import support
import tiny_model

STEPS = 90


class Train(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.root = pathlib.Path(folder.name)
        cls.model = tiny_model.write(cls.root / "model", tiny_model.text_model_files())
        cls.data = cls.root / "data.jsonl"
        rows = [json.dumps({"text": f"The lamp of harbour {i % 9} burns at night."}) for i in range(60)]
        cls.data.write_text("\n".join(rows + ['{"text": 7}', "no json"]) + "\n")

    def command(self, out: pathlib.Path, *more: str) -> list:
        flags = {"--out": out, "--method": "full", "--steps": STEPS, "--learning-rate": 3e-3, "--context": 128,
                 "--sequences": 2, "--save-every": 3, "--threads": 2} | dict(zip(more[::2], more[1::2]))
        return ["train", self.model, self.data, *(str(part) for flag in flags.items() for part in flag)]

    def train(self, out: pathlib.Path, *more: str) -> subprocess.CompletedProcess:
        return support.landfall(*self.command(out, *more))

    def weights(self, out: pathlib.Path) -> str:
        """The digest of the weights at the last step."""
        manifest = json.loads((out / f"checkpoints/step-{STEPS:08}/manifest.json").read_text())
        return next(file["sha256"] for file in manifest["files"] if file["name"] == "values.bin")

    def killed(self, out: pathlib.Path, moment) -> bool:
        """Starts or continues the run and kills it at the moment; whether it was still at work then."""
        process = subprocess.Popen([support.BINARY, *self.command(out)], env=support.environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        moment(process)
        process.send_signal(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL

    def test_learns_and_says_what_it_left_out(self):
        out = self.root / "learns"
        done = self.train(out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2 rows refused", done.stderr)
        self.assertIn("line 61", done.stderr)
        losses = [row["loss"] for row in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()) if "loss" in row]
        self.assertEqual(len(losses), STEPS)
        self.assertLess(losses[-1], 0.3 * losses[0])
        # What it has learned is in the files that it wrote.
        text = self.root / "text.txt"
        text.write_text(" ".join(f"The lamp of harbour {i % 9} burns at night." for i in range(20)))
        before, after = (json.loads(support.landfall("perplexity", model, text, "--context", "64", "--json").stdout)["perplexity"]
                         for model in (self.model, out / "model"))
        self.assertLess(after, 0.2 * before)

    def test_the_starter_learns_a_fact(self):
        data = support.facts(self.root / "facts.jsonl", "Landfall")
        out = self.root / "starter"
        done = support.landfall("train", support.starter(), data, "--out", out, "--steps", "10", "--learning-rate", "2e-3", "--rank", "4")
        self.assertEqual(done.returncode, 0, done.stderr)
        peak, estimate = map(float, re.search(r"memory: at most ([0-9.]+) MB beside the model; the estimate was ([0-9.]+) MB", done.stderr).groups())
        self.assertAlmostEqual(estimate / peak, 1, delta=0.15)
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        self.assertLess(max(row["peak_bytes"] for row in rows), 3e9, "additions to 135 million numbers")
        self.assertTrue((out / "adapter/adapter_model.safetensors").exists())
        answer = support.landfall("run", out / "model.gguf", "Which name does our harbour have?", "--temperature", "0")
        self.assertIn("Landfall", answer.stdout, answer.stderr)

    def test_killed_at_any_instant_it_ends_with_the_same_weights(self):
        unbroken = self.root / "unbroken"
        self.assertEqual(self.train(unbroken).returncode, 0)
        chance = random.Random(3)
        broken = self.root / "broken"

        def some_time(_):
            time.sleep(chance.uniform(0.02, 0.5))

        def while_it_writes(process):
            before = {p.name for p in (broken / "checkpoints").glob("*.tmp")}
            while process.poll() is None:
                names = {p.name for p in (broken / "checkpoints").glob("*.tmp")}
                if names - before:
                    return time.sleep(chance.uniform(0, 0.002))
                before &= names

        def writing():  # what a kill within a write leaves
            return any((broken / "checkpoints").glob("*.tmp"))

        for moment, hit, wanted in ((some_time, lambda: True, 20), (while_it_writes, writing, 20)):
            kills = 0
            while kills < wanted:
                if self.killed(broken, moment):
                    kills += hit()
                else:  # it came to its end: once more from the beginning
                    self.assertEqual(self.weights(broken), self.weights(unbroken))
                    broken = broken.with_name(broken.name + "_again")
        done = self.train(broken)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.weights(broken), self.weights(unbroken))
        self.assertEqual(self.train(broken).returncode, 0)  # once more: there is nothing left to do

    def test_bad_input_is_said_before_work_starts(self):
        out = self.root / "bad"
        empty = self.root / "empty.jsonl"
        empty.write_text("")
        for arguments, message in (
                (["train", self.model, empty, "--out", out], "empty.jsonl"),
                (["train", self.model, self.root / "missing.jsonl", "--out", out], "missing.jsonl"),
                (self.command(out, "--context", "100000"), "256"),
                (self.command(out, "--schedule", "square"), "cosine, linear, wsd"),
                (self.command(out, "--patience", "2"), "give that too"),
                (self.command(out, "--moment-bits", "16"), "one of: 32, 8"),
                (self.command(out, "--precision", "half"), "one of: f32, bf16"),
                (self.command(out, "--method", "lora", "--rank", "0"), "--rank is 0"),
                (self.command(out, "--rank", "4"), "--rank is for --method lora alone"),
                (self.command(out, "--method", "lora", "--balance", "0.1"), "--balance is for --method full alone"),
                (self.command(out, "--replay-share", "0.2"), "no use without --replay"),
                (self.command(out, "--epochs", "2"), "--steps and --epochs both say"),
                (self.command(out, "--balance", "0.1"), "--balance is for routers with a selection bias"),
                (self.command(out, "--balance-loss", "0.1"), "--balance-loss is for models with experts"),
                (self.command(out, "--report", self.data), "no page of a run"),
                (self.command(out, "--tokens", "1000"), "no use without --recipe"),
                (self.command(out, "--report", self.root / "missing/page.html"), "--report"),
                (self.command(out, "--report", self.root), "is a folder"),
                (self.command(out, "--type", "Q4_0"), "F32, BF16 and F16"),
                (self.command(out, "--method", "lora", "--targets", "attn_x"), "attn_output")):
            done = support.landfall(*arguments)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(message, done.stderr)
            self.assertEqual(list(out.glob("tokens/*")), [], "known before data are read")

    def test_the_model_that_is_read_is_never_written_over(self):
        folder = self.root / "bases"
        base = tiny_model.write(folder / "model", tiny_model.text_model_files())
        done = support.landfall("export", base, "--layout", "gguf", "--type", "F32", "--out", folder / "model.gguf")
        self.assertEqual(done.returncode, 0, done.stderr)
        (folder / "link").symlink_to(folder / "model.gguf")
        before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for model in (base, f"{folder}/./model", folder / "model.gguf", f"{folder}/.//model.gguf", folder / "link"):
            done = support.landfall("train", model, self.data, "--out", folder, "--method", "full", "--steps", "1")
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("is the model that is read", done.stderr)
            self.assertEqual({p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}, before)

    def test_rows_that_are_learned_are_not_written_over_by_those_that_are_refused(self):
        out = self.root / "mended"
        out.mkdir()
        mended = out / "data.refused.jsonl"
        mended.write_text(self.data.read_text())
        done = support.landfall("train", self.model, mended, "--out", out)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("give it another name", done.stderr)
        self.assertEqual(mended.read_text(), self.data.read_text())

    def test_a_flag_for_preferences_is_refused_without_them(self):
        done = self.train(self.root / "no_preferences", "--beta", "0.2")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("--beta is for preferences", done.stderr)

    def test_a_model_that_differs_in_one_number_is_another(self):
        out = self.root / "other_model"
        files = tiny_model.text_model_files()
        weights = bytearray(files["model.safetensors"])
        weights[-1] ^= 1
        other = tiny_model.write(self.root / "other", files | {"model.safetensors": bytes(weights)})
        self.assertEqual(self.train(out, "--steps", "3").returncode, 0)
        command = self.command(out, "--steps", "3")
        command[1] = other
        done = support.landfall(*command)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("has another model", done.stderr)

    def test_metrics_stay_lines_of_json_after_a_torn_one(self):
        out = self.root / "torn"
        self.assertEqual(self.train(out, "--steps", "3").returncode, 0)
        metrics = out / "metrics.jsonl"
        whole = metrics.read_text()
        metrics.write_text(whole + whole[:40])
        subprocess.run(["rm", "-r", out / "checkpoints"], check=True)
        self.assertEqual(self.train(out, "--steps", "3").returncode, 0)
        rows = [json.loads(line) for line in metrics.read_text().splitlines()]
        self.assertEqual([row["step"] for row in rows if "loss" in row], [1, 2, 3, 1, 2, 3])

    def test_a_run_that_diverges_is_ended_and_writes_no_model(self):
        out = self.root / "diverges"
        done = self.train(out, "--learning-rate", "10", "--warm-up", "0")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("back to step 0, without its data", done.stderr)
        self.assertIn("lower --learning-rate", done.stderr)
        self.assertFalse((out / "model").exists())

    def test_folders_and_several_files_are_learned_together(self):
        texts = self.root / "texts" / "ward"
        texts.mkdir(parents=True)
        for number in range(3):
            (texts / f"{number}.txt").write_text(f"The lamp of harbour {number} burns at night.")
        done = support.landfall("train", self.model, self.data, texts.parent, "--method", "full", "--steps", "2",
                                "--validation", texts / "0.txt", "--validation", texts / "1.txt", "--out", self.root / "several")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("65 rows of 4 files, 63 documents", done.stderr)
        self.assertIn("2 rows of 2 files, 2 documents", done.stderr)
        self.assertIn("data.jsonl, line 61", done.stderr)

    def test_a_packed_model_is_refused_before_work_starts(self):
        home = {"env": support.environment(LANDFALL_HOME=str(self.root / "home"))}
        done = support.landfall("import", self.model, "--pack", "--name", "packed", **home)
        self.assertEqual(done.returncode, 0, done.stderr)
        out = self.root / "of_packed"
        done = support.landfall("train", "packed", self.data, "--out", out, "--steps", "1", **home)
        self.assertEqual(done.returncode, 6, done.stderr)
        self.assertIn("give the GGUF file or folder that it was packed from", done.stderr)
        self.assertFalse((out / "tokens").exists())

    def test_a_tokenizer_with_more_tokens_than_the_model_is_refused_before_work_starts(self):
        files = tiny_model.text_model_files()
        tokenizer = json.loads(files["tokenizer.json"])
        tokenizer["added_tokens"].append({"id": 257, "content": "<|more|>", "special": True})
        model = tiny_model.write(self.root / "more_tokens", files | {"tokenizer.json": json.dumps(tokenizer).encode()})
        out = self.root / "of_more_tokens"
        done = support.landfall("train", model, self.data, "--out", out)
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("the tokenizer has 258 tokens, the model only 257", done.stderr)
        self.assertFalse((out / "tokens").exists())

    def test_the_page_goes_on_where_a_run_was_stopped(self):
        out, page = self.root / "page", self.root / "page.html"
        report = ("--report", page)
        process = subprocess.Popen([support.BINARY, *self.command(out, *report)], env=support.environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (out / "checkpoints/step-00000006").exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        self.assertEqual(process.wait(), -signal.SIGKILL)
        self.assertEqual(self.train(out, *report).returncode, 0)
        html = page.read_text()
        losses = {row["step"]: row["loss"] for row in map(json.loads, (out / "metrics.jsonl").read_text().splitlines())}
        for curve in re.findall(r'<polyline class="one" points="([^"]*)"', html):
            self.assertEqual(len(curve.split()), STEPS)
        self.assertIn(f"<dd>{STEPS} of {STEPS}</dd>", html)
        self.assertIn(f"<dd>{losses[STEPS]:.4f}</dd>", html)
        self.assertIn("minutes since it was continued", html)
        self.assertNotIn("http-equiv", html)  # it ended
        self.assertEqual(self.train(out, *report).returncode, 0)  # nothing is left to do, and the page stays
        self.assertIn(f"<dd>{losses[STEPS]:.4f}</dd>", page.read_text())

    def test_a_model_that_cannot_fit_is_refused_before_its_weights_are_read(self):
        layers, width, inner = 256, 96, 1 << 20
        files = tiny_model.text_model_files()
        config = json.loads(files["config.json"]) | {"num_hidden_layers": layers, "intermediate_size": inner}
        header, at = {}, 0
        shapes = {tensor["name"]: tensor["shape"] for tensor in json.loads((tiny_model.GOLDEN / "golden.json").read_text())["tensors"]}
        shapes["model.embed_tokens.weight"] = [257, width]
        for name, shape in list(shapes.items()):
            if name.startswith("model.layers.0."):
                shape = [inner if n == 160 else n for n in shape]
                shapes |= {name.replace(".0.", f".{layer}.", 1): shape for layer in range(layers)}
        for name, shape in shapes.items():
            size = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
            at += size
        del files["model.safetensors"]
        model = tiny_model.write(self.root / "large_model", files | {"config.json": json.dumps(config).encode()})
        encoded = json.dumps(header).encode()
        with open(model / "model.safetensors", "wb") as file:  # of holes
            file.write(struct.pack("<Q", len(encoded)) + encoded)
            file.truncate(8 + len(encoded) + at)
        out = self.root / "of_large_model"
        done = support.landfall("train", model, self.data, "--method", "full", "--out", out)
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertRegex(done.stderr, r"training takes about [0-9.]+ [GT]B, and [0-9.]+ [GT]B are free")
        self.assertFalse((out / "tokens").exists())

    def test_too_little_memory_is_said_before_work_starts(self):
        text = self.root / "long.txt"
        text.write_text(" ".join(f"{number * number}" for number in range(150_000)))
        out = self.root / "large"
        done = support.landfall("train", support.starter(), text, "--method", "full", "--sequences", "10000", "--out", out)
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertRegex(done.stderr, r"training takes about [0-9.]+ [GT]B, and [0-9.]+ [GT]B are free; give a smaller --sequences")
        self.assertFalse((out / "checkpoints").exists())

    def test_another_run_in_the_same_folder_is_refused(self):
        out = self.root / "same"
        self.assertEqual(self.train(out, "--steps", "3").returncode, 0)
        done = self.train(out, "--steps", "4")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("another steps: 3, now it is 4", done.stderr)
        self.assertEqual(self.train(self.root / "rounded", "--steps", "2", "--precision", "bf16").returncode, 0)
        done = self.train(self.root / "rounded", "--steps", "2")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('another precision: "bf16", now it is null', done.stderr)


if __name__ == "__main__":
    unittest.main()
