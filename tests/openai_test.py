"""`landfall serve` as the openai package sees it: the starter model answers, streams, refuses and stops."""

import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.request

import support

support.rerun_with("openai")

import openai  # noqa: E402

QUESTIONS = ["What is the capital of France?", "And of Italy?", "Name a colour.", "Another one, please.", "What is two plus two?"]


def client(server: support.Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=300)


def user(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


class OpenAi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = support.starter()
        cls.server = support.Server(cls.model)
        cls.server.__enter__()
        cls.addClassCleanup(cls.server.__exit__)
        cls.client = client(cls.server)

    def chat(self, text: str, **options):
        return self.client.chat.completions.create(
            **{"model": self.model, "messages": user(text), "temperature": 0, "max_tokens": 16, **options})

    def streamed(self, messages: list[dict], **options) -> tuple[str, str, openai.types.CompletionUsage]:
        """The text, the finish reason and the usage of a streamed answer."""
        text, reason, usage = "", None, None
        with self.client.chat.completions.create(
                model=self.model, messages=messages, stream=True, stream_options={"include_usage": True}, **options) as chunks:
            for i, chunk in enumerate(chunks):
                self.assertEqual(chunk.model, self.model)
                if i == 0:
                    self.assertEqual(chunk.choices[0].delta.role, "assistant")
                if chunk.choices:
                    self.assertIsNone(reason, "nothing comes after the finish reason but the usage")
                    text += chunk.choices[0].delta.content or ""
                    reason = chunk.choices[0].finish_reason
                usage = chunk.usage or usage
        return text, reason, usage

    def assert_refused(self, kind: type[openai.APIStatusError], param: str | None, code: str | None, **options) -> str:
        with self.assertRaises(kind) as caught:
            self.chat("Hello", **options)
        self.assertEqual(caught.exception.param, param)
        if code:
            self.assertEqual(caught.exception.code, code)
        return caught.exception.message

    # ---- answers

    def test_twenty_turns_streamed_and_whole(self):
        messages = [{"role": "system", "content": "Answer in one short sentence."}]
        answers, last_prompt = [], 0
        for turn in range(20):
            messages += user(QUESTIONS[turn % len(QUESTIONS)])
            if turn % 2:
                text, reason, usage = self.streamed(messages, temperature=0, max_tokens=32)
            else:
                whole = self.client.chat.completions.create(model=self.model, messages=messages, temperature=0, max_tokens=32)
                text, reason, usage = whole.choices[0].message.content, whole.choices[0].finish_reason, whole.usage
                self.assertEqual(whole.object, "chat.completion")
                self.assertEqual(whole.choices[0].message.role, "assistant")
            self.assertTrue(text.strip(), f"turn {turn}")
            self.assertIn(reason, ("stop", "length"))
            self.assertEqual(reason == "length", usage.completion_tokens == 32)
            self.assertGreater(usage.prompt_tokens, last_prompt)
            self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
            if turn > 0:  # the conversation so far is not read again
                self.assertGreater(usage.prompt_tokens_details.cached_tokens, 0.8 * last_prompt)
            last_prompt = usage.prompt_tokens
            answers.append(text)
            messages.append({"role": "assistant", "content": text})
        self.assertIn("Paris", answers[0])

    def test_streamed_equals_whole(self):
        whole = self.chat("Tell me about the sea.", max_tokens=40)
        text, reason, usage = self.streamed(user("Tell me about the sea."), temperature=0, max_tokens=40)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(reason, whole.choices[0].finish_reason)
        self.assertEqual(usage.completion_tokens, whole.usage.completion_tokens)

    def test_many_at_once_answer_as_each_alone(self):
        prompts = [f"Count from {i} upwards." for i in range(12)]
        options = {"max_tokens": 20, "temperature": 0.9}
        alone = [self.chat(p, seed=i, **options).choices[0].message.content for i, p in enumerate(prompts)]
        with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
            together = list(pool.map(lambda i: self.streamed(user(prompts[i]), seed=i, **options)[0], range(len(prompts))))
        self.assertEqual(together, alone)

    def test_a_seed_settles_the_answer_and_none_leaves_it_open(self):
        def draw(**options):
            return self.chat("Invent a name.", temperature=1.5, max_tokens=12, **options).choices[0].message.content

        self.assertEqual(draw(seed=7), draw(seed=7))
        self.assertGreater(len({draw(seed=i) for i in range(4)}), 1)
        self.assertGreater(len({draw() for _ in range(4)}), 1)

    def test_limits_and_stop_strings(self):
        one = self.chat("Write a long story.", max_tokens=1)
        self.assertEqual((one.choices[0].finish_reason, one.usage.completion_tokens), ("length", 1))
        whole = self.chat("Why is the sky blue?", max_tokens=40).choices[0].message.content
        word = whole.split()[4]
        for stop in (word, ["no such text", word]):
            stopped = self.chat("Why is the sky blue?", max_tokens=40, stop=stop)
            self.assertEqual(stopped.choices[0].message.content, whole[:whole.index(word)])
            self.assertEqual(stopped.choices[0].finish_reason, "stop")

    def test_completions(self):
        options = {"model": self.model, "prompt": "The capital of France is", "temperature": 0}
        whole = self.client.completions.create(**options)
        self.assertIn("Paris", whole.choices[0].text)
        self.assertEqual(whole.usage.completion_tokens, 16)
        chunks = self.client.completions.create(**options, stream=True)
        self.assertEqual("".join(chunk.choices[0].text for chunk in chunks), whole.choices[0].text)

    def test_the_guides_example_runs_as_written(self):
        example = re.search(r"^```python\n(.*?)^```", (support.ROOT / "docs/serving.md").read_text(), re.MULTILINE | re.DOTALL)[1]
        self.assertIn("http://127.0.0.1:8080", example)
        done = subprocess.run([sys.executable, "-c", example.replace("http://127.0.0.1:8080", self.server.url)], capture_output=True,
                              text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.strip())

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], [self.model])
        self.assertEqual(self.client.models.retrieve(self.model).owned_by, "landfall")

    # ---- refusals

    def test_wrong_fields_are_named(self):
        self.assert_refused(openai.BadRequestError, "temperature", None, temperature=3)
        self.assert_refused(openai.BadRequestError, "max_tokens", None, max_tokens=0)
        self.assert_refused(openai.BadRequestError, "messages", None, messages=[])
        self.assert_refused(openai.BadRequestError, "messages[0].role", None, messages=[{"role": "robot", "content": ""}])

    def test_fields_that_are_not_supported_are_named(self):
        tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
        for name, value in (("tools", [tool]), ("response_format", {"type": "json_object"}), ("n", 2), ("logprobs", True)):
            with self.subTest(name):
                self.assert_refused(openai.BadRequestError, name, "unsupported_field", **{name: value})
        image = [{"type": "image_url", "image_url": {"url": "data:"}}]
        self.assert_refused(openai.BadRequestError, "messages[0].content[0].type", "unsupported_field",
                            messages=[{"role": "user", "content": image}])

    def test_an_unknown_model_names_the_known_ones(self):
        message = self.assert_refused(openai.NotFoundError, "model", "model_not_found", model="gpt-4")
        self.assertIn(self.model, message)

    def test_a_prompt_that_is_too_long_gives_both_lengths(self):
        message = self.assert_refused(openai.BadRequestError, "messages", "context_length_exceeded", messages=user("word " * 9000))
        self.assertRegex(message, r"90\d\d tokens.* 8192")

    def test_what_is_not_json_says_where(self):
        request = urllib.request.Request(f"{self.server.url}/v1/chat/completions", data=b'{"messages": [,]}')
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=60)
        self.assertEqual(caught.exception.code, 400)
        self.assertRegex(json.load(caught.exception)["error"]["message"], "line 1, column 15")

    def test_a_port_in_use_is_one_line(self):
        port = self.server.url.rsplit(":", 1)[1]
        done = support.landfall("serve", self.model, "--port", port)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, rf"^landfall: port {port} on 127\.0\.0\.1 is in use.*\n$")

    def test_other_machines_need_an_explicit_flag(self):
        done = support.landfall("serve", self.model, "--host", "0.0.0.0", "--port", "0")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--allow-network", done.stderr)


class Lifetime(unittest.TestCase):
    """Servers of their own, which are disturbed."""

    LONG = {"prompt": "Once upon a time", "temperature": 0, "max_tokens": 6000}  # minutes of work

    @classmethod
    def setUpClass(cls):
        cls.model = support.starter()

    def test_the_printed_curl_line_answers(self):
        process = subprocess.Popen([support.BINARY, "serve", self.model, "--port", "0"], env=support.environment(),
                                   stdout=subprocess.PIPE, text=True)
        try:
            reply = support.send_curl_line(next(line for line in process.stdout if line.startswith("curl ")))
            self.assertTrue(json.loads(reply)["choices"][0]["message"]["content"].strip())
        finally:
            process.terminate()
            process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)

    def test_a_client_that_leaves_frees_the_model(self):
        # One request fills the cache: the next one has to wait until the first is out of the way.
        with support.Server(self.model, "--parallel", "1") as server:
            api = client(server)
            for stream in (True, False):
                with self.subTest(stream=stream):
                    if stream:
                        with api.completions.create(model=self.model, stream=True, **self.LONG) as chunks:
                            for _ in range(3):
                                next(iter(chunks))
                    else:
                        with self.assertRaises(openai.APITimeoutError):
                            api.with_options(timeout=1).completions.create(model=self.model, **self.LONG)
                    start = time.monotonic()
                    api.completions.create(model=self.model, prompt="Hi", max_tokens=1)
                    self.assertLess(time.monotonic() - start, 15)

    def test_health_answers_while_the_model_works(self):
        with support.Server(self.model, "--parallel", "1") as server:
            with client(server).completions.create(model=self.model, stream=True, **self.LONG) as chunks:
                next(iter(chunks))
                with urllib.request.urlopen(f"{server.url}/health", timeout=5) as reply:
                    self.assertEqual(json.load(reply), {"status": "ok"})

    def test_stopping_lets_answers_finish_and_a_second_signal_does_not(self):
        for signals in (1, 2):
            with self.subTest(signals=signals):
                server = support.Server(self.model)
                server.__enter__()
                options = {**self.LONG, "max_tokens": 60} if signals == 1 else self.LONG
                chunks = client(server).completions.create(model=self.model, stream=True, **options)
                words = iter(chunks)
                next(words)
                os.kill(server.process.pid, signal.SIGINT)
                if signals == 2:
                    timer = threading.Timer(0.5, lambda: os.kill(server.process.pid, signal.SIGINT))
                    timer.start()
                    with self.assertRaises(Exception):  # the connection breaks; whose exception that is depends on the moment
                        for _ in words:
                            pass
                else:
                    self.assertEqual([chunk.choices[0].finish_reason for chunk in words][-1], "length")
                server.process.communicate(timeout=60)
                self.assertEqual(server.process.returncode, 0)

    def test_a_missing_model_is_one_line(self):
        done = support.landfall("serve", "no-such-model", "--port", "0")
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"^landfall: .*no-such-model.*\n$")


if __name__ == "__main__":
    unittest.main()
