"""Small floating-point formats in numpy: rounding to them, and their bit patterns. All round to nearest, ties to even."""

import numpy as np

E4M3_LARGEST, E4M3_MANTISSA_BITS, E4M3_LEAST_EXPONENT, E4M3_BIAS = 448.0, 3, -6, 7


def as_half(x):
    return x.astype(np.float16).astype(np.float32)


def to_bf16(x):
    """The upper halves of float32 values as uint16. NaN stays NaN."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(x), np.uint16(0x7FC0), rounded)


def from_bf16(bits):
    return (np.asarray(bits, np.uint16).astype(np.uint32) << 16).view(np.float32)


def as_bf16(x):
    return from_bf16(to_bf16(x))


def e4m3_exponent(x):
    return np.maximum(np.frexp(x)[1] - 1, E4M3_LEAST_EXPONENT)


def as_e4m3(x):
    """The nearest value of the form without infinities, saturating."""
    step = np.exp2(e4m3_exponent(x) - E4M3_MANTISSA_BITS)
    return np.clip(np.rint(x / step) * step, -E4M3_LARGEST, E4M3_LARGEST).astype(np.float32)


def to_e4m3(x):
    """Bytes of the nearest values."""
    magnitude = np.abs(as_e4m3(x))
    exponent = e4m3_exponent(magnitude)
    mantissa = np.rint(magnitude / np.exp2(exponent) * 8).astype(int)  # 8 and more: a normal number
    code = np.where(mantissa >= 8, ((exponent + E4M3_BIAS) << 3) + mantissa - 8, mantissa)
    return (np.where(np.signbit(x), 128, 0) + code).astype(np.uint8)


def from_e4m3(codes):
    codes = np.asarray(codes, np.uint8).astype(int)
    exponent, mantissa = (codes >> 3) & 15, codes & 7
    magnitude = np.where(exponent == 0, mantissa * 2.0**-9, (8 + mantissa) * np.exp2(exponent - E4M3_BIAS - 3.0))
    return np.where(codes & 128, -magnitude, magnitude).astype(np.float32)
