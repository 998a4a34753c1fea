"""Landfall beside another engine's llama-bench on the same model file: in turn, because the machine's bandwidth moves by
half between minutes and only what ran in the same moment can be compared. Prints medians, spreads and ratios and writes
them with machine, commit and date to bench/results/. Started by script/bench --against."""

import argparse
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

ROOT = pathlib.Path(__file__).resolve().parent.parent


def measured(command: list[str]) -> tuple[str, float]:
    """What the program prints, and the most memory that it held in bytes."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), errors.seek(0)
        if process.returncode != 0:
            sys.exit(f"{shlex.join(command)} ended with {process.returncode}:\n{errors.read()[-2000:]}")
        return out.read(), usage.ru_maxrss * 1024


def landfall(binary: str, a: argparse.Namespace) -> dict:
    words = [a.model, "--prompt", a.prompt, "--generate", a.generate, "--past", a.past, "--threads", a.threads]
    text, memory = measured([binary, "bench", *map(str, words), "--repeats", "1", "--json"])
    out = json.loads(text)
    return {"prefill": out.get("prefill_tokens_per_second"), "decode": out.get("decode_tokens_per_second"),
            "share_of_peak": out.get("share_of_peak"), "share_of_bandwidth": out.get("share_of_bandwidth"),
            "memory": out["peak_bytes"], "machine": out["machine"], "kernels": out["kernels"]}  # fmt: skip


def peer(path: str, a: argparse.Namespace) -> dict:
    def run(*words) -> tuple[list, float]:
        text, memory = measured([a.against, "-m", path, "-t", str(a.threads), "-r", "1", "-o", "json", *map(str, words), *a.peer_flags])
        return json.loads(text[text.index("["):]), memory

    # Some versions put cached tokens before what they measure with -d, others (-gp) as a prompt before the generation.
    rows, memory = run("-p", a.prompt, "-n", 0 if a.past else a.generate)
    if a.past:
        more, memory = run("-p", 0, "-n", *((0, "-gp", f"{a.past},{a.generate}") if a.prompt_before else (a.generate, "-d", a.past)))
        rows += more
    out = {"memory": memory, "build": rows[0]["build_commit"]}
    for row in rows:
        if row["n_gen"] == 0 and row["n_prompt"] == a.prompt:
            out["prefill"] = row["avg_ts"]
        if row["n_gen"] == a.generate and a.generate:
            out["decode"] = row["avg_ts"]
    return out


def spread(values: list[float]) -> dict:
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "samples": values}


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__.split(":")[0])
    parser.add_argument("--against", required=True, metavar="PROGRAM", help="the other engine's llama-bench")
    parser.add_argument("model", help="a GGUF file or a name from 'landfall list'")
    for name, value in (("prompt", 512), ("generate", 64), ("past", 0), ("rounds", 5), ("threads", os.cpu_count())):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--peer-name", help="how results call it")
    parser.add_argument("--peer-flags", type=shlex.split, default=[], help="more words for it, such as '-rtr 1'")
    parser.add_argument("--prompt-before", action="store_true", help="it wants cached tokens as -gp and not as -d")
    a = parser.parse_args()
    if a.rounds < 5:
        parser.error("five rounds at least: fewer say nothing on a machine that is shared")
    binary = str(ROOT / "build/release/landfall")
    path = a.model
    if not os.path.exists(path):
        path = json.loads(subprocess.run([binary, "show", a.model, "--json"], check=True, capture_output=True).stdout)["path"]
    busy = os.getloadavg()[0]
    if busy > 0.5:
        print(f"other programs keep {busy:.1f} threads busy: the figures will not say much", file=sys.stderr)
    rounds = []
    for i in range(a.rounds):
        both = {}
        for who in ("landfall", "peer") if i % 2 == 0 else ("peer", "landfall"):
            both[who] = landfall(binary, a) if who == "landfall" else peer(path, a)
        rounds.append(both)
        print(f"round {i + 1} of {a.rounds}", file=sys.stderr)

    name = a.peer_name or pathlib.Path(a.against).name
    result = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "commit": subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
              "model": pathlib.Path(path).name, "prompt": a.prompt, "generate": a.generate, "past": a.past,
              "threads": a.threads, "busy_before": busy, "peer": {"name": name, "build": rounds[0]["peer"]["build"], "flags": a.peer_flags},
              "machine": rounds[-1]["landfall"]["machine"]}  # fmt: skip
    print(f"{result['model']}, {a.threads} threads, {a.rounds} rounds in turn; median (lowest to highest)")
    for what in ("prefill", "decode"):
        if rounds[0]["landfall"][what] is None or what not in rounds[0]["peer"]:
            continue
        row = {who: spread([r[who][what] for r in rounds]) for who in ("landfall", "peer")}
        row["ratio"] = spread([r["landfall"][what] / r["peer"][what] for r in rounds])
        share = "share_of_peak" if what == "prefill" else "share_of_bandwidth"
        row[share] = spread([r["landfall"][share] for r in rounds])
        result[what] = row
        cells = ["{median:8.1f} ({low:.1f} to {high:.1f})".format(**row[who]) for who in ("landfall", "peer")]
        print(f"  {what:8} landfall {cells[0]}   {name} {cells[1]}   ratio {row['ratio']['median']:.2f} "
              f"({row['ratio']['low']:.2f} to {row['ratio']['high']:.2f})   {share.replace('_', ' ')} {row[share]['median']:.0%}")  # fmt: skip
    result["memory"] = {who: max(r[who]["memory"] for r in rounds) for who in ("landfall", "peer")}
    print(f"  memory   landfall {result['memory']['landfall'] / 1e9:.2f} GB   {name} {result['memory']['peer'] / 1e9:.2f} GB")
    stamp = re.sub(r"[^0-9T]", "", result["date"].split("+")[0])
    label = re.sub(r"[^a-z0-9.]+", "-", f"{pathlib.Path(path).stem}-{name}".lower())
    out = ROOT / "bench/results" / f"{stamp}-{label}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"  written to {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
