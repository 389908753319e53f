"""General compressors on a raw 16-bit or fp8 cache, for the lossless level: zlib -9, zstd -19, and ZipNN's method (the bytes of a value
split by significance, each plane Huffman-coded where that helps; of bf16 the exponent is shifted into one byte first).
"""

import heapq
import zlib

import numpy as np
import zstandard

from sluice.quality.number_formats import to_bf16, to_e4m3

ZIPNN_CHUNK = 1 << 18
TABLE_BYTES = 128  # code lengths of 256 symbols at 4 bits


FORMATS = {"bf16": to_bf16, "fp16": lambda x: x.astype(np.float16).view(np.uint16), "e4m3": to_e4m3}


def huffman_bits(counts):
    """Length of a Huffman code of these counts over all symbols, in bits."""
    heap = [int(count) for count in counts if count]
    if len(heap) < 2:
        return 0
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        total += both
        heapq.heappush(heap, both)
    return total


def zipnn_bits(words, is_bf16):
    """ZipNN's method on uint16 or uint8 words; of bf16 the sign goes to the low byte, so that the exponent has one of its own."""
    if is_bf16:
        words = (words << 1) | (words >> 15)
    planes = [words] if words.dtype == np.uint8 else [words >> 8, words & 0xFF]
    total = 0
    for plane in planes:
        for chunk in np.split(plane, range(ZIPNN_CHUNK, len(plane), ZIPNN_CHUNK)):
            total += min(8 * len(chunk), huffman_bits(np.bincount(chunk, minlength=256)) + 8 * TABLE_BYTES)
    return total


def zstd_bits(words):
    return 8 * len(zstandard.ZstdCompressor(level=19).compress(words.tobytes()))


def zlib_bits(words):
    return 8 * len(zlib.compress(words.tobytes(), 9))


COMPRESSORS = {"zlib -9": zlib_bits, "zstd -19": zstd_bits}


def bits_of(cache):
    """{(compressor, storage format): bits per value} of a cache stored in each format."""
    told = {}
    for dtype, words_of in FORMATS.items():
        parts = [words_of(part).reshape(-1) for part in (cache.k, cache.v)]
        for name, measure in COMPRESSORS.items():
            told[name, dtype] = sum(map(measure, parts)) / cache.values
        told["ZipNN's method", dtype] = sum(zipnn_bits(words, dtype == "bf16") for words in parts) / cache.values
    return told
