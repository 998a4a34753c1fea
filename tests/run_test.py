"""`landfall run` with the starter model, as a person at a terminal and a script see it."""

import json
import os
import pathlib
import pty
import re
import select
import signal
import tempfile
import time
import unittest

import support

QUESTIONS = ["Name a colour.", "Another one.", "What is the sea?", "Why?", "Tell me more."]
PROMPT = "\n>>> "


def setUpModule():
    global MODEL, STARTER
    MODEL = support.starter()
    STARTER = pathlib.Path(os.environ.get("LANDFALL_STARTER") or next((support.HOME / "models/starter").glob("*.gguf")))


class Terminal:
    """`landfall run` behind a pseudo-terminal."""

    def __init__(self, *arguments: str):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(support.BINARY, ["landfall", "run", MODEL, *arguments], support.environment())
        self.code = None

    def __enter__(self) -> "Terminal":
        self.greeting = self.until(PROMPT)
        return self

    def __exit__(self, *_) -> None:
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def until(self, text: str, seconds: float = 60) -> str:
        """Everything that is printed up to `text`, with plain line ends."""
        seen, deadline = b"", time.monotonic() + seconds
        while text not in (plain := seen.decode(errors="replace").replace("\r\n", "\n")):
            if time.monotonic() > deadline:
                raise AssertionError(f"{text!r} did not come; there was {plain!r}")
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    chunk = os.read(self.fd, 4096)
                except OSError:  # the other end is closed
                    chunk = b""
                if not chunk:
                    raise AssertionError(f"it ended before {text!r}; there was {plain!r}")
                seen += chunk
        return plain

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def say(self, line: str, until: str = PROMPT) -> str:
        """What is printed after a line, without the line's echo."""
        self.type(line + "\n")
        return self.until(until).split("\n", 1)[-1]

    def exit_code(self, seconds: float = 20) -> int:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self.fd], [], [], 0)[0]:
                try:
                    os.read(self.fd, 4096)  # what nobody reads keeps a terminal's program from ending
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
                return self.code
            time.sleep(0.02)
        raise AssertionError("it does not end")


def fullness(text: str) -> int:
    return int(re.search(r"fills (\d+) of \d+ tokens", text)[1])


class Once(unittest.TestCase):
    def ask(self, question: str, *flags: str, **more: str):
        done = support.landfall("run", MODEL, question, "--temperature", "0", "--max-tokens", "60", *flags,
                                env=support.environment(**more))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def test_greedy_answers_are_sensible_with_every_kernel_set(self):
        doctor = json.loads(support.landfall("doctor", "--json").stdout)
        self.assertIn("scalar", doctor["kernel_sets"])
        self.assertIn(doctor["kernels"], doctor["kernel_sets"])
        for kernels in doctor["kernel_sets"]:
            with self.subTest(kernels=kernels):
                water = self.ask("What is the chemical formula of water?", "--verbose", LANDFALL_KERNELS=kernels)
                self.assertIn("H2O", water.stdout)
                self.assertIn(f"kernels {kernels},", water.stderr)
                self.assertRegex(self.ask("Why is the sky blue?", LANDFALL_KERNELS=kernels).stdout, r"(?s)light.*(atmosphere|scatter)|(atmosphere|scatter).*light")

    def test_a_kernel_set_that_is_not_there_is_one_line(self):
        done = support.landfall("run", MODEL, "Hello", env=support.environment(LANDFALL_KERNELS="sse9"))
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"^landfall: [^\n]*sse9[^\n]*scalar[^\n]*\n$")
        found = json.loads(support.landfall("doctor", "--json", env=support.environment(LANDFALL_KERNELS="sse9")).stdout)
        self.assertTrue([p for p in found["problems"] if "sse9" in p["what"] and "LANDFALL_KERNELS" in p["fix"]], found["problems"])

    def test_an_answer_that_fills_the_context_is_given_and_a_prompt_that_does_not_fit_is_refused(self):
        done = support.landfall("run", MODEL, "Tell me a long story about a ship.", "--context", "100", "--temperature", "0")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreater(len(done.stdout), 100)
        self.assertIn("fills 100 of 100 tokens. --context gives a larger one", done.stderr)
        done = support.landfall("run", MODEL, "word " * 200, "--context", "100")
        self.assertEqual(done.returncode, 7)
        self.assertEqual(done.stdout.strip(), "")
        self.assertRegex(done.stderr, r"^landfall: the prompt has 2\d\d tokens, and the context holds 100[^\n]*\n$")

    def test_a_question_on_standard_input_is_answered_alike(self):
        question = "What is the chemical formula of water?"
        done = support.landfall("run", MODEL, "--temperature", "0", "--max-tokens", "60", input=question + "\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, self.ask(question).stdout)

    def test_verbose_prints_rates(self):
        done = self.ask("Hello", "--verbose")
        self.assertRegex(done.stderr, r"(?m)^loaded in [\d.]+ s: .*kernels \w+, \d+ threads$")
        self.assertRegex(done.stderr, r"prompt \d+ tokens .* [\d.]+ tokens/s; answer \d+ tokens, [\d.]+ tokens/s, longest gap \d+ ms")

    def test_drafts_bring_the_same_answer_and_are_counted(self):
        question = "Copy this line twice. Anna, room 114, telephone 5521; Boris, room 203, telephone 5533."
        plain = self.ask(question).stdout
        for draft in ("ngram", MODEL):
            done = self.ask(question, "--verbose", "--draft", draft)
            self.assertEqual(done.stdout, plain)
            drafted, accepted = map(int, re.search(r"drafted (\d+) tokens, (\d+) of them accepted", done.stderr).groups())
            self.assertGreater(accepted, 0)
            self.assertGreaterEqual(drafted, accepted)
        done = support.landfall("run", MODEL, question, "--draft", "mtp")
        self.assertEqual(done.returncode, 4)
        self.assertRegex(done.stderr, r"^landfall: [^\n]*carries no multi-token layer: [^\n]*'ngram'[^\n]*\n$")
        done = support.landfall("run", MODEL, question, "--draft", "nothing-like-it")
        self.assertEqual(done.returncode, 4)
        self.assertRegex(done.stderr, r"^landfall: [^\n]*--draft[^\n]*nothing-like-it[^\n]*\n$")

    def test_what_memory_cannot_hold_is_refused_with_the_numbers(self):
        done = support.landfall("run", MODEL, "Hello", "--context", "1000000000")
        self.assertEqual(done.returncode, 7)
        self.assertRegex(done.stderr, r"^landfall: [^\n]*[\d.]+ [MGT]B[^\n]*[\d.]+ [MG]B[^\n]*--context[^\n]*\n$")

    def test_what_is_no_model_is_one_line(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "empty").mkdir()
            (folder / "text.gguf").write_text("Once upon a time\n" * 10)
            for name, config in (("unknown", {"model_type": "mamba"}), ("broken", None), ("bin", {"model_type": "llama"})):
                (folder / name).mkdir()
                (folder / name / "config.json").write_text(json.dumps(config) if config else "{")
                (folder / name / "model.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}")
            (folder / "bin/model.safetensors").rename(folder / "bin/pytorch_model.bin")
            with STARTER.open("rb") as file:
                (folder / "short.gguf").write_bytes(file.read(1 << 20))
            for path, code, says in (("missing.gguf", 4, "there is no"), ("empty", 4, "neither config.json nor"),
                                     ("text.gguf", 2, "not a GGUF file"), ("short.gguf", 5, "truncated"),
                                     ("unknown", 6, "architecture 'mamba' is not known; known are: .*deepseek_v3"),
                                     ("broken", 2, "config.json': not valid JSON: .*line 1"), ("bin", 4, "can run code")):
                with self.subTest(path):
                    done = support.landfall("run", str(folder / path), "Hello")
                    self.assertEqual(done.returncode, code, done.stderr)
                    self.assertEqual(done.stdout, "")
                    self.assertRegex(done.stderr, rf"^landfall: [^\n]*{says}[^\n]*\n$")


class Conversation(unittest.TestCase):
    def test_twenty_turns(self):
        with Terminal("--max-tokens", "12", "--temperature", "0", "--seed", "1") as chat:
            last = 0
            for turn in range(20):
                answer = chat.say(QUESTIONS[turn % len(QUESTIONS)]).split("\n(")[0]
                self.assertTrue(answer.replace(PROMPT, "").strip(), f"turn {turn}")
                full = fullness(chat.say("/stats"))
                self.assertGreater(full, last)
                last = full
            self.assertIn("forgotten", chat.say("/clear"))
            self.assertEqual(fullness(chat.say("/stats")), 0)
            chat.type("\x04")
            self.assertEqual(chat.exit_code(), 0)

    def test_words_after_a_slash_and_blocks(self):
        with Terminal("--max-tokens", "12", "--temperature", "0") as chat:
            self.assertRegex(chat.say("/help"), r"/clear +forget the conversation")
            self.assertIn("'/nope' is not a command; /help lists them.", chat.say("/nope"))
            self.assertEqual(fullness(chat.say("/stats")), 0, "none of these is a question")
            for line in ('"""', "Name a colour.", "And an animal."):
                self.assertNotIn(">>>", chat.say(line, "... "))
            self.assertTrue(chat.say('"""').replace(PROMPT, "").strip())
            self.assertGreater(fullness(chat.say("/stats")), 0)
            chat.type("/exit\n")
            self.assertEqual(chat.exit_code(), 0)

    def test_ctrl_c_stops_the_answer_and_twice_leaves(self):
        with Terminal("--temperature", "0") as chat:
            chat.type("Tell me a very long story about the sea.\n")
            chat.until("story about the sea.\n")
            chat.until(" ")  # the answer has begun
            chat.type("\x03")
            self.assertIn("(stopped)", chat.until(PROMPT))
            self.assertGreater(fullness(chat.say("/stats")), 0, "the conversation goes on")
            chat.type("\x03")
            chat.until(">>> ")
            chat.type("\x03")
            self.assertEqual(chat.exit_code(), 0)

    def test_a_context_that_fills_says_how_full_it_is_and_clear_empties_it(self):
        with Terminal("--context", "128", "--temperature", "0") as chat:
            self.assertIn("(the context is full) The conversation fills 128 of 128 tokens. /clear starts a new conversation",
                          chat.say("Tell me a long story about a ship."))
            self.assertEqual(fullness(chat.say("/stats")), 128)
            chat.say("/clear")
            self.assertEqual(fullness(chat.say("/stats")), 0)
            self.assertNotIn("full", chat.say("Name a colour."))

    def test_a_question_that_no_longer_fits_is_refused_with_both_lengths(self):
        with Terminal("--context", "128", "--temperature", "0", "--max-tokens", "20") as chat:
            self.assertNotIn("/clear", chat.say("Name a colour."))
            used = fullness(chat.say("/stats"))
            refused = chat.say("And why? " * 40)
            self.assertRegex(refused, r"the prompt has 1\d\d tokens, and the context holds 128")
            self.assertIn(f"fills {used} of 128 tokens. /clear starts a new conversation", refused)
            self.assertNotIn("the prompt has", chat.say("And why?"), "the one before is not part of the conversation")


if __name__ == "__main__":
    unittest.main()
