"""A model from nothing, as people make one: `landfall tokenizer train`, and `landfall train --recipe tide`, killed in each
of its stages, whose file answers in `run` and `serve`."""

import json
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.request

import support

PIERS = ("north", "south", "old", "new", "long", "stone", "fishing")


def corpus(folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir()
    with open(folder / "general.jsonl", "w") as file:
        for i in range(900):
            text = " ".join(f"The lamp of the {PIERS[(i + k) % 7]} pier burns {'all night' if k % 2 else 'at dusk'}." for k in range(6))
            file.write(json.dumps({"text": text}) + "\n")
    with open(folder / "chat.jsonl", "w") as file:
        for i in range(600):
            pier = PIERS[i % 7]
            file.write(json.dumps({"messages": [{"role": "user", "content": f"Which lamp burns at the {pier} pier, and since {1800 + i}?"},
                                                {"role": "assistant", "content": f"The lamp of the {pier} pier burns."}]}) + "\n")
    (folder / "tasks").mkdir()
    with open(folder / "tasks/lamps.jsonl", "w") as file:
        for i, pier in enumerate(PIERS):
            file.write(json.dumps({"question": f"Which lamp burns at the {pier} pier, and since 1850?", "answer": i % 2,
                                   "choices": [f"The lamp of the {name} pier burns." for name in (pier, PIERS[i - 1])][::1 - 2 * (i % 2)]}) + "\n")
    return folder


class Tide(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.root = pathlib.Path(folder.name)
        cls.corpus = corpus(cls.root / "corpus")
        cls.whole = cls.root / "whole"
        cls.done = support.landfall(*cls.command(cls.whole, "--report", cls.root / "page.html"))
        assert cls.done.returncode == 0, cls.done.stderr

    @classmethod
    def command(cls, out: pathlib.Path, *more: str) -> list:
        flags = {"--recipe": "tide", "--out": out, "--corpus": cls.corpus, "--tokens": 15 * 4096, "--save-every": 2,
                 "--threads": 2} | dict(zip(more[::2], more[1::2]))
        return ["train", *(str(part) for flag in flags.items() for part in flag)]

    def test_it_learns_and_keeps_experts_busy(self):
        rows = [json.loads(line) for line in (self.whole / "pretraining/metrics.jsonl").read_text().splitlines()]
        losses = [row["loss"] for row in rows if "loss" in row]
        tokens = [row["tokens"] for row in rows if "loss" in row]
        self.assertGreaterEqual(sum(tokens), 15 * 4096)
        self.assertLess(sum(tokens[:-1]), 15 * 4096)
        self.assertLess(losses[-1], 0.7 * losses[0])
        self.assertEqual(len(rows[0]["imbalance"]), 5)  # layers with experts
        chat = [json.loads(line) for line in (self.whole / "chat/metrics.jsonl").read_text().splitlines()]
        held_out = [row["validation_loss"] for row in chat if "validation_loss" in row]
        self.assertEqual(held_out[-1], json.loads((self.whole / "chat/result.json").read_text())["held_out_loss"])
        self.assertLess(held_out[-1], held_out[0])

    def test_each_stage_that_trains_has_a_page(self):
        for stage in ("pretraining", "chat"):
            page = (self.root / f"page-{stage}.html").read_text()
            steps = [row for row in map(json.loads, (self.whole / stage / "metrics.jsonl").read_text().splitlines()) if "loss" in row]
            self.assertIn(f"Training: {self.whole / stage}</h1>", page)
            self.assertIn(f"<dd>{len(steps)} of {len(steps)}</dd>", page)
        self.assertFalse((self.root / "page.html").exists())

    def test_it_is_examined(self):
        scores = json.loads((self.whole / "evaluation.json").read_text())
        self.assertEqual(scores["lamps"]["items"], 7)
        self.assertIn(f"lamps: {scores['lamps']['right']} of 7 questions right", self.done.stderr)
        asked = support.landfall("eval", self.whole / "tide.gguf", "--task", self.corpus / "tasks/lamps.jsonl", "--chat", "--threads", "2", "--json")
        self.assertEqual(asked.returncode, 0, asked.stderr)
        self.assertEqual(scores["lamps"]["right"], json.loads(asked.stdout)["tasks"][0]["right"])

    def test_killed_in_each_stage_it_ends_with_the_same_file(self):
        out = self.root / "killed"
        for there in ("data", "tokenizer", "new.gguf", "pretraining/checkpoints/step-00000004", "pretraining/model.gguf",
                      "chat/checkpoints/step-00000000"):
            process = subprocess.Popen([support.BINARY, *self.command(out)], env=support.environment(),
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None and not (out / there).exists():
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            self.assertEqual(process.wait(), -signal.SIGKILL, f"it came to its end before {there}")
        done = support.landfall(*self.command(out))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("pretraining: done already", done.stderr)
        self.assertEqual((out / "tide.gguf").read_bytes(), (self.whole / "tide.gguf").read_bytes())

    def test_given_again_it_does_nothing_and_another_request_is_refused(self):
        before = (self.whole / "tide.gguf").stat().st_mtime_ns
        done = support.landfall(*self.command(self.whole))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count("done already"), 6, done.stderr)
        self.assertEqual((self.whole / "tide.gguf").stat().st_mtime_ns, before)
        done = support.landfall(*self.command(self.whole, "--tokens", "60000"))
        self.assertIn("another tokens: 61440, now it is 60000", done.stderr)

    def test_it_answers(self):
        question = "Which lamp burns at the stone pier, and since 1850?"
        answer = support.landfall("run", self.whole / "tide.gguf", question, "--temperature", "0", "--max-tokens", "24")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        with support.Server(self.whole / "tide.gguf") as server:
            body = {"model": "tide", "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 24}
            request = urllib.request.Request(server.url + "/v1/chat/completions", json.dumps(body).encode(),
                                             {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as reply:
                served = json.loads(reply.read())
        content = served["choices"][0]["message"]["content"]
        self.assertGreater(served["usage"]["completion_tokens"], 0)
        self.assertEqual(content.strip(), answer.stdout.strip())
        self.assertIn("pier", content)

    def test_a_tokenizer_by_itself(self):
        out = self.root / "tokenizer"
        done = support.landfall("tokenizer", "train", self.corpus / "general.jsonl", "--vocabulary", "300", "--out", out, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["tokens"], 300)
        vocabulary = json.loads((out / "tokenizer.json").read_text())["model"]["vocab"]
        self.assertIn("\u0120pier", vocabulary)
        again = support.landfall("tokenizer", "train", self.corpus / "general.jsonl", "--out", out)
        self.assertNotEqual(again.returncode, 0)  # a folder with files is not written over

    def test_bad_requests(self):
        for arguments, message in ((["train", "--recipe", "ebb"], "'tide' is one"),
                                   (["train", "some-model", "--recipe", "tide"], "begins from nothing"),
                                   (["train", "--recipe", "tide", "--precision", "bf16"], "--precision is the recipe's own"),
                                   (["train", "--recipe", "tide", "--drop-duplicates"], "--drop-duplicates is the recipe's own"),
                                   (self.command(self.root / "none", "--report", self.root / "missing/page.html"), "--report"),
                                   (["train"], "MODEL is missing"),
                                   (["tokenizer", "teach", "x.txt"], "'train' is one"),
                                   (self.command(self.root / "none", "--corpus", self.root / "missing"), "missing")):
            done = support.landfall(*arguments)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(message, done.stderr)


if __name__ == "__main__":
    unittest.main()
