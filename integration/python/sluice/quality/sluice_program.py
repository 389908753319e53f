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
TIMEOUT_S = 3600


class Program:
    """One build of `sluice`. Errors: Absent where there is none."""

    def __init__(self, path=None):
        self.path = pathlib.Path(path or BUILT)
        if not self.path.exists():
            raise Absent(f"no program at {self.path}: run ./dev build, or give --program")
        self.identity = hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]

    def run(self, *words):
        """Standard output of `sluice codec WORDS`. Errors: ValueError with the program's own line."""
        return self.ask("codec", *words)

    def formats(self):
        """Versions of frame, container and profile that it writes."""
        return json.loads(self.ask("version", "--format", "json"))["formats"]

    def ask(self, *words):
        ran = subprocess.run([str(self.path), *map(str, words)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if ran.returncode != 0:
            raise ValueError(f"sluice {' '.join(map(str, words[:2]))}: {ran.stderr.strip()}")
        return ran.stdout


class Sluice(Scheme):
    """tier: "T0" without a profile; level: as `sluice codec encode --level` names it; the cache goes in as dtype.

    stages: the first so many of a nested level, which makes a curve of its own; 0 for a level of one. promise: what the profile states.
    """

    def __init__(self, program, tier, level, profile=None, dtype="F16", stages=0, promise=None):
        told = "" if profile is None else hashlib.sha256(pathlib.Path(profile).read_bytes()).hexdigest()[:16]
        nested = f" {level}" if stages else ""
        super().__init__(f"Sluice {tier} {level}" + (f" {stages}" if stages else ""), f"Sluice {tier}{nested}",
                         f"{program.identity}/{told}/{dtype}")
        self.program, self.level, self.dtype, self.promise = program, level, dtype, promise
        self.stages = ["--stages", stages] if stages else []
        self.profile = [] if profile is None else ["--profile", profile]

    def code(self, cache):
        with tempfile.TemporaryDirectory(dir=scratch()) as folder:
            given, sent, back = (pathlib.Path(folder) / name for name in ("in.safetensors", "sent.slk", "back.safetensors"))
            write_cache(given, cache, self.dtype)
            self.program.run("encode", given, sent, "--level", self.level, *self.stages, *self.profile)
            self.program.run("decode", sent, back, *self.profile)
            tensors, _ = safetensors_file.read(back)
            k, v = (np.array(tensors[name], np.float32) for name in "kv")
            return Coded(Cache(k, v, cache.ropes), 8 * sent.stat().st_size)


def write_cache(path, cache, dtype):
    """A cache as `sluice codec` reads it."""
    metadata = rope_metadata(cache.ropes) | {"position.first": "0"}
    safetensors_file.write(path, {"k": (cache.k, dtype), "v": (cache.v, dtype)}, metadata)


def scratch():
    folder = quality_folder() / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def levels_of(program, profile):
    """The levels that a profile offers: {name: [what it promises with 1, 2, .. stages: bits_per_value, kl_mean, kl_p99, step]}."""
    told = json.loads(program.run("inspect", profile, "--format", "json"))["levels"]
    return {level["level"]: [stage | {"step": level["step"] / 3**number} for number, stage in enumerate(level["stages"])] for level in told}


def schemes_of(program, tier, profile, with_nested=False):
    """One scheme a level of one stage, and if wanted one a stage of nested ones."""
    schemes = []
    for level, promises in levels_of(program, profile).items():
        is_nested = len(promises) > 1
        if is_nested and not with_nested:
            continue
        schemes += [Sluice(program, tier, level, profile, stages=is_nested * count, promise=promise) for count, promise in enumerate(promises, 1)]
    return schemes
