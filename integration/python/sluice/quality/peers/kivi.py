"""KIVI (ICML 2024): K in groups of 32 tokens per channel, V in groups of 32 channels per token, asymmetric, an fp16 scale and an fp16
zero a group; the newest 32 tokens stay at 16 bits.
"""

import numpy as np

from sluice.quality.cache import Coded, Scheme
from sluice.quality.number_formats import as_half

GROUP = 32
RECENT = 32
GROUP_BITS = 32


def quantise(groups, bits):
    """Asymmetric over the last axis."""
    low = as_half(groups.min(-1, keepdims=True))
    scale = as_half((groups.max(-1, keepdims=True) - low) / ((1 << bits) - 1))
    levels = np.clip(np.rint((groups - low) / np.where(scale == 0, 1, scale)), 0, (1 << bits) - 1)
    return levels * scale + low


class Kivi(Scheme):
    def __init__(self, bits):
        super().__init__(f"KIVI {bits} bit", "KIVI")
        self.bits = bits

    def code(self, cache):
        tokens = cache.k.shape[1]
        coded = max(0, tokens - RECENT) // GROUP * GROUP  # K is only grouped where a group is full
        k, v = cache.flat().copy()
        layers, _, channels = k.shape
        grouped = k[:, :coded].reshape(layers, -1, GROUP, channels).swapaxes(2, 3)
        k[:, :coded] = quantise(grouped, self.bits).swapaxes(2, 3).reshape(layers, coded, channels)
        v[:, :coded] = quantise(v[:, :coded].reshape(layers, coded, -1, GROUP), self.bits).reshape(layers, coded, channels)
        per_token = 2 * layers * channels
        bits = per_token * (coded * (self.bits + GROUP_BITS / GROUP) + (tokens - coded) * 16)
        return Coded(cache.like(np.stack([k, v])), bits)
