"""No kernel became slower: instructions under callgrind for the scalar and AVX2 kernels, times beside a loop that never
changes for the AVX-512 kernels, which callgrind cannot execute, and for weights in memory, where the best set waits;
all against bench/baseline.json. Started by script/bench --check; a change that is meant is taken over with --update.

A baseline of instructions belongs to a compiler and one of times to a processor: others are not compared."""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASELINE = ROOT / "bench/baseline.json"
GUARD = ROOT / "build/release/bench/kernel_guard"
COUNTED = ("scalar", "avx2")  # the others of the baseline are times
FROM_MEMORY = " from memory"


def instructions(kernels: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=landfall_guard_region",
             "--dump-after=landfall_guard_region", f"--callgrind-out-file={folder}/out", GUARD, "run", kernels],
            capture_output=True, text=True)  # fmt: skip
        if done.returncode != 0:
            sys.exit(f"check: the {kernels} kernels under callgrind ended with {done.returncode}:\n{done.stderr[-2000:]}")
        names = done.stdout.splitlines()
        counts = []
        for number in range(1, len(names) + 1):
            text = (pathlib.Path(folder) / f"out.{number}").read_text()
            counts.append(int(re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)[1]))
        return dict(zip(names, counts))


def times(name: str) -> dict[str, float]:
    kernels, mode = name.removesuffix(FROM_MEMORY), "memory" if name.endswith(FROM_MEMORY) else "time"
    done = subprocess.run([GUARD, mode, kernels], capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["name"]: row["ratio"] for row in rows}


def first_line(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def belongs_to(kernels: str) -> str:
    if kernels not in COUNTED:
        said = {key: re.search(rf"^{key}\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)[1]
                for key in ("model name", "cpu family", "model")}  # fmt: skip
        family = f", family {said['cpu family']}, model {said['model']}"
        return said["model name"] + (family if kernels.endswith(FROM_MEMORY) else "")
    cache = (ROOT / "build/release/CMakeCache.txt").read_text()
    version = first_line(re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", cache, re.MULTILINE)[1], "--version")
    return version.partition(" ")[2]  # without the name it was called by


def slower(now: dict[str, float], base: dict[str, float], limit: float) -> dict[str, float]:
    return {name: now[name] / base[name] for name in base if name in now and now[name] > limit * base[name]}


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/bench --check", description=__doc__.split(":")[0])
    parser.add_argument("--fast", action="store_true", help="the AVX2 kernels only")
    parser.add_argument("--update", action="store_true", help="take today's figures as the baseline")
    a = parser.parse_args()
    sets = ["avx2"] if a.fast else ["scalar", "avx2"]
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    if not a.fast:
        widest = "avx512" if "avx512_vnni" in flags and "avx512_bf16" in flags else "avx2"
        sets += [widest] * (widest not in COUNTED) + [widest + FROM_MEMORY]
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    passed = failed = skipped = 0
    for kernels in sets:
        counted = kernels in COUNTED
        measure = instructions if counted else times
        owner, limit = belongs_to(kernels), 1.03 if counted else 1.08
        if a.update:
            runs = [measure(kernels) for _ in range(1 if counted else 5)]
            baseline[kernels] = {"of": owner, "cases": {name: statistics.median(r[name] for r in runs) for name in runs[0]}}
            continue
        base = baseline.get(kernels, {})
        if base.get("of") != owner:
            print(f"check: {kernels} is not compared: the baseline is of '{base.get('of')}', here is '{owner}'")
            skipped += len(base.get("cases", [""]))
            continue
        now = measure(kernels)
        bad = slower(now, base["cases"], limit)
        if bad and not counted:  # a time counts when a second run confirms it
            again = slower(measure(kernels), base["cases"], limit)
            bad = {name: min(bad[name], again[name]) for name in bad if name in again}
        missing = [name for name in base["cases"] if name not in now]
        for name, ratio in bad.items():
            print(f"check: {kernels}, {name}: {100 * (ratio - 1):.1f}% slower than the baseline, {100 * (limit - 1):.0f}% are allowed; "
                  "mend it, or script/bench --check --update takes it over")  # fmt: skip
        for name in missing:
            print(f"check: {kernels}, {name} is in the baseline and was not measured")
        new = [name for name in now if name not in base["cases"]]
        for name in new:
            print(f"check: {kernels}, {name} is not in the baseline; script/bench --check --update takes it in")
        if counted:  # baselines of times grow where there is such a processor
            missing += new
        faster = sum(now[name] < base["cases"][name] / limit for name in base["cases"] if name in now)
        if faster:
            print(f"check: {kernels}: {faster} of {len(now)} are faster than the baseline by more; --update keeps that")
        failed += len(bad) + len(missing)
        passed += sum(name in now for name in base["cases"]) - len(bad)
    if a.update:
        BASELINE.write_text(json.dumps(baseline, indent=1) + "\n")
        print(f"check: baseline written to {BASELINE.relative_to(ROOT)}")
        return 0
    print(f"guard: {passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
