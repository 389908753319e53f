#!/usr/bin/env python3
"""`sluice.codec` on the recording in the tree: exact levels are exact, nested ones near, sizes are told before coding, a profile is made and
used, the GIL is free while the library works, and what goes wrong is a SluiceError with its name."""

import argparse
import os
import pathlib
import sys
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "integration/python"))
try:
    import numpy as np
except ImportError:
    print("no numpy: skipped")
    sys.exit(77)
OPTIONS = argparse.ArgumentParser()
OPTIONS.add_argument("--library", required=True)
OPTIONS.add_argument("--recording", required=True)
GIVEN = OPTIONS.parse_args()
os.environ["SLUICE_LIBRARY"] = GIVEN.library
from sluice import codec  # noqa: E402  (the library's place must be known before)

RECORDING = pathlib.Path(GIVEN.recording).read_bytes()
ROPE = {"style": "pairs", "base": 100000.0}


def dump_of(k, v):
    """A safetensors file as bytes; the format is written here once more, on purpose."""
    import json
    header = {"__metadata__": {"rope.style": "pairs", "rope.base": "100000.0"}}
    for number, name in enumerate("kv"):
        header[name] = {"dtype": "F16", "shape": list(k.shape), "data_offsets": [number * k.nbytes, (number + 1) * k.nbytes]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + k.tobytes() + v.tobytes()


class Codec(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.k, cls.v = codec.decode(RECORDING)

    def test_exact_levels_are_exact(self):
        for level in ("raw", "lossless"):
            k, v = codec.decode(codec.encode(self.k, self.v, rope=ROPE, level=level))
            self.assertEqual((k.tobytes(), v.tobytes()), (self.k.tobytes(), self.v.tobytes()))

    def test_every_type_comes_back(self):
        bits = np.random.default_rng(1).integers(0, 256, (2, 40, 1, 16), np.uint8)
        for name, rows in (("e4m3", bits), ("e5m2", bits), ("bf16", bits.astype(np.uint16) * 257), (None, bits.astype(np.float32))):
            k, v = codec.decode(codec.encode(rows, rows[::-1], dtype=name))
            self.assertTrue(k.dtype == rows.dtype and np.array_equal(k, rows) and np.array_equal(v, rows[::-1]))

    def test_more_stages_are_nearer(self):
        coded = codec.encode(self.k, self.v, rope=ROPE, level="refinement2")
        errors = [np.abs(codec.decode(coded, stages=n)[0].astype(np.float32) - self.k).mean() for n in (1, 2, 3)]
        self.assertTrue(errors[0] > 2 * errors[1] > 4 * errors[2] > 0, errors)

    def test_inspection_tells_what_is_there(self):
        told = codec.inspect(codec.encode(self.k, self.v, rope=ROPE, level="base", first_position=3))
        self.assertEqual((told["layers"], told["tokens"], told["level"], told["rope"]), (*self.k.shape[:2], "base", "pairs"))

    def test_sizes_are_told_before_coding(self):
        told = codec.rate(self.k, self.v, rope=ROPE)
        for name, sizes in (("lossless", told["lossless_bytes"]), ("refinement2", sum(told["levels"][0]["stage_bytes"]))):
            size = len(codec.encode(self.k, self.v, rope=ROPE, level=name))
            self.assertLess(abs(sizes / size - 1), 0.05, name)

    def test_a_profile_is_made_and_used(self):
        heard, dump = [], dump_of(self.k[:2], self.v[:2])
        profile = codec.calibrate([dump], tier=1, levels=[("default", 0.01)], progress=lambda phase, share: heard.append(share))
        coded = codec.encode(self.k[:2], self.v[:2], rope=ROPE, profile=profile)
        k, _ = codec.decode(coded, profile)
        self.assertTrue(heard and 0 < np.abs(k.astype(np.float32) - self.k[:2]).mean() < np.abs(self.k).mean())
        self.assertEqual(codec.inspect(profile)["levels"][0]["level"], "default")
        with self.assertRaises(codec.SluiceError) as caught:
            codec.decode(coded)
        self.assertEqual(caught.exception.name, "profile_mismatch")
        measured = codec.calibrate([dump], lambda number, k, v: np.abs(k.astype(np.float32) - self.k[:2]).mean((0, 2, 3)), tier=1,
                                   levels=[("default", 0.01)])
        self.assertNotEqual(measured.file, profile.file)
        with self.assertRaises(codec.SluiceError) as caught:
            codec.calibrate([dump], tier=1, progress=lambda phase, share: True)
        self.assertEqual(caught.exception.name, "aborted")

    def test_what_goes_wrong_is_typed(self):
        cases = (("bad_magic", lambda: codec.decode(b"no file" * 40)), ("not_found", lambda: codec.encode(self.k, self.v, level="nothing")),
                 ("invalid_argument", lambda: codec.encode(self.k[:0], self.v[:0])),
                 ("digest_mismatch", lambda: codec.decode(RECORDING[:-1] + bytes([RECORDING[-1] ^ 1]))))
        for name, call in cases:
            with self.assertRaises(codec.SluiceError) as caught:
                call()
            self.assertEqual(caught.exception.name, name)
        for wrong in (lambda: codec.encode(self.k, self.v[:1]), lambda: codec.encode(self.k, self.v, rope={"stile": "pairs"}),
                      lambda: codec.decode(RECORDING, most_bytes=1000)):
            self.assertRaises(ValueError, wrong)
        self.assertRaises(TypeError, codec.encode, self.k.view(np.int16), self.v.view(np.int16))

    def test_threads_share_a_library(self):
        wanted, found = codec.encode(self.k, self.v, rope=ROPE, level="base"), [None] * 4

        def work(number):
            found[number] = codec.encode(self.k, self.v, rope=ROPE, level="base")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(found))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertTrue(all(file == wanted for file in found))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
