"""Laws of the quality harness that need no model file. Skips (exit 77) where the environment of `./dev quality setup` is absent."""

import os
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
DEBIAN_PYTHON = "/usr/bin/python3"
sys.path.insert(0, str(ROOT / "integration/python"))

from sluice.quality import environment  # noqa: E402  (needs the path above)


def require_environment():
    """Goes on with Debian's Python where this one lacks PyTorch; skips where that lacks it too."""
    try:
        environment.require()
    except environment.Absent as fault:
        if os.path.exists(DEBIAN_PYTHON) and os.path.realpath(sys.executable) != os.path.realpath(DEBIAN_PYTHON):
            os.execv(DEBIAN_PYTHON, [DEBIAN_PYTHON, *sys.argv])
        print(f"skipped: {fault}")
        sys.exit(77)


class Model(unittest.TestCase):
    def test_split_forward_equals_whole_and_autograd_equals_differences(self):
        from sluice.quality import selfcheck
        self.assertLess(selfcheck.worst_error(), selfcheck.LIMIT)


class Judging(unittest.TestCase):
    def judge(self):
        import torch
        from sluice.quality import selfcheck
        from sluice.quality.judge import Judge
        from sluice.quality.model import Decoder
        from sluice.quality.trials import Continuation, Trial
        double = selfcheck.random_decoder("halves", True, torch.Generator().manual_seed(1))
        decoder = Decoder(double.architecture, {name: weight.float() for name, weight in double.weights.items()})
        trial = Trial("made up", "made up", tuple(range(24)), (Continuation(tuple(range(24, 34))), Continuation((5, 6, 7), 1)))
        return Judge(decoder, trial)

    def test_the_untouched_cache_does_no_damage_at_all(self):
        judge = self.judge()
        score = judge.score(judge.cache.k, judge.cache.v)
        self.assertEqual(score.kl.max(), 0)
        self.assertEqual(len(score.kl), 10 + 2)
        self.assertEqual(score.same.min(), 1)

    def test_more_noise_does_more_damage(self):
        import numpy as np
        judge = self.judge()
        noise = np.random.default_rng(1).normal(size=judge.cache.k.shape).astype(np.float32)
        damage = [judge.kl_per_token(judge.cache.k + scale * noise, judge.cache.v).mean() for scale in (0.01, 0.1, 1.0)]
        self.assertEqual(damage, sorted(damage))
        self.assertGreater(damage[0], 0)


class Trials(unittest.TestCase):
    def test_a_needle_is_asked_for_by_its_own_beginning_and_only_the_answer_is_judged(self):
        from sluice.quality import texts, trials

        class Letters:
            @staticmethod
            def encode(text):
                return list(map(ord, text))

        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("filler " * 1000)
            file.flush()
            (trial,) = trials.needle_trials(Letters, [texts.own(file.name)], 2000)
        context = "".join(map(chr, trial.context))
        self.assertEqual(len(trial.continuations), len(trials.CITIES))
        for one in trial.continuations:
            self.assertIn("".join(map(chr, one.tokens)), context)
            self.assertRegex("".join(map(chr, one.tokens[one.first_row + 1:])), r"^ [0-9]{5}[.]$")


class Rotations(unittest.TestCase):
    def test_layers_with_a_base_of_their_own_are_told_by_their_period(self):
        from sluice.quality.dump import rope_metadata
        from sluice.quality.rope import Rope
        wide, local = Rope("halves", 1e6, 64), Rope("halves", 1e4, 64)
        told = rope_metadata([wide if (layer + 1) % 6 == 0 else local for layer in range(18)])
        self.assertEqual(told["rope.base"], "1000000.0")
        self.assertEqual((told["rope.local_base"], told["rope.local_period"]), ("10000.0", "6"))
        self.assertEqual(rope_metadata([wide] * 3), wide.metadata())
        for odd in ([local, wide, wide], [local, local, wide, wide], [local, Rope("pairs", 1e6, 64)]):
            self.assertRaises(ValueError, rope_metadata, odd)

    def test_key_biases_sit_on_the_slowest_channels(self):
        import torch
        from sluice.quality import selfcheck, variants
        for style in ("pairs", "halves"):
            decoder = selfcheck.random_decoder(style, False, torch.Generator().manual_seed(1))
            channels = variants.slowest_channels(decoder.architecture.ropes[0])
            turned = decoder.architecture.ropes[0].rotate(torch.eye(8)[None], 1)[0]
            moved = (turned - torch.eye(8)).abs().amax(1).tolist()
            self.assertGreater(min(moved[c] for c in range(8) if c not in channels), max(moved[c] for c in channels))
        self.assertRaises(ValueError, variants.add_key_biases, selfcheck.random_decoder("halves", True, torch.Generator()))


class Curves(unittest.TestCase):
    def test_points_rise_and_nested_ones_are_apart(self):
        import numpy as np
        from sluice.quality import profiles

        class Program:
            @staticmethod
            def run(*_words):
                return ('{"levels": [{"level": "a", "step": 1, "stages": [{}]}, {"level": "b", "step": 2, "stages": [{}]},'
                        ' {"level": "n", "step": 3, "stages": [{}, {}]}]}')

        class Score:
            def __init__(self, kl):
                self.kl = np.full(4, kl)

        results = {f"Sluice T2 {name}": [(1, Score(kl))] for name, kl in (("a", 0.2), ("b", 0.1), ("n 1", 0.9), ("n 2", 0.3))}
        points = profiles.curve_of(Program, 2, "p.slp", results)
        self.assertEqual([(p["stages"], p["step"], p["kl_mean"]) for p in points], [(1, 1, 0.2), (1, 2, 0.2), (2, 1, 0.3), (2, 3, 0.9)])


class Page(unittest.TestCase):
    REPORT = ROOT / "docs/benchmarks/quality.json"

    def test_the_page_is_what_its_json_says(self):
        from sluice.quality.__main__ import main
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder) / "quality.md"
            self.assertEqual(main(["report", str(self.REPORT), "--out", str(page)]), 0)
            for made in pathlib.Path(folder).iterdir():
                self.assertEqual(made.read_text(), (self.REPORT.parent / made.name).read_text(), made.name)

    def test_rows_answers_what_was_measured_and_nothing_else(self):
        import contextlib
        import io
        import json
        from sluice.quality.__main__ import main
        answer = {"peer_bits": 4.5, "bits": 0.9, "percent": 20.0}
        facts = {"suite": "text", "machine": "m", "commit": "c", "formats": {}}
        reports = [dict(facts, model="Other-1", rows={"row4": {"T2": dict(answer, percent=99.0)}}),
                   dict(facts, model="SmolLM2-1", rows={"row4": {"T2": answer, "T3": dict(answer, bits=None)}})]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"reports": reports}, file)
            file.flush()
            for row, model, code in (("row4.T2", "smollm2", 0), ("row4.T3", "smollm2", 1), ("row4.T1", "smollm2", 1), ("row4.T2", "gemma", 1)):
                told = io.StringIO()
                with contextlib.redirect_stdout(told), contextlib.redirect_stderr(io.StringIO()):
                    self.assertEqual(main(["rows", file.name, "--row", row, "--model", model]), code, (row, model))
                if code == 0:
                    self.assertEqual(json.loads(told.getvalue())["percent"], 20.0)


class SafetensorsFile(unittest.TestCase):
    def test_gives_back_what_was_written_in_every_dtype(self):
        import numpy as np
        from sluice.quality import safetensors_file
        x = np.random.default_rng(1).normal(size=(2, 3, 5)).astype(np.float32)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "x.safetensors"
            safetensors_file.write(path, {dtype: (x, dtype) for dtype in safetensors_file.WRITTEN}, {"rope.style": "pairs"})
            tensors, metadata = safetensors_file.read(path)
        self.assertEqual(metadata, {"rope.style": "pairs"})
        np.testing.assert_array_equal(tensors["F32"], x)
        np.testing.assert_array_equal(tensors["F16"], x.astype(np.float16))
        np.testing.assert_allclose(tensors["BF16"], x, rtol=2**-8)
        np.testing.assert_allclose(tensors["F8_E4M3"], x, rtol=2**-4, atol=2**-10)

    def test_e4m3_codes_are_all_their_own_nearest(self):
        import numpy as np
        from sluice.quality.number_formats import from_e4m3, to_e4m3
        codes = np.array([code for code in range(256) if code & 127 != 127], np.uint8)  # 127 is NaN
        np.testing.assert_array_equal(to_e4m3(from_e4m3(codes)), codes)

    def test_rounds_bf16_to_even(self):
        import numpy as np
        from sluice.quality.number_formats import to_bf16
        halfway = np.array([0x3F808000, 0x3F818000, 0x7FC12345], np.uint32).view(np.float32)
        np.testing.assert_array_equal(to_bf16(halfway), np.array([0x3F80, 0x3F82, 0x7FC0], np.uint16))


class Tokens(unittest.TestCase):
    def test_merges_by_score_and_falls_back_to_bytes(self):
        from sluice.quality.tokens import ByScore
        pieces = ["<bos>", "a", "b", "ab", "\u2581", "\u2581ab", "<0xC3>", "<0xA9>"]
        tokenizer = ByScore(pieces, [0, -9, -9, -2, -9, -1, 0, 0], [0])
        self.assertEqual(tokenizer.encode("ab ab\u00e9"), [0, 3, 5, 6, 7])


if __name__ == "__main__":
    require_environment()
    unittest.main()
