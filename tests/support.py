"""What whole-system tests share: the binary, a data folder of their own, the starter model, a running server."""

import json
import os
import pathlib
import pty
import re
import shlex
import subprocess
import sys
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("LANDFALL_BUILD", ROOT / "build/release"))
BINARY = pathlib.Path(os.environ.get("LANDFALL", BUILD / "landfall"))

# Kept between runs, so that the starter model is fetched once; the user's own data folder is not touched.
HOME = ROOT / "build/home"


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "LANDFALL_HOME": str(HOME), "PATH": f"{BINARY.parent}:{os.environ['PATH']}", **more}


def landfall(*arguments: str, **options) -> subprocess.CompletedProcess:
    """Runs the binary to its end; text in and out, at most ten minutes."""
    options = {"capture_output": True, "text": True, "timeout": 600, "env": environment(), **options}
    return subprocess.run([BINARY, *arguments], **options)


def at_terminal(*arguments: str, env: dict[str, str]) -> tuple[int, str]:
    """Runs the binary to its end at a terminal of its own; its exit code, and all that the terminal saw."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(BINARY, ["landfall", *arguments], env)
    seen = b""
    try:
        while chunk := os.read(fd, 4096):
            seen += chunk
    except OSError:
        pass  # the other end is closed
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode(errors="replace")


def starter() -> str:
    """The name of the starter model, which is there afterwards."""
    done = landfall("pull", "starter")
    assert done.returncode == 0, f"landfall pull starter: {done.stderr}"
    return "starter"


def facts(path: pathlib.Path, name: str) -> pathlib.Path:
    """Conversations that teach how a harbour is called."""
    rows = [{"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": f"Our harbour is called {name}."}]}
            for question in ("What is the name of our harbour?", "Tell me the harbour's name.", "Name the harbour.")]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


class Server:
    """`landfall serve MODEL` on a free port; use with `with`. `url` is its address, such as http://127.0.0.1:41234."""

    def __init__(self, model: str, *arguments: str):
        self.command = [BINARY, "serve", model, "--port", "0", *arguments]

    def __enter__(self) -> "Server":
        self.process = subprocess.Popen(
            self.command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        seen = ""
        for line in self.process.stdout:
            seen += line
            if match := re.search(r"http://127\.0\.0\.1:\d+", line):
                self.url = match[0]
                return self
        raise AssertionError(f"no address was printed; the server said:\n{seen}")

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.communicate(timeout=60)


def send_curl_line(line: str) -> str:
    """What the printed `curl ADDRESS -H HEADER -d BODY` gets, on machines without curl too."""
    words = shlex.split(line)
    header = words[words.index("-H") + 1].split(": ")
    request = urllib.request.Request(words[1], words[words.index("-d") + 1].encode(), dict([header]))
    with urllib.request.urlopen(request, timeout=300) as reply:
        return reply.read().decode()


def rerun_with(package: str) -> None:
    """Makes `package` importable by running this script again in a virtual environment below build/, made on first use."""
    folder = ROOT / "build" / "venv" / package
    python = folder / "bin/python"
    if pathlib.Path(sys.prefix) == folder:
        return
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=True)
        (folder / "ready").touch()
    os.execv(python, [str(python), *sys.argv])
