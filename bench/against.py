"""Landfall beside other engines' llama-bench on the same model file: in turn, because the machine's bandwidth moves by
half between minutes and only what ran in the same moment can be compared. Prints medians, spreads and ratios and writes
them with machine, commit and date to bench/results/. Started by script/bench --against."""

import argparse
import datetime
import functools
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

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEEP = ("prefill_tokens_per_second", "decode_tokens_per_second", "share_of_peak", "share_of_bandwidth", "load_seconds")


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


def landfall(binary: str, model: str, a: argparse.Namespace) -> dict:
    words = [model, "--prompt", a.prompt, "--generate", a.generate, "--past", a.past, "--sequences", a.sequences, "--threads", a.threads]
    text, out = measured([binary, "bench", *map(str, words), "--repeats", "1", "--json"], a.kernels)
    report = json.loads(text)
    out["memory"] = report["peak_bytes"]  # without what the probes of bandwidth take
    return out | {key: report.get(key) for key in (*KEEP, "machine", "kernels")}


class Peer:
    """NAME=PROGRAM FLAGS, where PROGRAM is a llama-bench."""

    def __init__(self, text: str):
        self.name, _, words = text.partition("=")
        if not words:
            raise argparse.ArgumentTypeError(f"'{text}' is not NAME=PROGRAM, for example llama.cpp=build/bin/llama-bench")
        self.program, *self.flags = shlex.split(words)
        if not os.path.exists(self.program):
            raise argparse.ArgumentTypeError(f"there is no file {self.program}")
        self.build = None

    @functools.cached_property
    def takes_depth(self) -> bool:
        """Some versions put cached tokens before what they measure with -d, others (-gp) as a prompt before it."""
        return "--n-depth" in subprocess.run([self.program, "--help"], capture_output=True, text=True).stdout

    def rows(self, path: str, a: argparse.Namespace, *words) -> tuple[list, dict]:
        text, out = measured([self.program, "-m", path, "-t", str(a.threads), "-r", "1", "-o", "json", *map(str, words), *self.flags])
        return json.loads(text[text.index("["):]), out

    def together(self, path: str, a: argparse.Namespace) -> float | None:
        """Tokens a second of all sequences; None where the engine has no program for that."""
        program = pathlib.Path(self.program).with_name("llama-batched-bench")
        if not program.exists():
            return None
        positions = a.sequences * (1 + a.generate) + 64
        words = ["-m", path, "-t", a.threads, "-c", positions, "-npp", 1, "-ntg", a.generate, "-npl", a.sequences, "--output-format", "jsonl"]
        text, _ = measured([str(program), *map(str, words)])
        return next(json.loads(line)["speed_tg"] for line in text.splitlines() if line.startswith("{"))

    def run(self, path: str, a: argparse.Namespace) -> dict:
        if a.sequences > 1:
            return {"decode_tokens_per_second": self.together(path, a)}
        rows = []
        if a.prompt or not a.past:
            rows, out = self.rows(path, a, "-p", a.prompt, "-n", 0 if a.past else a.generate)
        if a.past:
            more, out = self.rows(path, a, "-p", 0, "-n", *((a.generate, "-d", a.past) if self.takes_depth else (0, "-gp", f"{a.past},{a.generate}")))
            rows += more
        self.build = rows[0]["build_commit"]
        for row in rows:
            if row["n_gen"] == 0 and row["n_prompt"] == a.prompt:
                out["prefill_tokens_per_second"] = row["avg_ts"]
            if row["n_gen"] == a.generate and a.generate:
                out["decode_tokens_per_second"] = row["avg_ts"]
        return out


def spread(values: list[float]) -> dict:
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "samples": values}


def written(row: dict, form: str) -> str:
    return f"{row['median']:{form}} ({row['low']:{form}} to {row['high']:{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__.split(":")[0])
    parser.add_argument("--against", required=True, action="append", type=Peer, metavar="NAME=PROGRAM", help="another engine's llama-bench, with flags for it; may be given several times")
    parser.add_argument("model", help="a GGUF file")
    parser.add_argument("--packed", metavar="NAME", help="what Landfall runs instead: the same file, imported with --pack")
    for name, value in (("prompt", 512), ("generate", 64), ("past", 0), ("sequences", 1), ("rounds", 5), ("threads", os.cpu_count())):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--kernels", help="Landfall's kernel set, for example avx2; the other engines are what they were built as")
    a = parser.parse_args()
    if a.rounds < 5:
        parser.error("five rounds at least: fewer say nothing on a machine that is shared")
    binary = str(ROOT / "build/release/landfall")
    engines = {"landfall": lambda: landfall(binary, a.packed or a.model, a)}
    for peer in a.against:
        engines[peer.name] = functools.partial(peer.run, a.model, a)
    busy = os.getloadavg()[0]
    if busy > 0.5:
        print(f"other programs keep {busy:.1f} threads busy: the figures will not say much", file=sys.stderr)
    rounds = []
    for i in range(a.rounds):
        names = list(engines)
        rounds.append({name: engines[name]() for name in (names if i % 2 == 0 else reversed(names))})
        print(f"round {i + 1} of {a.rounds}", file=sys.stderr)

    own = rounds[-1]["landfall"]
    result = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "commit": subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
              "model": pathlib.Path(a.model).name, "packed": bool(a.packed), "prompt": a.prompt, "generate": a.generate,
              "past": a.past, "sequences": a.sequences, "threads": a.threads, "kernels": own["kernels"], "busy_before": busy,
              "peers": {peer.name: {"build": peer.build, "flags": peer.flags} for peer in a.against}, "machine": own["machine"]}  # fmt: skip
    what = f"prompt of {a.prompt}, {a.generate} generated behind {a.past}" + (f" by each of {a.sequences} sequences" if a.sequences > 1 else "")
    print(f"{result['model']}, {own['kernels']}, {a.threads} threads, {what}; {a.rounds} rounds in turn: median (lowest to highest)")
    for metric, share in (("prefill", "share_of_peak"), ("decode", "share_of_bandwidth")):
        key = f"{metric}_tokens_per_second"
        if own.get(key) is None:
            continue
        row = {"landfall": spread([r["landfall"][key] for r in rounds]), share: spread([r["landfall"][share] for r in rounds])}
        print(f"  {metric:8} landfall {written(row['landfall'], '.1f')} tokens/s, {share.replace('_', ' ')} {written(row[share], '.0%')}")
        for peer in a.against:
            if any(r[peer.name].get(key) is None for r in rounds):
                continue
            row[peer.name] = spread([r[peer.name][key] for r in rounds])
            ratio = row[peer.name]["ratio"] = spread([r["landfall"][key] / r[peer.name][key] for r in rounds])
            print(f"           {peer.name} {written(row[peer.name], '.1f')}: ratio {written(ratio, '.2f')}")
        result[metric] = row
    for metric, form, unit in (("memory", 1e9, "GB"), ("seconds", 1, "s from start to end")):
        result[metric] = {name: statistics.median(r[name][metric] for r in rounds) for name in engines if metric in rounds[0][name]}
        print(f"  {metric:8} " + ", ".join(f"{name} {value / form:.2f}" for name, value in result[metric].items()) + f" {unit}")
    stamp = re.sub(r"[^0-9T]", "", result["date"].split("+")[0])
    label = re.sub(r"[^a-z0-9.]+", "-", f"{pathlib.Path(a.model).stem}-{own['kernels']}-{a.prompt}-{a.past}-{a.sequences}".lower())
    out = ROOT / "bench/results" / f"{stamp}-{label}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"  written to {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
