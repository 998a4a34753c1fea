"""What the guides say is there: commands, flags, scripts, files; and what runs in seconds runs as written."""

import json
import re
import shlex
import subprocess
import tempfile
import unittest

import support

GUIDES = sorted([*support.ROOT.glob("*.md"), *support.ROOT.glob("docs/**/*.md")])

# Commands that end by themselves within seconds and change nothing but the data folder of the tests.
RUN_AS_WRITTEN = {"doctor", "list", "show", "verify", "pull", "run", "perplexity"}


def shell_lines(text: str) -> list[str]:
    """The command lines of ```sh blocks, without comments and prompts; a trailing \\ continues a line."""
    lines = []
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines += [line.strip() for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def first_command(line: str) -> list[str]:
    """The words of the first command of a line, up to a pipe or redirection."""
    words = shlex.split(line, comments=True)
    ends = [i for i, word in enumerate(words) if re.fullmatch(r"\||\d?[<>]+.*|&&|&", word)]
    return words[: ends[0]] if ends else words


def flags(words: list[str]) -> list[str]:
    return [word.split("=")[0] for word in words if re.match(r"--[a-z]", word)]


def names_own_files(words: list[str]) -> bool:
    """Whether a command has a placeholder or a file of the reader's own."""
    return any(re.search(r"[A-Z]{4,}|\.gguf|hf:|/", word) for word in words[1:])


def commands_of(program: str) -> list[tuple[str, list[str]]]:
    """Every line of the guides that runs `program`, with the words of that command."""
    lines = [line for guide in GUIDES for line in shell_lines(guide.read_text())]
    return [(line, words) for line in lines if (words := first_command(line)) and words[0].startswith(program)]


class Guides(unittest.TestCase):
    def test_scripts_and_their_flags_are_there(self):
        self.assertGreater(len(commands_of("script/")), 3)
        for line, words in commands_of("script/"):
            with self.subTest(line=line):
                text = (support.ROOT / words[0]).read_text()
                for flag in flags(words[1:]):
                    self.assertIn(flag, text)

    def test_landfall_commands_and_their_flags_are_there(self):
        self.assertGreater(len(commands_of("landfall")), 3)
        for line, words in commands_of("landfall"):
            with self.subTest(line=line):
                command = words[1:2] if len(words) > 1 and not words[1].startswith("-") else []
                done = support.landfall(*command, "--help")
                self.assertEqual(done.returncode, 0, done.stderr)
                for flag in flags(words):
                    self.assertRegex(done.stdout, rf"{flag}\b")

    def test_quick_commands_run_as_written(self):
        for line, words in commands_of("landfall"):
            if words[1:2] == ["run"] and len(words) < 4:
                continue  # a conversation
            if len(words) < 2 or words[1] not in RUN_AS_WRITTEN or names_own_files(words):
                continue
            with self.subTest(line=line):
                done = subprocess.run(["bash", "-c", line], cwd=support.ROOT, env=support.environment(), capture_output=True,
                                      text=True, input="What is two plus two?\n", timeout=600)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertTrue(done.stdout + done.stderr)

    def test_what_serves_answers_the_curl_line_that_it_prints(self):
        lines = [line for line, words in commands_of("script/server") + commands_of("landfall") if (words[0] == "script/server" or words[1:2] == ["serve"]) and not names_own_files(words)]
        self.assertGreater(len(lines), 1)
        for line in lines:
            with self.subTest(line=line):
                process = subprocess.Popen(["bash", "-c", f"exec {line} --port 0"], cwd=support.ROOT, env=support.environment(),
                                           stdout=subprocess.PIPE, text=True)
                try:
                    curl = next((said for said in process.stdout if said.startswith("curl ")), None)
                    self.assertIsNotNone(curl)
                    self.assertTrue(json.loads(support.send_curl_line(curl))["choices"][0]["message"]["content"].strip())
                finally:
                    process.terminate()
                    process.communicate(timeout=60)
                self.assertEqual(process.returncode, 0)

    def test_the_binary_can_be_installed(self):
        self.assertIn("cmake --install build/release", (support.ROOT / "README.md").read_text())
        with tempfile.TemporaryDirectory() as prefix:
            subprocess.run(["cmake", "--install", support.BUILD, "--prefix", prefix], check=True, capture_output=True, timeout=60)
            done = subprocess.run([f"{prefix}/bin/landfall", "--version"], capture_output=True, text=True, timeout=60)
            self.assertRegex(done.stdout, r"^landfall \d")

    def test_exit_codes_are_those_of_the_program(self):
        listed = re.findall(r"(?m)^\| (\d+) \|", (support.ROOT / "docs/commands.md").read_text())
        table = re.findall(r"\{Code::\w+, \"\w+\", \d+, (\d+)\}", (support.ROOT / "src/base/result.cpp").read_text())
        self.assertEqual(sorted(map(int, listed)), sorted(map(int, table)))

    def test_links_between_files_lead_somewhere(self):
        for guide in GUIDES:
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", guide.read_text()):
                with self.subTest(guide=guide.name, target=target):
                    self.assertTrue((guide.parent / target).exists())

    def test_folders_of_the_readme_are_there(self):
        folders = re.findall(r"^\| `([a-z/]+/)` \|", (support.ROOT / "README.md").read_text(), re.MULTILINE)
        self.assertGreater(len(folders), 4)
        for folder in folders:
            with self.subTest(folder=folder):
                self.assertTrue((support.ROOT / folder).is_dir())


if __name__ == "__main__":
    unittest.main()
