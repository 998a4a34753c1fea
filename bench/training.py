"""Training steps of a llama-shaped model of 10 million parameters, in turn with PyTorch in each of its modes where a
Python that has it is named, and with activations that are computed again where that is asked for. Prints medians, spreads and ratios and writes them with machine, commit and date to
bench/results/. Started by script/bench --training."""

import argparse
import functools
import json
import os
import subprocess

import in_turn
from in_turn import BINARY, ROOT, measured, spread, written

TORCH = {"bf16-eager": [], "bf16-compiled": ["--compile"], "f32-eager": ["--f32"], "f32-compiled": ["--f32", "--compile"]}


def report(command: list[str]) -> dict:
    return json.loads(measured(command)[0])


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench --training", description=__doc__)
    parser.add_argument("--torch", metavar="PYTHON", help="a Python interpreter that has PyTorch")
    parser.add_argument("--modes", nargs="+", choices=TORCH, default=list(TORCH), help="PyTorch's, for example f32-eager")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="Landfall's")
    parser.add_argument("--recompute", nargs="+", default=[], metavar="MODE", help="Landfall with activations computed again too: layer, two-level or a number")
    for name, value in (("layers", 2), ("prompt", 256), ("sequences", 8), ("rounds", 5), ("threads", os.cpu_count())):
        parser.add_argument(f"--{name}", type=int, default=value)
    a = parser.parse_args()
    model = ROOT / f"build/llama-small-{a.layers}.gguf"
    if not model.exists():
        subprocess.run([BINARY, "bench", "--random", "llama-small", "--layers", str(a.layers), "--type", "F32", "--write", model], check=True)
    shape = ["--prompt", str(a.prompt), "--sequences", str(a.sequences), "--threads", str(a.threads)]
    own = [BINARY, "bench", str(model), "--training", "--json", "--precision", a.precision, *shape]
    programs = {"landfall": own} | {f"recompute {mode}": [*own, "--recompute", mode] for mode in a.recompute}
    if a.torch:
        torch = [a.torch, str(ROOT / "bench/train_torch.py"), "--layers", str(a.layers), *shape]
        programs |= {f"PyTorch {mode}": [*torch, *flags] for mode, flags in TORCH.items() if mode in a.modes}
    rounds, head = in_turn.run({name: functools.partial(report, command) for name, command in programs.items()}, a.rounds)

    key = "training_tokens_per_second"
    kernels = rounds[-1]["landfall"]["kernels"]
    result = {**head, "kernels": kernels, "precision": a.precision, **{name: getattr(a, name) for name in ("layers", "prompt", "sequences", "threads")},
              "share_of_peak": spread([r["landfall"]["share_of_peak"] for r in rounds]), "programs": {}}  # fmt: skip
    print(f"{a.layers} layers, {a.sequences} sequences of {a.prompt}, {kernels}, {a.precision}, {a.threads} threads; {a.rounds} rounds in turn: median (lowest to highest)")
    print(f"  share of peak   {written(result['share_of_peak'], '.0%')}")
    for name in programs:
        row = result["programs"][name] = {"program": rounds[-1][name].get("program", name),
                                          "tokens_per_second": spread([r[name][key] for r in rounds]),
                                          "peak_bytes": max(r[name]["peak_bytes"] for r in rounds),
                                          "ratio": spread([r["landfall"][key] / r[name][key] for r in rounds])}  # fmt: skip
        memory = result["programs"]["landfall"]["peak_bytes"] / row["peak_bytes"]
        print(f"  {name:24} {written(row['tokens_per_second'], '.0f')} tokens/s, {row['peak_bytes'] / 1e9:.2f} GB" +
              ("" if name == "landfall" else f": ratio {written(row['ratio'], '.2f')}, memory {memory:.2f}"))
    in_turn.save(result, f"training-{kernels}-{a.precision}-{a.layers}")


if __name__ == "__main__":
    main()
