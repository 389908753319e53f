"""A prompt's KV cache as schemes see it, and what a scheme gives back.

Words: *plane* = K or V of one layer as rows [tokens, kv_heads * head_dim]; *channel* = a column of a plane.
"""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Cache:
    """k, v: float32 [layers, tokens, kv_heads, head_dim], K rotated, the first token at position 0. ropes: one a layer."""

    k: np.ndarray
    v: np.ndarray
    ropes: tuple

    @property
    def values(self):
        return 2 * self.k.size

    def flat(self):
        """[2, layers, tokens, channels]: K, then V."""
        return np.stack([self.k, self.v]).reshape(2, *self.k.shape[:2], -1)

    def unrotated(self, direction=-1):
        """The cache with RoPE undone on K; direction 1 puts it on again."""
        k = np.stack([rope.rotate(torch.from_numpy(plane), 0, direction).numpy() for rope, plane in zip(self.ropes, self.k)])
        return Cache(k, self.v, self.ropes)

    def like(self, flat):
        """A cache of this shape from what flat() gives."""
        k, v = np.asarray(flat, np.float32).reshape(2, *self.k.shape)
        return Cache(k, v, self.ropes)


@dataclass(frozen=True)
class Coded:
    """What the receiver gets, and every bit that was sent for it."""

    cache: Cache
    bits: float

    @property
    def bits_per_value(self):
        return self.bits / self.cache.values


class Scheme:
    """A way to send a cache. name: as tables show it; family: points that one curve joins; steps of one family differ in rate.

    identity: changes whenever the result for the same cache would. code(): pure.
    """

    promise = None  # what a scheme states beforehand: bits_per_value, kl_mean, kl_p99

    def __init__(self, name, family, identity=""):
        self.name, self.family, self.identity = name, family, f"{family}/{name}/{identity}"

    def code(self, cache):
        raise NotImplementedError


def empirical_bits(symbols, base):
    """Ideal length of each column of int symbols [tokens, channels] under its own distribution; base: smallest symbol."""
    width = int(symbols.max()) - base + 1
    columns = symbols.shape[1]
    flat = (symbols - base) + width * np.arange(columns)
    counts = np.bincount(flat.ravel(), minlength=width * columns).reshape(columns, width)
    share = counts / len(symbols)
    return -(counts * np.log2(np.where(counts, share, 1))).sum()
