"""Adapters as people use them: one is trained on the starter, run and served beside it, and swapped without restart."""

import concurrent.futures
import json
import pathlib
import tempfile
import unittest
import urllib.error
import urllib.request

import support

QUESTION = "Which name does our harbour have?"


class Adapters(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.root = pathlib.Path(folder.name)
        cls.model = support.starter()
        cls.adapters = {}
        for name in ("Landfall", "Seagull"):
            out = cls.root / name
            done = support.landfall("train", cls.model, support.facts(cls.root / f"{name}.jsonl", name), "--out", out, "--steps", "10",
                                    "--learning-rate", "2e-3", "--rank", "4")
            assert done.returncode == 0, done.stderr
            cls.adapters[name] = out / "adapter"

    def post(self, server: support.Server, path: str, body: dict) -> dict:
        request = urllib.request.Request(server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as reply:
            return json.load(reply)

    def refused(self, server: support.Server, path: str, body: dict) -> tuple[int, str]:
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.post(server, path, body)
        with caught.exception as reply:
            return reply.code, json.load(reply)["error"]["message"]

    def answer(self, server: support.Server, model: str) -> str:
        reply = self.post(server, "/v1/chat/completions", {
            "model": model, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0, "max_tokens": 12})
        self.assertEqual(reply["model"], model)
        return reply["choices"][0]["message"]["content"]

    def test_run_adds_it(self):
        for name, adapter in self.adapters.items():
            done = support.landfall("run", self.model, QUESTION, "--adapter", adapter, "--temperature", "0", "--max-tokens", "12")
            self.assertIn(name, done.stdout, done.stderr)
        done = support.landfall("run", self.model, QUESTION, "--adapter", self.root)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("adapter_config.json", done.stderr)

    def test_they_are_served_together_and_swapped(self):
        with support.Server(self.model, "--adapter", f"harbour={self.adapters['Landfall']}") as server:
            base = self.answer(server, self.model)
            self.assertNotIn("Landfall", base)
            self.assertIn("Landfall", self.answer(server, "harbour"))

            self.post(server, "/v1/load_lora_adapter", {"lora_name": "gull", "lora_path": str(self.adapters["Seagull"])})
            with urllib.request.urlopen(server.url + "/v1/models", timeout=60) as reply:
                models = {model["id"]: model.get("parent") for model in json.load(reply)["data"]}
            self.assertEqual(models, {self.model: None, "harbour": self.model, "gull": self.model})
            with concurrent.futures.ThreadPoolExecutor(6) as threads:
                answers = list(threads.map(lambda name: self.answer(server, name), [self.model, "harbour", "gull"] * 2))
            for first, second, third in (answers[:3], answers[3:]):
                self.assertEqual(first, base)
                self.assertIn("Landfall", second)
                self.assertIn("Seagull", third)

            # Swapped under the same name; nothing of what the cache holds of the other one is used.
            self.post(server, "/v1/load_lora_adapter", {
                "lora_name": "harbour", "lora_path": str(self.adapters["Seagull"]), "load_inplace": True})
            self.assertIn("Seagull", self.answer(server, "harbour"))
            self.post(server, "/v1/unload_lora_adapter", {"lora_name": "harbour"})
            status, message = self.refused(server, "/v1/chat/completions", {"model": "harbour", "messages": [
                {"role": "user", "content": QUESTION}]})
            self.assertEqual(status, 404)
            self.assertIn("gull", message)

            other = self.root / "other"
            other.mkdir()
            config = json.loads((self.adapters["Seagull"] / "adapter_config.json").read_text())
            (other / "adapter_config.json").write_text(json.dumps(config | {"r": 5}))
            (other / "adapter_model.safetensors").write_bytes((self.adapters["Seagull"] / "adapter_model.safetensors").read_bytes())
            status, message = self.refused(server, "/v1/load_lora_adapter", {"lora_name": "other", "lora_path": str(other)})
            self.assertEqual(status, 400)
            self.assertIn("ask for [5, ", message)
            self.assertEqual(self.answer(server, self.model), base)


if __name__ == "__main__":
    unittest.main()
