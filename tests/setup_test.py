"""script/setup on a machine that lacks every package, for somebody who may not install any."""

import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import unittest

import support

NOBODY = 65534


class Setup(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="landfall_setup_")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        shutil.copytree(support.ROOT / "script", self.folder / "script")
        tools = self.folder / "tools"
        tools.mkdir()
        for name, does in (("dpkg-query", "exit 1"), ("apt-get", "echo called > $0.called; exit 1"), ("apt-cache", "exit 0")):
            (tools / name).write_text(f"#!/bin/sh\n{does}\n")
        for path in (self.folder, *self.folder.rglob("*")):
            path.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}

    def run_setup(self, *arguments: str, **more) -> subprocess.CompletedProcess:
        return subprocess.run([self.folder / "script/setup", *arguments], env=self.environment, capture_output=True, text=True, timeout=60, **more)

    def test_without_root_it_prints_one_command_and_exits_3(self):
        done = self.run_setup("--for", "all", **({"user": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}))
        self.assertEqual(done.returncode, 3, done.stderr)
        command = done.stdout.splitlines()
        self.assertEqual(len(command), 1, done.stdout)
        sudo, shell, flag, inner = shlex.split(command[0])
        self.assertEqual((sudo, shell, flag), ("sudo", "sh", "-c"))
        for package in ("ninja-build", "libpcre2-dev", "clang-14", "qemu-user", "g++"):
            self.assertIn(package, inner.split())
        self.assertNotRegex(inner, r"[|]|>=")
        self.assertFalse((self.folder / "tools/apt-get.called").exists())

    def test_a_wrong_purpose_is_a_usage_error(self):
        self.assertEqual(self.run_setup("--for", "nothing").returncode, 2)

    def test_where_nothing_is_missing_nothing_happens(self):
        (self.folder / "tools/dpkg-query").write_text("#!/bin/sh\necho 'install ok installed|9:999'\n")
        done = self.run_setup("--for", "all")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.assertFalse((self.folder / "tools/apt-get.called").exists())


if __name__ == "__main__":
    unittest.main()
