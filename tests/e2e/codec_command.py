#!/usr/bin/env python3
"""`sluice codec` as a user types it, on the recording in the tree: every level is encoded, inspected and decoded; raw and lossless
come back byte for byte, the nested levels get closer to the original as they get larger, and damage is one clear line.

  codec_command.py --program build/.../sluice --recording integration/engines/recorded/data/recording.slk"""

import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

FAILED, USAGE = 1, 2
EXACT = ("raw", "lossless")
NESTED = ("base", "refinement1", "refinement2")


def run(program, *words, code=0):
    ran = subprocess.run([program, "codec", *map(str, words)], capture_output=True, text=True, timeout=120, check=False)
    if ran.returncode != code:
        raise AssertionError(f"{words}: exit {ran.returncode} instead of {code}: {ran.stderr.strip()}")
    if code and len(ran.stderr.splitlines()) != 1:
        raise AssertionError(f"{words}: not one line on standard error: {ran.stderr.strip()}")
    return ran.stdout


def values(path):
    """All F16 values of a safetensors file; the format is read here a second time, on purpose."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    body = data[8 + length:]
    return struct.unpack(f"<{len(body) // 2}e", body)


def mean_error(left, right):
    return sum(abs(a - b) for a, b in zip(left, right)) / len(left)


def check_levels(program, original, folder):
    """Sizes in bits per value by level, for the report."""
    bits, previous, wanted = {}, None, values(original)
    for level in (*EXACT, "int8", *NESTED):
        file, back = folder / f"{level}.slk", folder / f"{level}.safetensors"
        told = json.loads(run(program, "encode", original, file, "--level", level, "--format", "json"))
        assert told["level"] == level and told["file_bytes"] == file.stat().st_size, told
        assert json.loads(run(program, "inspect", file, "--format", "json"))["level"] == level
        run(program, "decode", file, back)
        bits[level] = round(told["file_bits_per_value"], 3)
        if level in EXACT:
            assert back.read_bytes() == original.read_bytes(), f"{level} is not exact"
        elif level in NESTED:
            error = mean_error(wanted, values(back))
            assert previous is None or error < previous, f"{level} is no better than the level before it"
            previous = error
    return bits


def check_wrong_use(program, original, folder):
    run(program, "decode", folder / "base.slk", folder / "x", "--level", "refinement2", code=FAILED)
    run(program, "encode", folder / "missing", folder / "x", code=FAILED)
    run(program, "encode", folder / "base.slk", folder / "x", code=FAILED)
    run(program, "inspect", original, code=FAILED)
    run(program, "encode", original, folder / "x", "--level", "best", code=USAGE)
    run(program, "encode", original, folder / "x", "--chunk-tokens", "0", code=USAGE)
    damaged = bytearray((folder / "lossless.slk").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (folder / "damaged.slk").write_bytes(damaged)
    run(program, "decode", folder / "damaged.slk", folder / "x", code=FAILED)
    assert not (folder / "x").exists() and not (folder / "x.partial").exists(), "a failed command left a file"


def check_profile(program, folder, profile):
    """A level by name and by stages, whatever the profile says of damage, and refusal without the profile."""
    shape, rows = [1, 64, 2, 8], 64 * 2 * 8
    header = json.dumps({name: {"dtype": "F16", "shape": shape, "data_offsets": [2 * rows * i, 2 * rows * (i + 1)]}
                         for i, name in enumerate("kv")}).encode()
    wave = [((i * 37) % 101 - 50) / 25 for i in range(2 * rows)]
    original = folder / "small.safetensors"
    original.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack(f"<{2 * rows}e", *wave))
    file, back, previous = folder / "small.slk", folder / "small.back", None
    run(program, "encode", original, file, "--profile", profile, "--level", "base")
    for stages in (1, 2, 3):
        run(program, "decode", file, back, "--profile", profile, "--stages", stages)
        error = mean_error(wave, values(back))
        assert previous is None or error < previous, f"{stages} stages are no better than one less"
        previous = error
    told = json.loads(run(program, "inspect", file, "--profile", profile, "--json"))
    assert told["profile_level"] == "base" and told["tier"] == "T2" and "expected" in told, told
    parts = sum(sum(part["sections"].values()) for part in told["parts"])
    assert parts + told["directory_bytes"] == file.stat().st_size, "bytes by section do not add up"
    held = json.loads(run(program, "inspect", profile, "--format", "json"))
    assert sum(held["sections"].values()) == profile.stat().st_size and held["profile"] == told["profile"], held
    run(program, "decode", file, folder / "x", code=FAILED)
    run(program, "encode", original, folder / "x", "--profile", profile, "--level", "best", code=FAILED)
    run(program, "encode", original, folder / "x", "--profile", profile, "--level", "fine", "--stages", "2", code=USAGE)


def check_shipped_profile(program, original, folder, profile, table):
    """The profile that comes along is the one that its table names, it is of the recording's model, and its base costs less than that
    of tier 0 for less damage."""
    told = json.loads(run(program, "inspect", profile, "--json"))
    row = next(line for line in table.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {profile.name} "))
    assert told["profile"] in row and f"{profile.stat().st_size:,}" in row, f"{table} does not tell of {told['profile']}, {profile.stat().st_size:,} bytes"
    file, back = folder / "shipped.slk", folder / "shipped.safetensors"
    run(program, "encode", original, file, "--profile", profile, "--level", "nested")
    run(program, "decode", file, back, "--profile", profile, "--stages", 2)
    wanted = values(original)
    assert mean_error(wanted, values(back)) < mean_error(wanted, values(folder / "base.safetensors")), "two stages are no better than tier 0's base"
    run(program, "encode", original, file, "--profile", profile, "--level", "base")
    assert file.stat().st_size < 0.75 * (folder / "base.slk").stat().st_size, "its base is not a quarter smaller than that of tier 0"


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--recording", required=True)
    parser.add_argument("--shipped", type=pathlib.Path, required=True, help="profile of the recording's model, in a folder with a README.md that tells of it")
    parser.add_argument("--profile", default="tests/golden/layer/profile.slp", help="of one layer, two heads of 8")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="sluice-codec-") as name:
        folder = pathlib.Path(name)
        original = folder / "original.safetensors"
        run(options.program, "decode", options.recording, original)
        bits = check_levels(options.program, original, folder)
        check_wrong_use(options.program, original, folder)
        check_profile(options.program, folder, pathlib.Path(options.profile))
        check_shipped_profile(options.program, original, folder, options.shipped, options.shipped.with_name("README.md"))
    print("bits per value: " + ", ".join(f"{level} {count}" for level, count in bits.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
