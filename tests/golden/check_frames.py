#!/usr/bin/env python3
"""The second decoder on the golden frames: lossless equals raw bit for bit; 8-bit and every prefix of base, refinement 1, refinement 2 lie
within their steps. So do the frames in the folders heads, layer and predicted, which were made with a profile each. With --program, fresh
lossless files of every dtype too, equal to what went in.

Usage: check_frames.py FOLDER [--tables codec/static_tables_data.cc] [--program build/.../sluice]
"""
import argparse
import json
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from second_decoder import SIZES, Frame, Nested, Profile, Profiled, decode_int8, decode_lossless, read_container, read_tables

SEED = 1
LAYERS, TOKENS, HEADS, DIM = 2, 70, 2, 24
WORST = (0.612, 0.834, 0.651)  # errors of our encoder's stages, in steps
DTYPES = ("F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")


def check_profiled(folder, tables):
    frames = {path.stem: Frame(path.read_bytes()) for path in folder.glob("*.frame")}
    profile = Profile((folder / "profile.slp").read_bytes())
    rows = frames["raw"].payload
    truth = struct.unpack(f"<{len(rows) // 2}e", rows)
    nested = Profiled(frames["base"], profile, tables)
    errors = [nested.worst_error(truth)]
    for name in ("refinement1", "refinement2"):
        nested.refine(frames[name])
        errors.append(nested.worst_error(truth))
    single = Profiled(frames["single"], profile, tables).worst_error(truth)
    print(f"{folder.name}: worst errors {', '.join(f'{error:.3f}' for error in errors)}, rounded by rate {single:.3f} steps")
    assert all(error <= bar + 0.03 for error, bar in zip(errors, WORST)) and single <= 1.52


def fresh_rows(source, dtype):
    """K or V of one layer that a coder can shrink, and some bit patterns that it cannot foresee."""
    values = [source.gauss(0, 2.0 ** (i % DIM - DIM // 2)) for i in range(TOKENS * HEADS * DIM)]
    if dtype < 2:
        rows = bytearray(struct.pack(f"<{len(values)}{'fe'[dtype]}", *values))
    elif dtype == 2:
        rows = bytearray(b"".join(struct.pack("<f", value)[2:] for value in values))
    else:
        rows = bytearray(source.choice(b"\x30\x31\x38\xb3\xb8") for _ in values)
    for _ in range(20):
        rows[source.randrange(len(rows))] = source.randrange(256)
    return bytes(rows)


def check_fresh(program):
    source = random.Random(SEED)
    for dtype, name in enumerate(DTYPES):
        sides = [[fresh_rows(source, dtype) for _ in range(LAYERS)] for _ in "kv"]
        size = sum(map(len, sides[0]))
        header = {key: {"dtype": name, "shape": [LAYERS, TOKENS, HEADS, DIM], "data_offsets": [i * size, (i + 1) * size]}
                  for i, key in enumerate("kv")}
        text = json.dumps(header).encode()
        with tempfile.TemporaryDirectory() as folder:
            given, sent = Path(folder) / "in.safetensors", Path(folder) / "sent.slk"
            given.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(sides[0] + sides[1]))
            subprocess.run([program, "codec", "encode", given, sent, "--level", "lossless", "--chunk-tokens", "33"], check=True,
                           capture_output=True)
            frames = read_container(sent.read_bytes())
        parts = [[b""] * LAYERS for _ in "kv"]
        for _, frame in sorted(frames.items()):
            rows, side = decode_lossless(frame), frame.tokens * frame.width * SIZES[dtype]
            for stream in range(frame.streams):
                parts[stream % 2][stream // 2] += rows[stream * side:(stream + 1) * side]
        assert parts == sides, f"{name}, seed {SEED}"
    print(f"fresh lossless files of {', '.join(DTYPES)}: equal")


def within(name, decoded, truth, steps):
    worst = max(abs(value - exact) / step for (value, step), exact in zip(decoded, truth) if step > 0)
    print(f"{name}: worst error {worst:.3f} steps (bar {steps})")
    assert len(decoded) == len(truth) and worst <= steps
    assert all(value == exact for (value, step), exact in zip(decoded, truth) if step == 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tables", default="codec/static_tables_data.cc")
    parser.add_argument("--program")
    options = parser.parse_args()
    frames = {path.stem: Frame(path.read_bytes()) for path in options.folder.glob("*.frame")}
    rows = frames["raw"].payload
    truth = struct.unpack(f"<{len(rows) // 2}e", rows)
    assert decode_lossless(frames["lossless"]) == rows
    print("lossless: equal to raw")
    together = read_container((options.folder / "six_parts.slk").read_bytes())
    assert sorted(frame.payload for frame in together.values()) == sorted(frame.payload for frame in frames.values())
    within("int8", decode_int8(frames["int8"]), truth, 0.501)
    tables = read_tables(options.tables)
    nested = Nested(frames["base"], tables)
    within("base", nested.values(), truth, WORST[0])
    for name, bar in zip(("refinement1", "refinement2"), WORST[1:]):
        nested.refine(frames[name])
        within(name, nested.values(), truth, bar)
    for folder in ("heads", "layer", "predicted"):
        check_profiled(options.folder / folder, tables)
    if options.program:
        check_fresh(options.program)
    return 0


if __name__ == "__main__":
    sys.exit(main())
