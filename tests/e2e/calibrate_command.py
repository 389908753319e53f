#!/usr/bin/env python3
"""`sluice codec calibrate` as a user types it, on made-up dumps: a profile whole or none, the same bytes again, one line on wrong use.

  calibrate_command.py --program build/.../sluice"""

import argparse
import json
import math
import pathlib
import random
import signal
import struct
import subprocess
import sys
import tempfile

OK, FAILED, USAGE, INCOMPATIBLE = 0, 1, 2, 5
LAYERS, TOKENS, HEADS, HEAD_DIM, ROWS = 2, 48, 2, 8, 2
METADATA = {"rope.style": "halves", "rope.base": "10000", "gradients.following": "16"}


def floats(count, spread, seed):
    source = random.Random(seed)
    return [source.gauss(0, spread) for _ in range(count)]


def write_dump(path, seed, layers=LAYERS, tokens=TOKENS, gradients=True, poison=False):
    """safetensors, written here a second time on purpose."""
    cache = [layers, tokens, HEADS, HEAD_DIM]
    tensors = {"k": (cache, 1.0), "v": (cache, 0.5)}
    if gradients:
        tensors |= {"gk": ([ROWS, *cache], 0.02), "gv": ([ROWS, *cache], 0.01)}
    header, body = {"__metadata__": METADATA}, b""
    for number, (name, (shape, spread)) in enumerate(tensors.items()):
        values = floats(math.prod(shape), spread, 10 * seed + number)
        if poison and name == "v":
            values[HEADS * HEAD_DIM * (tokens + 3) + HEAD_DIM + 2] = math.nan
        data = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def calibrate(program, out, dumps, *options, code=OK):
    words = [program, "codec", "calibrate", "--out", out, "--kv", *dumps, *options]
    ran = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, check=False)
    if ran.returncode != code:
        raise AssertionError(f"{options}: exit {ran.returncode} instead of {code}: {ran.stderr.strip()}")
    if code != OK:
        assert len(ran.stderr.splitlines()) == 1, f"not one line on standard error: {ran.stderr}"
        assert not out.exists(), "a failed command left a profile"
    return ran.stderr.strip() if code else ran.stdout


def check_profiles(program, dumps, folder):
    for tier in (1, 2, 3):
        out, again = folder / f"tier{tier}.slp", folder / "again.slp"
        told = json.loads(calibrate(program, out, dumps, "--tier", tier, "--format", "json"))
        assert told["bytes"] == out.stat().st_size and told["tier"] == tier, told
        assert told["weights_from"] == "gradients" and told["token_classes"], told
        levels = [row["level"] for row in told["levels"]]
        assert levels == ["transparent", "finer", "fine", "default", "base", "deep", "nested", "nested", "nested"], told
        calibrate(program, again, dumps, "--tier", tier)
        assert again.read_bytes() == out.read_bytes(), f"tier {tier}: the same dumps gave other bytes"


def check_measured_curve(program, dumps, folder):
    """A curve that says that damage is four times what was predicted: steps become half as large."""
    out, curve = folder / "curve.slp", folder / "curve.json"
    before = json.loads(calibrate(program, out, dumps, "--level", "only=0.01", "--format", "json"))["levels"][0]
    points = [{"tier": 2, "step": before["step"] * factor, "kl_mean": 0.04 * factor**2, "kl_p99": 0.4} for factor in (0.25, 1, 4)]
    curve.write_text(json.dumps({"curve": points}))
    after = json.loads(calibrate(program, out, dumps, "--level", "only=0.01", "--sensitivity", curve, "--format", "json"))
    assert after["kl_is_measured"] and after["levels"][0]["step"] == before["step"] / 2, (before, after)
    check_stated_curve(program, dumps, folder, curve, before["step"])


def check_stated_curve(program, dumps, folder, curve, step):
    """The curve put into a profile that there is: damage changes, steps and sizes do not."""
    first, out = folder / "first.slp", folder / "stated.slp"
    calibrate(program, first, dumps, "--level", "only=0.01")
    words = [program, "codec", "calibrate", "--out", out, "--profile", first, "--sensitivity", curve]
    subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=60)
    told = [json.loads(subprocess.run([str(program), "codec", "inspect", str(path), "--format", "json"], check=True, capture_output=True,
                                      timeout=60).stdout)["levels"][0] for path in (first, out)]
    assert told[0]["step"] == told[1]["step"] == step, told
    damage = told[1]["stages"][0]
    assert abs(damage["kl_mean"] - 0.04) < 1e-6 and abs(damage["kl_p99"] - 0.4) < 1e-6, told
    assert damage["bits_per_value"] == told[0]["stages"][0]["bits_per_value"], told


def check_wrong_use(program, dumps, folder):
    out = folder / "none.slp"
    other = write_dump(folder / "other.safetensors", 7, layers=3)
    line = calibrate(program, out, [*dumps, other], code=INCOMPATIBLE)
    assert "other.safetensors has 3 layers" in line, line
    poisoned = write_dump(folder / "poisoned.safetensors", 8, poison=True)
    line = calibrate(program, out, [*dumps, poisoned], code=FAILED)
    assert "NaN in v of" in line and "layer 1, token 3, head 1, channel 2" in line, line
    calibrate(program, out, [folder / "missing"], code=FAILED)
    calibrate(program, out, dumps, "--level", "half", code=USAGE)
    calibrate(program, out, dumps, "--level", "x=-1", code=USAGE)
    calibrate(program, out, dumps, "--tier", "4", code=USAGE)
    (folder / "bad.json").write_text('{"curve": [{"step": 1}]}')
    calibrate(program, out, dumps, "--sensitivity", folder / "bad.json", code=FAILED)
    calibrate(program, out, dumps, "--profile", folder / "first.slp", code=USAGE)


def check_interrupt(program, folder):
    """An interrupt before the end leaves nothing behind, whenever it comes."""
    dump = write_dump(folder / "long.safetensors", 9, layers=40, tokens=200, gradients=False)
    out = folder / "interrupted.slp"
    for wait_s in (0.05, 0.3):
        words = [program, "codec", "calibrate", "--out", out, "--kv", dump, "--tier", "3"]
        with subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
            try:
                child.wait(wait_s)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGINT)
            code = child.wait(60)
        assert code == OK and out.exists() or code != OK and not out.exists(), f"exit {code}, file: {out.exists()}"
        assert not out.with_name(out.name + ".partial").exists(), "an interrupt left a part of a file"
        out.unlink(missing_ok=True)


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="sluice-calibrate-") as name:
        folder = pathlib.Path(name)
        dumps = [write_dump(folder / f"text{seed}.safetensors", seed) for seed in (1, 2)]
        check_profiles(options.program, dumps, folder)
        check_measured_curve(options.program, dumps, folder)
        check_wrong_use(options.program, dumps, folder)
        check_interrupt(options.program, folder)
    print("calibrate: three tiers, same bytes again, wrong use, interrupts")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
