"""Runs a model on a reconstructed cache and compares its predictions with those on the untouched one, token by token.

Invariants: everything after the codec is float32 (float64 from the logits on); the reference and the judged pass are the same
operations on the same tokens, so an untouched cache gives a KL of exactly 0.
"""

from dataclasses import dataclass

import numpy as np
import torch

from sluice.quality.cache import Cache


ROWS_AT_ONCE = 8  # a few rows of a large vocabulary in double precision fit the caches


@dataclass(frozen=True)
class Score:
    """One entry a judged token. kl in nats; same: top-1 agreement; right: top-1 is the text's next token; nll_change in nats.

    The last token of a continuation has no next one: right and nll_change are NaN there.
    """

    kl: np.ndarray
    same: np.ndarray
    right: np.ndarray
    nll_change: np.ndarray


def log_probabilities(decoder, past, continuation):
    logits, _ = decoder.forward(list(continuation.tokens), past=past, logits_from=continuation.first_row)
    return logits.double().log_softmax(-1)


def compare(reference, other, continuation):
    """Damage by judged token: KL, top-1 agreement, top-1 being the next token, change of its log probability."""
    rows = [compare_rows(reference[first:first + ROWS_AT_ONCE], other[first:first + ROWS_AT_ONCE]) for first in range(0, len(reference), ROWS_AT_ONCE)]
    kl, same, best = (torch.cat(column) for column in zip(*rows))
    target = torch.tensor(continuation.tokens[continuation.first_row + 1:])
    right, change = (torch.full((len(kl),), float("nan"), dtype=torch.float64) for _ in range(2))
    right[:-1] = (best[:-1] == target).double()
    change[:-1] = (reference[:-1] - other[:-1]).gather(1, target[:, None])[:, 0]
    return kl, same, right, change


def compare_rows(reference, other):
    best = other.argmax(-1)
    kl = (reference.exp() * (reference - other)).sum(-1).clamp_min(0)
    return kl, (best == reference.argmax(-1)).double(), best


class Judge:
    """One trial's context: its cache and what the model predicts on it. Threads: not shared."""

    def __init__(self, decoder, trial):
        self.decoder, self.trial = decoder, trial
        with torch.no_grad():
            _, (k, v) = decoder.forward(list(trial.context), logits_from=len(trial.context))
            self.cache = Cache(k.numpy(), v.numpy(), decoder.architecture.ropes)
            self.references = [log_probabilities(decoder, (k, v), continuation) for continuation in trial.continuations]

    def score(self, k, v):
        """k, v: what a decoder reconstructed, like self.cache's. Returns a Score over all continuations."""
        past = tuple(torch.from_numpy(np.ascontiguousarray(part, np.float32)) for part in (k, v))
        with torch.no_grad():
            parts = [compare(reference, log_probabilities(self.decoder, past, continuation), continuation)
                     for reference, continuation in zip(self.references, self.trial.continuations)]
        return Score(*(torch.cat(column).numpy() for column in zip(*parts)))

    def kl_per_token(self, k, v):
        """The function that calibrators want: reconstructed K and V to KL in nats of each judged token."""
        return self.score(k, v).kl
