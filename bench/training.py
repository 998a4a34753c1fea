"""Training steps of a llama-shaped model of 10 million parameters, in turn with PyTorch in each of its modes where a
Python that has it is named. Prints medians, spreads and ratios and writes them with machine, commit and date to
bench/results/. Started by script/bench --training."""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys

import against

ROOT = against.ROOT
BINARY = str(ROOT / "build/release/landfall")
TORCH = {"bf16, eager": [], "bf16, compiled": ["--compile"], "f32, eager": ["--f32"], "f32, compiled": ["--f32", "--compile"]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench --training", description=__doc__)
    parser.add_argument("--torch", metavar="PYTHON", help="a Python interpreter that has PyTorch")
    for name, value in (("layers", 2), ("prompt", 256), ("sequences", 8), ("rounds", 5), ("threads", os.cpu_count())):
        parser.add_argument(f"--{name}", type=int, default=value)
    a = parser.parse_args()
    model = ROOT / f"build/llama-small-{a.layers}.gguf"
    if not model.exists():
        subprocess.run([BINARY, "bench", "--random", "llama-small", "--layers", str(a.layers), "--type", "F32", "--write", model], check=True)
    shape = ["--prompt", str(a.prompt), "--sequences", str(a.sequences), "--threads", str(a.threads)]
    programs = {"landfall": [BINARY, "bench", str(model), "--training", "--json", *shape]}
    if a.torch:
        torch = [a.torch, str(ROOT / "bench/train_torch.py"), "--layers", str(a.layers), *shape]
        programs |= {f"PyTorch {mode}": [*torch, *flags] for mode, flags in TORCH.items()}
    busy = os.getloadavg()[0]
    if busy > 0.5:
        print(f"other programs keep {busy:.1f} threads busy: the figures will not say much", file=sys.stderr)
    rounds = []
    for i in range(a.rounds):
        names = list(programs)
        rounds.append({name: json.loads(against.measured(programs[name])[0]) for name in (names if i % 2 == 0 else reversed(names))})
        print(f"round {i + 1} of {a.rounds}", file=sys.stderr)

    key = "training_tokens_per_second"
    own = rounds[-1]["landfall"]
    result = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "commit": subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
              "busy_before": busy, "kernels": own["kernels"], **{name: getattr(a, name) for name in ("layers", "prompt", "sequences", "threads")},
              "share_of_peak": against.spread([r["landfall"]["share_of_peak"] for r in rounds]), "programs": {}}  # fmt: skip
    print(f"{a.layers} layers, {a.sequences} sequences of {a.prompt}, {own['kernels']}, {a.threads} threads; {a.rounds} rounds in turn: median (lowest to highest)")
    print(f"  share of peak   {against.written(result['share_of_peak'], '.0%')}")
    for name in programs:
        row = result["programs"][name] = {"program": rounds[-1][name].get("program", name),
                                          "tokens_per_second": against.spread([r[name][key] for r in rounds]),
                                          "peak_bytes": max(r[name]["peak_bytes"] for r in rounds),
                                          "ratio": against.spread([r["landfall"][key] / r[name][key] for r in rounds])}  # fmt: skip
        memory = result["programs"]["landfall"]["peak_bytes"] / row["peak_bytes"]
        print(f"  {name:24} {against.written(row['tokens_per_second'], '.0f')} tokens/s, {row['peak_bytes'] / 1e9:.2f} GB" +
              ("" if name == "landfall" else f": ratio {against.written(row['ratio'], '.2f')}, memory {memory:.2f}"))
    stamp = result["date"].split("+")[0].replace("-", "").replace(":", "")
    out = ROOT / "bench/results" / f"{stamp}-training-{own['kernels']}-{a.layers}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"  written to {pathlib.Path(out).relative_to(ROOT)}")


if __name__ == "__main__":
    main()
