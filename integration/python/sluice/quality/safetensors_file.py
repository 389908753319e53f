"""safetensors files read and written with numpy alone: an 8-byte header length, a JSON header, the tensors' bytes without gaps.

numpy has no bfloat16 and no float8: such tensors are widened to float32 on reading, and rounded from float32 on writing.
"""

import json
import pathlib
import struct

import numpy as np

from sluice.quality.number_formats import from_bf16, from_e4m3, to_bf16, to_e4m3

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32, "U8": np.uint8}
NARROW = {"BF16": (to_bf16, from_bf16, np.uint16), "F8_E4M3": (to_e4m3, from_e4m3, np.uint8)}
WRITTEN = ("F32", "F16", *NARROW)


def encode(x, dtype):
    """A float array as bytes of one of WRITTEN."""
    if dtype in NARROW:
        return NARROW[dtype][0](x).tobytes()
    return np.ascontiguousarray(x, DTYPES[dtype]).tobytes()


def write(path, tensors, metadata):
    """tensors: name to (float array, dtype name). The file appears whole or not at all."""
    header, bodies, at = {"__metadata__": metadata}, [], 0
    for name, (x, dtype) in tensors.items():
        body = encode(x, dtype)
        header[name] = {"dtype": dtype, "shape": list(x.shape), "data_offsets": [at, at + len(body)]}
        bodies.append(body)
        at += len(body)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = pathlib.Path(path)
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as sink:
        sink.write(struct.pack("<Q", len(text)) + text)
        for body in bodies:
            sink.write(body)
    part.replace(path)


def read(path):
    """(name to array, metadata). Errors: ValueError for a dtype that is not known here."""
    data = np.memmap(path, np.uint8, "r")
    (length,) = struct.unpack("<Q", data[:8].tobytes())
    header = json.loads(data[8:8 + length].tobytes())
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        raw = data[8 + length + first:8 + length + last]
        if entry["dtype"] in NARROW:
            _, widen, words = NARROW[entry["dtype"]]
            values = widen(raw.view(words))
        elif entry["dtype"] in DTYPES:
            values = raw.view(DTYPES[entry["dtype"]])
        else:
            raise ValueError(f"{path}: tensor {name} is {entry['dtype']}, which is not supported")
        tensors[name] = values.reshape(entry["shape"])
    return tensors, metadata
