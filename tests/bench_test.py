"""`landfall bench` whole: the machine alone, a file of random weights, the model in it, and what is left on Ctrl+C."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

BINARY = os.environ.get("LANDFALL", "build/release/landfall")


def bench(*words: str) -> dict:
    done = subprocess.run([BINARY, "bench", *words, "--json"], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise AssertionError(f"bench {words}: exit code {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


class Bench(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.model = str(pathlib.Path(self.folder.name) / "small.gguf")

    def write(self, *words: str) -> dict:
        return bench("--random", "llama-1.1b", "--layers", "1", "--write", self.model, *words)

    def test_the_machine_alone(self):
        machine = bench()
        for key in ("clock_hz", "peak_int8_ops_per_second", "peak_f32_ops_per_second", "bandwidth_2mib_bytes_per_second"):
            self.assertGreater(machine[key], 0, key)

    def test_flags_that_do_not_apply(self):
        for words, message in ((["--timeline", "steps.json"], "--timeline needs a MODEL"), (["--training"], "--training needs a MODEL"),
                               (["small.gguf", "--layers", "2"], "--layers has no use without --random"),
                               (["small.gguf", "--recompute", "layer"], "--recompute has no use without --training"),
                               (["--random", "deepseek-v2-lite", "--write", "x.gguf", "--prompt", "3"], "--prompt is for measuring it afterwards"),
                               (["small.gguf", "--training", "--operators"], "does not go with --operators")):  # fmt: skip
            done = subprocess.run([BINARY, "bench", *words], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(message, done.stderr)

    def test_a_model_of_random_weights(self):
        written = self.write("--type", "Q4_K_M")
        self.assertEqual(written["bytes"], os.path.getsize(self.model))
        timeline = str(pathlib.Path(self.folder.name) / "timeline.json")
        result = bench(
            self.model, "--prompt", "40", "--generate", "3", "--past", "130", "--sequences", "2", "--repeats", "2",
            "--operators", "--timeline", timeline,
        )  # fmt: skip
        low, median, high = result["decode_spread"]
        self.assertTrue(0 < low <= median <= high)
        for key in ("load_seconds", "prefill_tokens_per_second", "decode_tokens_per_second", "bandwidth_bytes_per_second",
                    "peak_ops_per_second", "share_of_bandwidth", "share_of_peak"):  # fmt: skip
            self.assertGreater(result[key], 0, key)
        self.assertGreater(result["peak_bytes"], written["bytes"] / 2)
        reached = result["prompt_operations"] / 40 * result["prefill_tokens_per_second"] / result["peak_ops_per_second"]
        self.assertAlmostEqual(result["share_of_peak"] / reached, 1, delta=0.001)

        # What the rows say together is what the step as a whole has to do (taken half-way through the generation).
        rows = result["operators"]["decode"]
        self.assertAlmostEqual(sum(r["bytes"] for r in rows) / result["decode_step_bytes"], 1, delta=0.01)
        self.assertEqual({r["bound"] for r in rows if r["operator"] == "logits output"}, {"memory"})

        events = json.loads(pathlib.Path(timeline).read_text())["traceEvents"]
        steps = [e for e in events if e["name"] in ("prefill", "decode step")]
        self.assertEqual([e["name"] for e in steps], ["prefill", "decode step"])
        operators = [e for e in events if "args" in e]
        for e in operators:  # each stands inside its step
            self.assertTrue(any(s["ts"] <= e["ts"] and e["ts"] + e["dur"] <= s["ts"] + s["dur"] + 0.01 for s in steps), e)
        calls = sum(r["calls"] for part in result["operators"].values() for r in part)
        self.assertEqual(len(operators), calls)

    def test_training_steps(self):
        bench("--random", "llama-small", "--layers", "2", "--type", "F32", "--write", self.model)
        result = bench(self.model, "--training", "--prompt", "24", "--sequences", "2", "--repeats", "2", "--recompute", "layer")
        low, median, high = result["training_spread"]
        self.assertTrue(0 < low <= median <= high)
        matrices = 2 * (4 * 512 * 512 + 3 * 512 * 1376) + 8192 * 512  # the output's among them, the embedding not
        operations = 6 * matrices + 12 * 2 * 512 * 24
        self.assertAlmostEqual(result["model_ops_per_second"] / (operations * result["training_tokens_per_second"]), 1, delta=1e-9)
        self.assertTrue(0 < result["share_of_peak"] < 1)
        self.assertGreater(result["peak_bytes"], 4 * 4 * result["parameters"])  # values, gradients and two moments
        done = subprocess.run([BINARY, "bench", self.model, "--training", "--recompute", "all"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("none, layer, two-level", done.stderr)

    def test_drafts_need_text_to_go_on_from(self):
        self.write("--type", "Q4_0")
        result = bench(self.model, "--prompt", "0", "--generate", "20", "--past", "9", "--repeats", "1", "--draft", "ngram")
        self.assertGreater(result["drafting_tokens_per_second"], 0)
        self.assertGreaterEqual(result["drafted"], result["accepted"])
        done = subprocess.run([BINARY, "bench", self.model, "--draft", "ngram"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--past", done.stderr)

    def test_nothing_is_left_when_the_user_stops_writing(self):
        process = subprocess.Popen(
            [BINARY, "bench", "--random", "deepseek-v2-lite", "--layers", "3", "--type", "BF16", "--write", self.model],
            stderr=subprocess.PIPE,
        )
        partial = pathlib.Path(self.model + ".partial")
        for _ in range(1000):
            if partial.exists() and partial.stat().st_size > 1 << 20:
                break
            time.sleep(0.01)
        self.assertTrue(partial.exists(), "writing never began")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        self.assertNotEqual(process.returncode, 0)
        self.assertIn(b"stopped", errors)
        self.assertEqual(os.listdir(self.folder.name), [])

    def test_mistakes_are_told(self):
        for words, said in (
            (("--random", "gpt", "--write", self.model), "deepseek-v3"),
            (("--random", "llama-1.1b"), "--write"),
            (("--random", "llama-1.1b", "--layers", "23", "--write", self.model), "22 layers"),
            ((self.model, "--prompt", "0", "--generate", "0"), "--generate"),
        ):
            done = subprocess.run([BINARY, "bench", *words], capture_output=True, text=True, timeout=60)
            self.assertNotEqual(done.returncode, 0, words)
            self.assertIn(said, done.stderr)


if __name__ == "__main__":
    unittest.main()
