"""Landfall beside other engines' llama-bench on the same model file, in turn. Prints medians, spreads and ratios and
writes them with machine, commit and date to bench/results/. Started by script/bench --against."""

import argparse
import functools
import json
import os
import pathlib
import shlex
import statistics
import subprocess

import in_turn
from in_turn import measured, spread, written

KEEP = ("prefill_tokens_per_second", "decode_tokens_per_second", "share_of_peak", "share_of_bandwidth", "load_seconds")


def landfall(model: str, a: argparse.Namespace) -> dict:
    words = [model, "--prompt", a.prompt, "--generate", a.generate, "--past", a.past, "--sequences", a.sequences, "--threads", a.threads]
    text, out = measured([in_turn.BINARY, "bench", *map(str, words), "--repeats", "1", "--json"], a.kernels)
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
        words = ["-m", path, "-t", a.threads, "-c", positions, "-npp", 1, "-ntg", a.generate, "-npl", a.sequences, "--output-format", "jsonl", *self.flags]
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
    engines = {"landfall": lambda: landfall(a.packed or a.model, a)}
    for peer in a.against:
        engines[peer.name] = functools.partial(peer.run, a.model, a)
    rounds, head = in_turn.run(engines, a.rounds)
    own = rounds[-1]["landfall"]
    result = {**head, "model": pathlib.Path(a.model).name, "packed": bool(a.packed), "prompt": a.prompt, "generate": a.generate,
              "past": a.past, "sequences": a.sequences, "threads": a.threads, "kernels": own["kernels"],
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
    in_turn.save(result, f"{pathlib.Path(a.model).stem}-{own['kernels']}-{a.prompt}-{a.past}-{a.sequences}")


if __name__ == "__main__":
    main()
