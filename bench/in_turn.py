"""What comparisons share: programs run in turn, because the machine's bandwidth moves by half between minutes and only
what ran in the same moment can be compared; medians with their spread; and a file for the result."""

import datetime
import json
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Callable

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = str(ROOT / "build/release/landfall")


def measured(command: list[str], kernels: str | None = None) -> tuple[str, dict]:
    """What the program prints; the most memory that it held in bytes, and its seconds from start to end."""
    environment = {**os.environ, **({"LANDFALL_KERNELS": kernels} if kernels else {})}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=out, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), errors.seek(0)
        if process.returncode != 0:
            sys.exit(f"{shlex.join(command)} ended with {process.returncode}:\n{errors.read()[-2000:]}")
        return out.read(), {"memory": usage.ru_maxrss * 1024, "seconds": seconds}


def run(programs: dict[str, Callable], rounds: int) -> tuple[list[dict], dict]:
    """What each program gave in each round, every second round in the opposite order; and the head of a result."""
    busy = os.getloadavg()[0]
    if busy > 0.5:
        print(f"other programs keep {busy:.1f} threads busy: the figures will not say much", file=sys.stderr)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    head = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "commit": commit, "busy_before": busy}
    out = []
    for i in range(rounds):
        names = list(programs)
        out.append({name: programs[name]() for name in (names if i % 2 == 0 else reversed(names))})
        print(f"round {i + 1} of {rounds}", file=sys.stderr)
    return out, head


def spread(values: list[float]) -> dict:
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "samples": values}


def written(row: dict, form: str) -> str:
    return f"{row['median']:{form}} ({row['low']:{form}} to {row['high']:{form}})"


def save(result: dict, label: str) -> None:
    stamp = re.sub(r"[^0-9T]", "", result["date"].split("+")[0])
    out = ROOT / "bench/results" / f"{stamp}-{re.sub(r'[^a-z0-9.]+', '-', label.lower())}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"  written to {out.relative_to(ROOT)}")
