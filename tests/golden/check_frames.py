#!/usr/bin/env python3
"""The second decoder on the golden frames: lossless equals raw bit for bit; 8-bit and every prefix of base, refinement 1, refinement 2 lie
within their steps. So do the frames in the folders heads, layer and predicted, which were made with a profile each.

Usage: check_frames.py FOLDER [--tables codec/static_tables_data.cc]
"""
import argparse
import struct
import sys
from pathlib import Path

from second_decoder import Frame, Nested, Profile, Profiled, decode_int8, decode_lossless, read_tables


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
    assert max(errors) <= 0.63 and single <= 1.52


def within(name, decoded, truth, steps):
    worst = max(abs(value - exact) / step for (value, step), exact in zip(decoded, truth) if step > 0)
    print(f"{name}: worst error {worst:.3f} steps (bar {steps})")
    assert len(decoded) == len(truth) and worst <= steps
    assert all(value == exact for (value, step), exact in zip(decoded, truth) if step == 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tables", default="codec/static_tables_data.cc")
    options = parser.parse_args()
    frames = {path.stem: Frame(path.read_bytes()) for path in options.folder.glob("*.frame")}
    rows = frames["raw"].payload
    truth = struct.unpack(f"<{len(rows) // 2}e", rows)
    assert decode_lossless(frames["lossless"]) == rows
    print("lossless: equal to raw")
    within("int8", decode_int8(frames["int8"]), truth, 0.501)
    tables = read_tables(options.tables)
    nested = Nested(frames["base"], tables)
    within("base", nested.values(), truth, 0.601)
    for name in ("refinement1", "refinement2"):
        nested.refine(frames[name])
        within(name, nested.values(), truth, 0.601)
    for folder in ("heads", "layer", "predicted"):
        check_profiled(options.folder / folder, tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
