"""CacheGen (SIGCOMM 2024), twice: as its released code works, and as its paper describes it.

Shipped: absmax per token over all channels of a layer, 31 or 15 levels, and for each (layer, K|V, channel) and chunk of 256 tokens the
chunk's own distribution as 33 x int16 beside an arithmetic-coded stream with an int32 start.
Paper: groups of ten tokens, the first an anchor at 8 bits, the others coded as the difference from the decoded anchor, with bins that
grow over the thirds of the layers (0.5, 1, 1.5) and static distributions per (layer, K|V, channel) profiled on calibration texts.
"""

import functools

import numpy as np

from sluice.quality.cache import Coded, Scheme, empirical_bits
from sluice.quality.number_formats import as_half

CHUNK = 256
FINE_LAYERS = (10, 2)      # layers with 31 levels, K and V; the others have 15
FLUSH_BITS = 10            # an arithmetic coder's last bits, a channel and chunk
TABLE_BITS = 33 * 16 + 32
GROUP = 10
PAPER_CHUNK = 1500         # tokens that one arithmetic-coded stream covers
ANCHOR_TOP = 127
THIRDS = (0.5, 1.0, 1.5)
LARGEST, ESCAPE_BITS = 127, 16
SMOOTHING = 0.05           # added to every count of a profiled distribution


class Shipped(Scheme):
    def __init__(self):
        super().__init__("CacheGen as shipped", "CacheGen as shipped")

    def code(self, cache):
        out, bits = np.empty((2, *cache.k.shape[:2], cache.k[0, 0].size), np.float32), 0.0
        for kind, planes in enumerate(cache.flat()):
            for layer, rows in enumerate(planes):
                top = 15 if layer < FINE_LAYERS[kind] else 7
                peak = as_half(np.abs(rows).max(1, keepdims=True))
                levels = np.rint(rows * (top / np.maximum(peak, 1e-9))).astype(int)
                out[kind, layer] = levels * peak / top
                for chunk in np.split(levels, range(CHUNK, len(levels), CHUNK)):
                    bits += empirical_bits(chunk, -top) + chunk.shape[1] * (FLUSH_BITS + TABLE_BITS) + 16 * len(chunk)
        return Coded(cache.like(out), bits)


def anchors_and_deltas(rows):
    """Decoded anchor of each token [tokens, channels], which tokens are anchors, and the differences from it."""
    is_anchor = np.arange(len(rows)) % GROUP == 0
    anchors = rows[is_anchor]
    scale = as_half(np.abs(anchors).max(1, keepdims=True) / ANCHOR_TOP)
    decoded = np.rint(anchors / np.maximum(scale, 1e-9)) * scale
    reference = np.repeat(decoded, GROUP, 0)[:len(rows)]
    return reference, is_anchor, rows - reference


class Profiling:
    """What the paper's scheme learns on the calibration texts, at its first use: (bin, code lengths) by step and (kind, layer)."""

    def __init__(self, steps, material):
        self.steps, self.material = steps, material
        self.identity = material.identity

    @functools.cached_property
    def learned(self):
        deltas = {}
        for cache in self.material.caches:
            flat = cache.flat()
            for place in np.ndindex(*flat.shape[:2]):
                _, is_anchor, delta = anchors_and_deltas(flat[place])
                deltas.setdefault(place, []).append(delta[~is_anchor].astype(np.float16))
        layers = 1 + max(layer for _, layer in deltas)
        found = {}
        for place in list(deltas):
            rows = np.concatenate(deltas.pop(place)).astype(np.float32)
            for step in self.steps:
                bin_ = step * THIRDS[3 * place[1] // layers] * np.sqrt(rows.var(0).mean()) + 1e-9
                found[step, place] = bin_, profiled_lengths(np.rint(rows / bin_)).astype(np.float32)
        return found


def papers(steps, material):
    """The paper's scheme at several steps, its bins and distributions profiled on the calibration texts."""
    profiling = Profiling(steps, material)
    return [Paper(step, profiling) for step in steps]


class Paper(Scheme):
    """step: multiplies the thirds' bins, in standard deviations of the differences of all channels of a layer's K (V) on calibration texts.

    One bin for all channels of a plane does better than one a channel: 4.5 instead of 4.6 b/v at half the KL, on SmolLM2.
    """

    def __init__(self, step, profiling):
        super().__init__(f"CacheGen paper, step {step:g}", "CacheGen paper", f"bin of a plane {profiling.identity}")
        self.step, self.profiling = step, profiling

    def code(self, cache):
        flat = cache.flat()
        out, bits = np.empty_like(flat), 0.0
        for kind, layer in np.ndindex(*flat.shape[:2]):
            reference, is_anchor, deltas = anchors_and_deltas(flat[kind, layer])
            bins, lengths = self.profiling.learned[self.step, (kind, layer)]
            symbols = np.rint(deltas / bins)
            out[kind, layer] = np.where(is_anchor[:, None], reference, reference + symbols * bins)
            coded = np.clip(symbols[~is_anchor], -LARGEST, LARGEST).astype(int) + LARGEST
            bits += lengths[np.arange(deltas.shape[1]), coded].sum(dtype=np.float64) + ESCAPE_BITS * (np.abs(symbols[~is_anchor]) >= LARGEST).sum()
            bits += is_anchor.sum() * (8 * deltas.shape[1] + 16) + FLUSH_BITS * deltas.shape[1] * np.ceil(len(deltas) / PAPER_CHUNK)
        return Coded(cache.like(out), bits)


def profiled_lengths(symbols):
    """Code lengths in bits [channels, 2 LARGEST + 1] of the symbols [tokens, channels] seen while profiling."""
    width, columns = 2 * LARGEST + 1, symbols.shape[1]
    flat = np.clip(symbols, -LARGEST, LARGEST).astype(int) + LARGEST + width * np.arange(columns)
    counts = np.bincount(flat.ravel(), minlength=width * columns).reshape(columns, width) + SMOOTHING
    return -np.log2(counts / counts.sum(1, keepdims=True))
