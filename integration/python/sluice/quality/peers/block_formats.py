"""Fixed-length formats: 16-bit floats, fp8, int8 with a scale a head, and GGML's blocks of 32 values with one fp16 scale."""

import numpy as np

from sluice.quality.cache import Coded, Scheme
from sluice.quality.number_formats import E4M3_LARGEST, as_bf16, as_e4m3, as_half

BLOCK = 32


def divide(x, scale):
    return x / np.where(scale == 0, 1, scale)


def ggml_block(x, bits):
    """q8_0, q5_0, q4_0: eight bits share absmax / 127; the others map the value of largest magnitude to the lowest level."""
    blocks = x.reshape(-1, BLOCK)
    if bits == 8:
        scale = as_half(np.abs(blocks).max(1, keepdims=True) / 127)
        return (np.rint(divide(blocks, scale)) * scale).reshape(x.shape)
    half = 1 << (bits - 1)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(1)[:, None], 1)
    scale = as_half(extreme / -half)
    levels = np.clip(np.floor(divide(blocks, scale) + half + 0.5), 0, 2 * half - 1) - half
    return (levels * scale).reshape(x.shape)


def head_int8(x):
    """Symmetric int8 with one fp16 scale a token and head."""
    scale = as_half(np.abs(x).max(-1, keepdims=True) / 127)
    return np.clip(np.rint(divide(x, scale)), -127, 127) * scale


def plane_fp8(x):
    """e4m3 with one float32 scale for K and one for V of each layer, as serving engines calibrate it."""
    scale = np.abs(x).max((1, 2, 3), keepdims=True) / E4M3_LARGEST
    return as_e4m3(divide(x, scale)) * scale


class Format(Scheme):
    """convert: values to the nearest that the format holds; bits: of one value, scales included."""

    def __init__(self, name, convert, bits, plane_bits=0):
        super().__init__(name, name)
        self.convert, self.bits, self.plane_bits = convert, bits, plane_bits

    def code(self, cache):
        bits = (self.bits or 8 + 16 / cache.k.shape[-1]) * cache.values + 2 * len(cache.k) * self.plane_bits
        return Coded(type(cache)(self.convert(cache.k), self.convert(cache.v), cache.ropes), bits)


def all_formats():
    return [
        Format("bf16", as_bf16, 16), Format("fp16", as_half, 16), Format("fp8 e4m3", plane_fp8, 8, 32),
        Format("int8", head_int8, None), Format("q8_0", lambda x: ggml_block(x, 8), 8.5),
        Format("q5_0", lambda x: ggml_block(x, 5), 5.5), Format("q4_0", lambda x: ggml_block(x, 4), 4.5),
    ]
