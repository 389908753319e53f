"""Calibration material of one model: dumps of texts, made once and kept in the cache folder, for Sluice and for the peers alike."""

import argparse
import hashlib
import sys
from dataclasses import dataclass

import numpy as np

from sluice.quality import safetensors_file, texts
from sluice.quality.cache import Cache
from sluice.quality.dump import write_dump
from sluice.quality.environment import quality_folder

CONTEXT, FOLLOWING = 640, 160
GRADIENT_EVERY = 4  # every fourth dump has gradients, which cost ten times a cache's time
ROWS = 3


@dataclass(frozen=True)
class Material:
    """paths: one dump a text, as safetensors; kinds: of these texts. identity: of model, texts and how they were dumped."""

    paths: tuple
    kinds: frozenset
    ropes: tuple
    identity: str

    @property
    def caches(self):
        for path in self.paths:
            tensors, _ = safetensors_file.read(path)
            yield Cache(np.asarray(tensors["k"], np.float32), np.asarray(tensors["v"], np.float32), self.ropes)


def ensure(model, loaded, passages):
    """Makes the dumps that are missing. model: its fingerprint; loaded: () -> (Decoder, tokenizer)."""
    folder = quality_folder() / "dumps" / model
    folder.mkdir(parents=True, exist_ok=True)
    decoder, tokenizer = loaded
    paths = []
    for number, passage in enumerate(passages):
        options = argparse.Namespace(following=FOLLOWING, gradients=0 if number % GRADIENT_EVERY else ROWS, dtype="F16", extras=False, seed=number)
        path = folder / f"{passage.name}-{CONTEXT}-{options.gradients}.safetensors"
        paths.append(path)
        if path.exists():
            continue
        tokens = texts.tokens_of(tokenizer, texts.read_passage(passage), CONTEXT + FOLLOWING, passage.name)
        part = path.with_suffix(".part")
        write_dump(part, decoder, tokens, options)
        part.replace(path)
        print(f"  dump {number + 1} of {len(passages)}: {passage.name}", file=sys.stderr, flush=True)
    told = "\n".join([model, *(path.name for path in paths), *texts.fetched_versions(passages).values()])
    return Material(tuple(paths), frozenset(passage.kind for passage in passages), decoder.architecture.ropes, hashlib.sha256(told.encode()).hexdigest()[:16])
