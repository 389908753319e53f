"""Rotary position embedding as models define it: which frequencies, how they are scaled, which channels form a pair.

Invariants: angles are computed in float64 and rounded once; rotating by -1 undoes rotating by 1 up to float rounding.
"""

import json
import math
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Rope:
    """style: "pairs" (channels 2i, 2i+1, as GGUF stores llama) or "halves" (i, i + dims/2).

    dims: rotated channels of a head, the rest passes. scaling: the model's own entry as a dict, or None.
    """

    style: str
    base: float
    dims: int
    scaling: dict = None

    def frequencies(self):
        """Radians per position, one a pair, float64."""
        plain = self.base ** (-np.arange(0, self.dims, 2, dtype=np.float64) / self.dims)
        return plain if self.scaling is None else scaled(plain, self.scaling)

    def rotate(self, x, first, direction=1):
        """x [tokens, heads, head_dim] whose token t stands at position first + t; direction -1 undoes it."""
        angle = (first + np.arange(x.shape[0], dtype=np.float64))[:, None] * self.frequencies()
        cos = torch.from_numpy(np.cos(angle)).to(x.dtype)[:, None]
        sin = torch.from_numpy(direction * np.sin(angle)).to(x.dtype)[:, None]
        turned, rest = x[..., :self.dims], x[..., self.dims:]
        if self.style == "halves":
            a, b = turned[..., :self.dims // 2], turned[..., self.dims // 2:]
            out = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
        else:
            a, b = turned[..., 0::2], turned[..., 1::2]
            out = torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)
        return out if rest.shape[-1] == 0 else torch.cat([out, rest], -1)

    def metadata(self):
        """The keys that `sluice codec` reads beside k and v."""
        told = {"rope.style": self.style, "rope.base": repr(float(self.base)), "rope.dims": str(self.dims)}
        if self.scaling is not None:
            told["rope.scaling"] = json.dumps(self.scaling)
        return told


def scaled(frequencies, scaling):
    """Frequencies under the scalings of Llama-shaped models. Errors: ValueError for a kind that is not known."""
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind in (None, "default"):
        return frequencies
    if kind == "linear":
        return frequencies / scaling["factor"]
    if kind == "factors":
        return frequencies / np.asarray(scaling["factors"], np.float64)
    if kind == "llama3":
        turns = scaling["original_max_position_embeddings"] * frequencies / (2 * math.pi)
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        keep = np.clip((turns - low) / (high - low), 0, 1)
        return keep * frequencies + (1 - keep) * frequencies / scaling["factor"]
    raise ValueError(f"rope scaling {kind} is not supported (default, linear, factors, llama3 are)")
