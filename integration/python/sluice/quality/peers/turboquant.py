"""TurboQuant (arXiv 2504.19874), the MSE form: a random rotation makes every coordinate of a head's unit vector alike, and one
Lloyd-Max codebook for that distribution quantises all of them; the norm is sent as fp16.
"""

import numpy as np
from scipy.special import betainc

from sluice.quality.cache import Coded, Scheme
from sluice.quality.number_formats import as_half

GRID = 20001
ROUNDS = 300


def sphere_codebook(dim, levels):
    """Lloyd-Max centres for one coordinate of a uniform point on the unit sphere in `dim` dimensions."""
    edges = np.linspace(-1, 1, GRID)
    cumulative = np.where(edges < 0, 0.5 - 0.5 * betainc(0.5, (dim - 1) / 2, edges**2), 0.5 + 0.5 * betainc(0.5, (dim - 1) / 2, edges**2))
    mass, middle = np.diff(cumulative), (edges[1:] + edges[:-1]) / 2
    centres = np.interp((np.arange(levels) + 0.5) / levels, cumulative, edges)
    for _ in range(ROUNDS):
        nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, middle)
        weight = np.bincount(nearest, mass, levels)
        centres = np.bincount(nearest, mass * middle, levels) / np.maximum(weight, 1e-300)
    return centres.astype(np.float32)


class TurboQuant(Scheme):
    def __init__(self, bits):
        super().__init__(f"TurboQuant {bits} bit", "TurboQuant")
        self.bits = bits

    def code(self, cache):
        dim = cache.k.shape[-1]
        rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(dim, dim)))[0].astype(np.float32)
        centres = sphere_codebook(dim, 1 << self.bits)
        bounds = (centres[1:] + centres[:-1]) / 2

        def convert(x):
            norm = as_half(np.linalg.norm(x, axis=-1, keepdims=True))
            unit = x @ rotation / np.maximum(norm, 1e-9)
            return centres[np.searchsorted(bounds, unit)] @ rotation.T * norm

        bits = (self.bits + 16 / dim) * cache.values
        return Coded(type(cache)(convert(cache.k), convert(cache.v), cache.ropes), bits)
