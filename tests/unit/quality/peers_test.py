"""Laws of the re-implemented peers and of the statistics, on made-up caches. Skips (exit 77) without `./dev quality setup`."""

import unittest

from quality_test import require_environment


def made_up_cache(tokens=96, seed=1):
    """Two layers, two heads of 64: smooth over tokens, with one channel of large mean, as real caches have."""
    import numpy as np
    from sluice.quality.cache import Cache
    from sluice.quality.rope import Rope
    rng = np.random.default_rng(seed)
    k, v = (rng.normal(size=(2, tokens, 2, 64)).astype(np.float32).cumsum(1) * 0.2 for _ in range(2))
    k[..., 3] += 30
    return Cache(k, v, (Rope("pairs", 10000.0, 64),) * 2)


class Material:
    """What calibrated peers are fitted on."""

    identity = "made-up"
    ropes = ()

    @property
    def caches(self):
        return [made_up_cache(seed=seed) for seed in range(2, 6)]


def error(cache, coded):
    import numpy as np
    return float(np.sqrt(np.square(cache.flat() - coded.cache.flat()).mean()))


class Formats(unittest.TestCase):
    def test_each_costs_what_it_says_and_keeps_what_it_holds(self):
        import numpy as np
        from sluice.quality.peers.block_formats import all_formats
        bits = {"bf16": 16, "fp16": 16, "fp8 e4m3": 8, "int8": 8.25, "q8_0": 8.5, "q5_0": 5.5, "q4_0": 4.5}
        for scheme in all_formats():
            once = scheme.code(made_up_cache())
            twice = scheme.code(once.cache)
            self.assertAlmostEqual(once.bits_per_value, bits[scheme.name], delta=0.01)
            np.testing.assert_allclose(once.cache.flat(), twice.cache.flat(), rtol=2e-3, atol=2e-3, err_msg=scheme.name)

    def test_more_bits_do_less_damage(self):
        from sluice.quality.peers.block_formats import all_formats
        named = {scheme.name: error(made_up_cache(), scheme.code(made_up_cache())) for scheme in all_formats()}
        self.assertLess(named["fp16"], named["q8_0"])
        self.assertLess(named["q8_0"], named["q5_0"])
        self.assertLess(named["q5_0"], named["q4_0"])


class Cachegen(unittest.TestCase):
    def test_finer_steps_cost_more_and_damage_less(self):
        from sluice.quality.peers import cachegen
        coded = [scheme.code(made_up_cache()) for scheme in cachegen.papers((0.25, 0.5, 1.0), Material())]
        bits, errors = [one.bits_per_value for one in coded], [error(made_up_cache(), one) for one in coded]
        self.assertEqual(bits, sorted(bits, reverse=True))
        self.assertEqual(errors, sorted(errors))

    def test_shipped_pays_for_its_tables(self):
        from sluice.quality.peers import cachegen
        tables = 33 * 16 / 96  # bits a value of a channel's table over 96 tokens
        self.assertGreater(cachegen.Shipped().code(made_up_cache()).bits_per_value, tables)


class Rotated(unittest.TestCase):
    def test_codebook_is_symmetric_and_its_points_have_unit_energy_at_many_bits(self):
        import numpy as np
        from sluice.quality.peers.turboquant import sphere_codebook
        centres = sphere_codebook(64, 16)
        np.testing.assert_allclose(centres, -centres[::-1], atol=1e-4)

    def test_costs_its_bits_and_a_norm(self):
        from sluice.quality.peers.turboquant import TurboQuant
        self.assertEqual(TurboQuant(4).code(made_up_cache()).bits_per_value, 4.25)


class KiviLaws(unittest.TestCase):
    def test_newest_tokens_come_back_and_counted_bits_are_the_papers(self):
        import numpy as np
        from sluice.quality.peers.kivi import Kivi
        cache = made_up_cache()
        coded = Kivi(2).code(cache)
        np.testing.assert_array_equal(coded.cache.k[:, -32:], cache.k[:, -32:])
        self.assertAlmostEqual(coded.bits_per_value, (64 * 3 + 32 * 16) / 96)


class KvtcLaws(unittest.TestCase):
    def test_fine_steps_approach_the_cache_and_sinks_come_back(self):
        import numpy as np
        from sluice.quality.peers import kvtc

        class Fitted:
            identity = "made-up"
            parts = [tuple(kvtc.principal_axes(np.concatenate(
                [kvtc.tokens_by_all(cache.unrotated(), kind) for cache in Material().caches])).values()) for kind in (0, 1)]

        cache = made_up_cache()
        errors = [error(cache, kvtc.Kvtc(step, 0, Fitted).code(cache)) for step in (1.0, 0.1, 0.01)]
        self.assertEqual(errors, sorted(errors, reverse=True))
        self.assertLess(errors[-1], 0.05)
        np.testing.assert_allclose(kvtc.Kvtc(1.0, 0, Fitted).code(cache).cache.k[:, :4], cache.k[:, :4], atol=1e-4)


class Statistics(unittest.TestCase):
    def test_curve_is_read_by_log_interpolation(self):
        from sluice.quality.statistics import bits_at
        bits, answer = bits_at([4, 2], [0.001, 0.1], 0.01)
        self.assertAlmostEqual(bits, 3)
        self.assertEqual(answer, "at")

    def test_what_is_off_the_curve_says_so(self):
        import math
        from sluice.quality.statistics import bits_at, bits_at_peer
        self.assertEqual(bits_at([2, 4], [0.1, 0.01], 0.5), (2.0, "below"))
        self.assertTrue(math.isnan(bits_at([2, 4], [0.1, 0.01], 0.001)[0]))
        self.assertEqual(bits_at_peer([(2, 0.1, 1.0), (4, 0.01, 0.5)], (0.05, 0.1))[1], "never")


if __name__ == "__main__":
    require_environment()
    unittest.main()
