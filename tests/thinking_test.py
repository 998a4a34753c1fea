"""A model that thinks before it answers, as `run` and `serve` show it. It is a tiny one of random weights: what it says means
nothing, and where it is shown is what counts."""

import json
import pathlib
import tempfile
import unittest
import urllib.request

import support
import tiny_model

FLAGS = ["--temperature", "0", "--max-tokens", "8"]


class Thinking(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="landfall_thinking_")
        cls.addClassCleanup(folder.cleanup)
        cls.model = str(tiny_model.write(pathlib.Path(folder.name) / "tiny", tiny_model.thinking_files()))

    def test_thoughts_are_dimmed_at_a_terminal(self):
        code, text = support.at_terminal("run", self.model, "Hello", *FLAGS, env=support.environment())
        self.assertEqual(code, 0, text)
        self.assertRegex(text, r"(?s)\x1b\[2m[^\x1b]+\x1b\[0m")

    def test_a_program_that_reads_the_answer_gets_no_thoughts(self):
        done = support.landfall("run", self.model, "Hello", *FLAGS)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.strip(), "")

    def test_thoughts_come_apart_from_the_server_whole_and_streamed(self):
        with support.Server(self.model) as server:
            body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0, "max_tokens": 8}
            whole = json.loads(self.post(server, body))["choices"][0]["message"]
            self.assertTrue(whole["reasoning_content"])
            self.assertFalse(whole["content"])
            events = [line.removeprefix("data: ") for line in self.post(server, {**body, "stream": True}).splitlines() if line.startswith("data: {")]
            deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
            self.assertEqual("".join(delta.get("reasoning_content") or "" for delta in deltas), whole["reasoning_content"])
            self.assertEqual("".join(delta.get("content") or "" for delta in deltas), "")

    def post(self, server: support.Server, body: dict) -> str:
        request = urllib.request.Request(f"{server.url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.read().decode()


if __name__ == "__main__":
    unittest.main()
