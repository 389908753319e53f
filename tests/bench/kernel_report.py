#!/usr/bin/env python3
"""Runs bench_codec in many short, interleaved slices and prints what the claims compare, as ratios of one run.

    ./dev bench --save [--json] [--write docs/benchmarks/kernels.md]

A figure is the 10th percentile of a benchmark's slices (processor time), its spread the distance to the 90th: machines are shared. Exit
code 2 when a benchmark that a ratio needs is missing, as when the peers' packages were not there at build time.
"""
import argparse
import json
import pathlib
import platform
import statistics
import subprocess
import sys

SLICES = 15
# What runs in slices of a few milliseconds, and what is too long for it.
LONG = "MiB|tier"
SHORT = f"-({LONG})"

# Claim: title, the two benchmarks, how to divide, the bar. {best} is the best table of the machine.
RATIOS = [
    ("codec.9-htscodecs", "entropy decode / htscodecs", "rans_decode/{best}", "htscodecs_decode/256KiB", 4.0),
    ("codec.9-huff0", "entropy decode / Huff0", "rans_decode/{best}", "huff0_decode", 2.5),
    ("codec.10-htscodecs", "entropy encode / htscodecs", "rans_encode/{best}", "htscodecs_encode/256KiB", 4.0),
    ("codec.10-huff0", "entropy encode / Huff0", "rans_encode/{best}", "huff0_encode", 3.0),
    ("codec.11-decode", "T0 decode of a base / memcpy, out of L2", "decode_stages/1", "copy_rows/1MiB", 0.5),
    ("codec.11-encode", "T0 encode of all stages / memcpy, out of L2", "encode_part/nested", "copy_rows/1MiB", 0.3),
    ("codec.11-decode-large", "the same, out of every cache", "decode_stages_32MiB/1", "copy_rows/32MiB", 0.5),
    ("codec.11-encode-large", "the same, out of every cache", "encode_nested/32MiB", "copy_rows/32MiB", 0.3),
    ("codec.12-decode", "T1 decode of a base / memcpy, out of L2", "decode_tier/1", "copy_rows/1MiB", 0.08),
    ("codec.12-encode", "T1 encode of three stages / memcpy, out of L2", "encode_tier/1", "copy_rows/1MiB", 0.08),
    ("codec.12-product", "matrix product of 64 / peak", "transform_64/{best}", "multiply_add_peak/{best}", 0.6),
    ("codec.12-product", "matrix product of 128 / peak", "transform_128/{best}", "multiply_add_peak/{best}", 0.6),
    ("codec.12-product", "matrix product of 192 / peak", "transform_192/{best}", "multiply_add_peak/{best}", 0.6),
    ("codec.12-product", "matrix product of 512 / peak", "transform_512/{best}", "multiply_add_peak/{best}", 0.6),
    ("codec.13-decode", "AVX2 entropy decode / htscodecs' AVX2", "rans_decode/avx2", "htscodecs_decode/256KiB_avx2", 1.5),
    ("codec.13-encode", "AVX2 entropy encode / htscodecs' AVX2", "rans_encode/avx2", "htscodecs_encode/256KiB_avx2", 2.0),
    ("codec.13-decode", "the same out of cache", "rans_decode_64MiB/avx2", "htscodecs_decode/64MiB_avx2", 1.5),
    ("codec.13-encode", "the same out of cache", "rans_encode_64MiB/avx2", "htscodecs_encode/64MiB_avx2", 2.0),
    ("kernels", "ref entropy decode / bit-serial coder", "rans_decode/ref", "bit_serial_decode", 4.0),
    ("kernels", "ref entropy encode / bit-serial coder", "rans_encode/ref", "bit_serial_encode", 4.0),
]


def percentile(values, share):
    ordered = sorted(values)
    return ordered[round(share * (len(ordered) - 1))]


def run(program, pattern, slices, seconds):
    command = [program, f"--benchmark_filter={pattern}", f"--benchmark_repetitions={slices}", f"--benchmark_min_time={seconds}",
               "--benchmark_format=json", "--benchmark_enable_random_interleaving=true"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    found = {}
    for row in report["benchmarks"]:
        if row.get("run_type") == "iteration" and not row.get("error_occurred"):
            name = row["run_name"].split("/repeats:")[0]
            found.setdefault(name, []).append(row)
    return report["context"], found


def rate(row):
    """Work a second of one slice: multiply-adds where there are any, values, or bytes."""
    return row.get("flops") or row.get("items_per_second") or row.get("bytes_per_second")


def summary(rows):
    rates = [rate(row) for row in rows]
    # A low percentile of the time is a high one of the rate.
    best, worst = percentile(rates, 0.9), percentile(rates, 0.1)
    return {"rate": best, "spread": (best - worst) / best, "unit": "flop/s" if rows[0].get("flops") else
            "values/s" if rows[0].get("items_per_second") else "bytes/s",
            "bits_per_symbol": rows[0].get("bits_per_symbol") or rows[0].get("bits_per_value"),
            "size_over_entropy": rows[0].get("size_over_entropy")}


def ratios(figures, best):
    for claim, title, ours, theirs, bar in RATIOS:
        ours, theirs = ours.format(best=best), theirs.format(best=best)
        missing = [name for name in (ours, theirs) if name not in figures]
        if missing:
            raise SystemExit(f"kernel_report: no benchmark {missing[0]}; ./dev bench installs the peers' packages, then build again")
        value = figures[ours]["rate"] / figures[theirs]["rate"]
        yield {"claim": claim, "title": title, "ratio": round(value, 3), "bar": bar, "holds": value >= bar}


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def markdown(report):
    yield "# Kernels: speed"
    yield ""
    yield "Written by `./dev bench --save --write docs/benchmarks/kernels.md`; do not edit. Machine:"
    yield f"{report['machine']}, one core of {report['cores']}, shared with other work; best table `{report['best']}`, every table measured."
    yield f"Each figure is the best decile of {SLICES} short interleaved slices of processor time (3 for what works on MiB), its spread the distance to the"
    yield "worst decile."
    yield ""
    yield "htscodecs is Debian's libhtscodecs (rANS 32x16) on the same symbols, with the instruction set of its own choice, which is AVX-512 where the"
    yield "machine has it, and held to AVX2. Huff0 is that of libzstd's archive, in its largest blocks. Both count and make tables in every call, ours"
    yield "are static. The bit-serial coder is the method of torchac, written anew (tests/bench/bit_serial_coder.h). Ours codes eight streams side by"
    yield "side; `lone` is one after the other. The peak is twelve chains of multiply-adds in registers as wide as the table's. Copies of 1 MiB go to"
    yield "another 1 MiB: out of the second-level cache, inside the third; those of 32 MiB are out of every cache. Tiers run with a made-up profile"
    yield "of SmolLM2's shape (192 channels) whose classes fit badly: 5 bits a value, many escapes. `as_calibrated` is its shipped profile, on rows"
    yield "with the spreads of one token class of a level: cheaper than real rows, whose other tokens have finer steps. Stages are nanoseconds a value in"
    yield "each kernel, clock included."
    yield ""
    yield "| claim | ratio of one run | measured | bar | holds |"
    yield "|---|---|---|---|---|"
    for row in report["ratios"]:
        yield f"| {row['claim']} | {row['title']} | {row['ratio']:.2f} | {row['bar']:g} | {'yes' if row['holds'] else 'no'} |"
    yield f"| codec.14 | coded size / cross entropy of the static tables | {report['size_over_entropy']:.4f} | 1.012 | " \
          f"{'yes' if report['size_over_entropy'] <= 1.012 else 'no'} |"
    yield ""
    yield "| benchmark | rate | unit | spread | bits a symbol or value |"
    yield "|---|---|---|---|---|"
    for name, figure in sorted(report["figures"].items()):
        if figure["rate"] is None:
            continue
        bits = f"{figure['bits_per_symbol']:.3f}" if figure["bits_per_symbol"] else ""
        yield f"| {name} | {figure['rate'] / 1e9:.3f} | G{figure['unit']} | {100 * figure['spread']:.0f} % | {bits} |"
    yield ""
    yield "| where the time goes | ns a value |"
    yield "|---|---|"
    for name, stages in sorted(report["stages"].items()):
        yield f"| {name} | {', '.join(f'{kernel} {spent:.3f}' for kernel, spent in stages.items())} |"


def measure(program):
    context, found = run(program, SHORT, SLICES, 0.002)
    found.update(run(program, LONG, 3, 0.01)[1])
    stages = {name: {key: statistics.median(row[key] for row in rows) for key in sorted(rows[0]) if isinstance(rows[0][key], float)
                     and key not in ("real_time", "cpu_time") and rows[0][key] >= 0.005}
              for name, rows in found.items() if name.startswith("stages_of")}
    figures = {name: summary(rows) for name, rows in found.items() if not name.startswith("stages_of")}
    best = next(table for table in ("avx512", "avx2", "ref") if f"rans_decode/{table}" in figures)
    report = {"machine": processor(), "cores": context["num_cpus"], "best": best, "figures": figures, "stages": stages,
              "ratios": list(ratios(figures, best)), "size_over_entropy": figures[f"rans_encode/{best}"]["size_over_entropy"]}
    report["claims"] = {}
    for row in report["ratios"]:
        claim = row["claim"].replace(".", "-")
        report["claims"][claim] = min(row["ratio"], report["claims"].get(claim, row["ratio"]))
    return report


def load_or_measure(program, saved):
    """The saved report where it is younger than the program, so that several claims read one run; else a new one, saved."""
    if saved.exists() and saved.stat().st_mtime > program.stat().st_mtime:
        return json.loads(saved.read_text(encoding="utf-8"))
    report = measure(program)
    saved.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--program", default="build/release/tests/bench/bench_codec", type=pathlib.Path)
    parser.add_argument("--save", action="store_true", help="keep the figures beside the program, and read them from there while it is the same")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", type=pathlib.Path)
    arguments = parser.parse_args()
    saved = arguments.program.with_name("kernels.json")
    report = load_or_measure(arguments.program, saved) if arguments.save else measure(arguments.program)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text("\n".join(markdown(report)) + "\n", encoding="utf-8")
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        print("\n".join(f"{row['claim']:22} {row['title']:46} {row['ratio']:7.2f}  bar {row['bar']:g}" for row in report["ratios"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
