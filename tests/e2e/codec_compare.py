#!/usr/bin/env python3
"""`sluice codec compare` as a user types it, on a text of the tree with a short context: the known formats cost what they cost, damage
falls as bits rise, and the answers are there. Skips (exit 77) where the model or the environment of `./dev quality setup` is absent.

  codec_compare.py --program build/.../sluice"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMES = "q8_0,q4_0,CacheGen as shipped,TurboQuant 4 bit,Sluice"


def run(program, *words, python="/usr/bin/python3"):
    command = [program, "codec", "compare", "--python", python, *words]
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, env=environment)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    options = parser.parse_args()
    absent = run(options.program, python="/nonexistent/python3")
    assert absent.returncode == 1 and "./dev quality setup" in absent.stderr and len(absent.stderr.splitlines()) == 1, absent.stderr
    with tempfile.TemporaryDirectory() as folder:
        report, picture = pathlib.Path(folder) / "report.json", pathlib.Path(folder) / "report.svg"
        ran = run(options.program, "--quick", "--text", str(ROOT / "docs/operations.md"), "--context", "192", "--scored", "48",
                  "--only", SCHEMES, "--json", str(report), "--svg", str(picture))
        if ran.returncode == 1 and "./dev quality setup" in ran.stderr:
            print(f"skipped: {ran.stderr.strip()}")
            return 77
        assert ran.returncode == 0, ran.stderr
        (document,) = json.loads(report.read_text(encoding="utf-8"))["reports"]
        assert picture.read_text(encoding="utf-8").startswith("<svg")
    schemes = {scheme["scheme"]: scheme for scheme in document["schemes"]}
    assert schemes["q8_0"]["bits_per_value"] == 8.5 and schemes["q4_0"]["bits_per_value"] == 4.5, schemes
    assert schemes["q8_0"]["kl_mean"] < schemes["q4_0"]["kl_mean"], schemes
    levels = [schemes[f"Sluice T0 {level}"] for level in ("base", "refinement1", "refinement2")]
    assert [level["bits_per_value"] for level in levels] == sorted(level["bits_per_value"] for level in levels), levels
    assert levels[0]["kl_mean"] > levels[1]["kl_mean"] > levels[2]["kl_mean"] > 0, levels
    assert document["rows"]["row4"]["T0"]["bits"] is not None, document["rows"]
    print("ok: " + ", ".join(f"{name} {scheme['bits_per_value']:.3f} b/v at KL {scheme['kl_mean']:.5f}" for name, scheme in schemes.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
