"""KVTC (ICLR 2026) from its paper: RoPE undone, one PCA over all layers and heads for K and one for V, fitted on calibration tokens;
bits per component chosen for least error at a budget; the quantised components are packed and DEFLATEd. The first 4 tokens and the
newest ones (128 in the paper) stay at 16 bits.

As good as it could be made here: instead of the paper's groups with a shared scale each, every component has a step that calibration
fixed (nothing to send), the steps are equal (which is what the best allocation under a squared error comes to, with an entropy coder
behind it) but K's finer than V's by the ratio that tier T0 has, and components below half a step are not sent. What follows counts as
the cheaper of DEFLATE, which sees one byte a symbol and each component's bytes in a row, and an ideal coder that knows from calibration
how each component spreads. The basis is not counted.
"""

import functools
import sys
import zlib

import numpy as np
import scipy.linalg

from sluice.quality.cache import Coded, Scheme
from sluice.quality.environment import quality_folder

SINKS = 4
DEAD_ZONE = 0.6     # magnitudes below this many steps give 0
MOST_COMPONENTS = 1600  # beyond what rates below 2 b/v use of small models
ESCAPE, ESCAPE_BITS = 127, 16
KEYS_FINER = 2.0 / 1.1


class Basis:
    """Mean and principal axes of K (un-rotated) and of V over all layers and heads; kept in the cache folder, since it takes minutes."""

    def __init__(self, material):
        self.material = material
        self.identity = material.identity

    @functools.cached_property
    def parts(self):
        """(mean, axes, variance) of K and of V."""
        folder = quality_folder() / "profiles"
        folder.mkdir(parents=True, exist_ok=True)
        return [self.part(kind, folder / f"{self.identity}-kvtc-{'kv'[kind]}.npz") for kind in (0, 1)]

    def part(self, kind, path):
        if not path.exists():
            print(f"  principal axes of {'KV'[kind]} for KVTC, once", file=sys.stderr, flush=True)
            rows = np.concatenate([tokens_by_all(cache.unrotated(), kind)[SINKS:] for cache in self.material.caches])
            np.savez(path, **principal_axes(rows))
        with np.load(path) as kept:
            return kept["mean"], kept["axes"], kept["variance"]


def principal_axes(rows):
    """mean, axes [dim, components] by falling variance, variance. Exact in small dimensions, else by subspace iteration."""
    mean = rows.mean(0)
    rows = rows - mean
    dim = rows.shape[1]
    if dim <= MOST_COMPONENTS:
        variance, axes = scipy.linalg.eigh(rows.T @ rows / len(rows), check_finite=False)
        return {"mean": mean, "axes": np.ascontiguousarray(axes[:, ::-1], np.float32), "variance": np.maximum(variance[::-1], 0)}
    start = np.random.default_rng(1).normal(size=(dim, MOST_COMPONENTS)).astype(np.float32)
    span = scipy.linalg.qr(rows.T @ (rows @ start), mode="economic", check_finite=False)[0]
    span = scipy.linalg.qr(rows.T @ (rows @ span), mode="economic", check_finite=False)[0]
    inside = rows @ span
    variance, turn = scipy.linalg.eigh(inside.T @ inside / len(rows), check_finite=False)
    return {"mean": mean, "axes": np.ascontiguousarray(span @ turn[:, ::-1], np.float32), "variance": np.maximum(variance[::-1], 0)}


def tokens_by_all(cache, kind):
    """[tokens, layers * channels] of K or V."""
    return cache.flat()[kind].swapaxes(0, 1).reshape(cache.k.shape[1], -1)


class Kvtc(Scheme):
    """step: of V's components, in units of the root mean square of V's values; recent: tokens at the end kept at 16 bits."""

    def __init__(self, step, recent, basis):
        super().__init__(f"KVTC, step {step:g}, {recent} recent raw", f"KVTC, {recent} recent raw", f"finer keys, cheaper coder {basis.identity}")
        self.step, self.recent, self.basis = step, recent, basis

    def code(self, cache):
        plain = cache.unrotated()
        tokens = cache.k.shape[1]
        coded = slice(SINKS, max(SINKS, tokens - self.recent))
        out, bits = plain.flat(), 0.0
        for kind, (mean, axes, variance) in enumerate(self.basis.parts):
            rows = tokens_by_all(plain, kind)
            step = self.step / (KEYS_FINER if kind == 0 else 1) * np.sqrt(variance.sum() / len(mean))
            is_sent = np.sqrt(variance) > step / 2
            kept = axes[:, is_sent]
            scaled = (rows[coded] - mean) @ kept / step
            symbols = np.where(np.abs(scaled) < DEAD_ZONE, 0, np.rint(scaled))
            bits += min(deflated_bits(symbols.T), static_bits(symbols, np.sqrt(variance[is_sent]) / step))
            bits += 16 * (tokens - len(symbols)) * rows.shape[1]
            rows = rows.copy()
            rows[coded] = symbols @ kept.T * step + mean
            out[kind] = rows.reshape(tokens, len(cache.k), -1).swapaxes(0, 1)
        return Coded(cache.like(out).unrotated(1), bits)


def deflated_bits(symbols):
    """Bits of the symbols after DEFLATE; what does not fit a byte is escaped and sent as 16 bits more."""
    bytes_ = np.clip(symbols, -ESCAPE, ESCAPE).astype(np.int8).tobytes()
    return 8 * len(zlib.compress(bytes_, 9)) + ESCAPE_BITS * int((np.abs(symbols) >= ESCAPE).sum())


def static_bits(symbols, deviations):
    """Ideal length of symbols [tokens, components] under a Laplace distribution of each component's deviation, in steps, as calibration
    knows it: nothing of the distribution is sent."""
    scale = deviations / np.sqrt(2)
    tail = np.exp(-DEAD_ZONE / scale)                      # of the magnitudes that are not 0
    ratio = np.exp(-1 / scale)                             # of a magnitude to the one before
    magnitude = np.abs(symbols)
    first = 1 - np.exp(-(1.5 - DEAD_ZONE) / scale)         # of the tail, that the magnitude is 1
    beyond = np.exp(-(1.5 - DEAD_ZONE) / scale) * (1 - ratio) * ratio ** np.maximum(magnitude - 2, 0)
    share = np.where(magnitude == 0, 1 - tail, tail / 2 * np.where(magnitude == 1, first, beyond))
    return float(-np.log2(np.maximum(share, 2.0**-ESCAPE_BITS)).sum())
