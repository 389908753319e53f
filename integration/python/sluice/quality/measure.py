"""Runs schemes over trials and keeps every result in the cache folder, so that a later run only does what is new.

Invariant: a kept result is named by model, trial and the scheme's identity; whatever would change it changes one of the three.
"""

import hashlib
import sys
import time

import numpy as np

from sluice.quality.environment import quality_folder
from sluice.quality.judge import Judge, Score

FIELDS = ("kl", "same", "right", "nll_change")


class Ledger:
    """Results of one model on disk."""

    def __init__(self, model):
        self.folder = quality_folder() / "results" / model

    def path(self, trial, scheme):
        name = hashlib.sha256(scheme.identity.encode()).hexdigest()[:20]
        return self.folder / trial.identity / f"{name}.npz"

    def load(self, trial, scheme):
        """(bits per value, Score), or None."""
        path = self.path(trial, scheme)
        if not path.exists():
            return None
        with np.load(path) as kept:
            return float(kept["bits_per_value"]), Score(*(kept[field] for field in FIELDS))

    def content_path(self, trial, cache):
        """A score belongs to what came back, however it was sent: a new build of a program that changes nothing is not judged anew."""
        content = hashlib.sha256(cache.k.tobytes() + cache.v.tobytes()).hexdigest()[:20]
        return self.folder / trial.identity / f"score-{content}.npz"

    def score_of(self, trial, cache):
        path = self.content_path(trial, cache)
        if not path.exists():
            return None
        with np.load(path) as kept:
            return Score(*(kept[field] for field in FIELDS))

    def keep_score(self, trial, cache, score):
        write_whole(self.content_path(trial, cache), score)

    def keep(self, trial, scheme, bits_per_value, score):
        write_whole(self.path(trial, scheme), score, bits_per_value=bits_per_value)


def write_whole(path, score, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez(part, **more, **{field: getattr(score, field) for field in FIELDS})
    part.replace(path)


def measure(decoder, ledger, trials, schemes):
    """{scheme name: [(bits per value, Score) by trial]}. Says how far it is on standard error."""
    results, start = {scheme.name: [] for scheme in schemes}, time.monotonic()
    for number, trial in enumerate(trials, 1):
        kept = {scheme.name: ledger.load(trial, scheme) for scheme in schemes}
        todo = [scheme for scheme in schemes if kept[scheme.name] is None]
        if todo:
            judge = Judge(decoder, trial)
            for scheme in todo:
                coded = scheme.code(judge.cache)
                score = ledger.score_of(trial, coded.cache) or judge.score(coded.cache.k, coded.cache.v)
                ledger.keep_score(trial, coded.cache, score)
                ledger.keep(trial, scheme, coded.bits_per_value, score)
                kept[scheme.name] = coded.bits_per_value, score
            print(f"  {number} of {len(trials)} ({trial.name}): {len(todo)} schemes, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        for name, result in kept.items():
            results[name].append(result)
    return results
