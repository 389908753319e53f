"""Sluice as a scheme: the real program encodes and decodes real files, and a file's size is the bits that it costs, less nothing."""

import hashlib
import json
import pathlib
import subprocess
import tempfile

import numpy as np

from sluice.quality import safetensors_file
from sluice.quality.cache import Cache, Coded, Scheme
from sluice.quality.dump import rope_metadata
from sluice.quality.environment import Absent, quality_folder

BUILT = pathlib.Path(__file__).resolve().parents[4] / "build/release/integration/programs/sluice"
TIMEOUT_S = 1800


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
    """A profile of `sluice codec calibrate` for this tier number, made once and kept."""
    folder = quality_folder() / "profiles"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{material.identity}-{program.identity}-t{tier}.slp"
    if not path.exists():
        part = path.with_suffix(".part")
        program.run("calibrate", "--out", part, "--tier", tier, "--kv", *material.paths)
        part.replace(path)
    return path


def levels_of(program, profile):
    """Names of the levels that a profile offers."""
    return json.loads(program.run("inspect", profile, "--format", "json"))["levels"]
