"""Sluice as a scheme: the real program encodes and decodes real files, and a file's size is the bits that it costs, less nothing."""

import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from sluice.quality import safetensors_file
from sluice.quality.cache import Cache, Coded, Scheme
from sluice.quality.dump import rope_metadata
from sluice.quality.environment import Absent, quality_folder

BUILT = pathlib.Path(__file__).resolve().parents[4] / "build/release/integration/programs/sluice"
TIMEOUT_S = 3600
# Names and predicted KL of the levels that a curve is made of: close enough together to read between them.
LEVELS = (("transparent", 0.0001), ("finer", 0.0005), ("fine", 0.002), ("default", 0.007), ("base", 0.028), ("deep", 0.09))


class Program:
    """One build of `sluice`. Errors: Absent where there is none."""

    def __init__(self, path=None):
        self.path = pathlib.Path(path or BUILT)
        if not self.path.exists():
            raise Absent(f"no program at {self.path}: run ./dev build, or give --program")
        self.identity = hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]

    def run(self, *words):
        """Standard output of `sluice codec WORDS`. Errors: ValueError with the program's own line."""
        ran = subprocess.run([str(self.path), "codec", *map(str, words)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if ran.returncode != 0:
            raise ValueError(f"sluice codec {words[0]}: {ran.stderr.strip()}")
        return ran.stdout


class Sluice(Scheme):
    """tier: "T0" without a profile; level: as `sluice codec encode --level` names it; the cache goes in as dtype."""

    def __init__(self, program, tier, level, profile=None, dtype="F16"):
        told = "" if profile is None else hashlib.sha256(pathlib.Path(profile).read_bytes()).hexdigest()[:16]
        super().__init__(f"Sluice {tier} {level}", f"Sluice {tier}", f"{program.identity}/{told}/{dtype}")
        self.program, self.level, self.dtype = program, level, dtype
        self.profile = [] if profile is None else ["--profile", profile]

    def code(self, cache):
        with tempfile.TemporaryDirectory(dir=scratch()) as folder:
            given, sent, back = (pathlib.Path(folder) / name for name in ("in.safetensors", "sent.slk", "back.safetensors"))
            metadata = rope_metadata(cache.ropes) | {"position.first": "0"}
            safetensors_file.write(given, {"k": (cache.k, self.dtype), "v": (cache.v, self.dtype)}, metadata)
            self.program.run("encode", given, sent, "--level", self.level, *self.profile)
            self.program.run("decode", sent, back, *self.profile)
            tensors, _ = safetensors_file.read(back)
            k, v = (np.array(tensors[name], np.float32) for name in "kv")
            return Coded(Cache(k, v, cache.ropes), 8 * sent.stat().st_size)


def scratch():
    folder = quality_folder() / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def calibrated(program, tier, material):
    """(profile of `sluice codec calibrate` for this tier number, what it told as JSON); made once and kept."""
    folder = quality_folder() / "profiles"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{material.identity}-{program.identity}-t{tier}.slp"
    told = path.with_suffix(".json")
    if not told.exists():
        print(f"  calibrating tier {tier} on {len(material.paths)} dumps", file=sys.stderr, flush=True)
        options = [word for name, kl in LEVELS for word in ("--level", f"{name}={kl}")]
        answer = program.run("calibrate", "--out", path, "--tier", tier, "--format", "json", *options, "--kv", *material.paths)
        told.write_text(answer, encoding="utf-8")
    return path, json.loads(told.read_text(encoding="utf-8"))


def whole_levels(levels):
    """{level name: its entry with all stages} of a list with an entry for each level and number of stages."""
    best = {}
    for entry in levels:
        if entry["stages"] >= best.get(entry["level"], entry)["stages"]:
            best[entry["level"]] = entry
    return best


def levels_of(program, profile):
    """Names of the levels that a profile offers."""
    return [level["level"] for level in json.loads(program.run("inspect", profile, "--format", "json"))["levels"]]
