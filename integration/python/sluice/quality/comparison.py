"""`sluice codec compare`: which schemes are run, and the questions of the codec's promises that their results answer.

Place in the flow: trials and schemes -> measure -> statistics -> the report as one JSON document, which tables and plots read.
"""

import os
import platform

import numpy as np

from sluice.quality import sluice_program, statistics
from sluice.quality.peers import block_formats, cachegen, kivi, kvtc, lossless_bytes, turboquant

CACHEGEN_STEPS = (0.25, 0.5, 1.0)
KVTC_STEPS = (0.15, 0.25, 0.4, 0.6, 0.9)
KVTC_RECENT = {0: KVTC_STEPS, 128: (0.25, 0.6)}  # its paper keeps 128, which weighs on short contexts
PLAIN_LEVELS = ("int8", "refinement2", "refinement1", "base")
TIERS = ("T0", "T1", "T2", "T3")
# Bars in percent of the peer's bits (codec rows 1 to 5); None: no promise.
PROMISES = (
    ("row1", "CacheGen as shipped", {"T0": 55, "T1": 20, "T2": 16, "T3": 12}),
    ("row2", "CacheGen paper, step 0.25", {"T1": 40, "T2": 34, "T3": 26}),
    ("row3", "TurboQuant 4 bit", {"T1": 42, "T2": 32, "T3": 24}),
    ("row4", "q4_0", {"T1": 27, "T2": 22, "T3": 16}),
)
KVTC_PROMISES = (("row5", 1.5, {"T2": 88, "T3": 65}), ("row5-low", 0.75, {"T3": 90}))
TRANSPARENT = ("row6", "q8_0", {"T1": 4.5, "T2": 3.9, "T3": 3.1})
DTYPES = {"bf16": "BF16", "fp16": "F16", "e4m3": "F8_E4M3"}
LOSSLESS = ("row7", {"bf16": 10.5, "fp16": 13.5, "e4m3": 7.0})


def peer_schemes(material):
    """Every scheme that is not Sluice. material: None leaves out those that need calibration."""
    schemes = block_formats.all_formats() + [cachegen.Shipped()] + [turboquant.TurboQuant(bits) for bits in (4, 3)]
    schemes += [kivi.Kivi(bits) for bits in (4, 2)]
    if material is not None:
        schemes += cachegen.papers(CACHEGEN_STEPS, material)
        basis = kvtc.Basis(material)
        schemes += [kvtc.Kvtc(step, recent, basis) for recent, steps in KVTC_RECENT.items() for step in steps]
    return schemes


def sluice_schemes(program, tiers, profile_of, given=(), with_nested=False):
    """Sluice at every level of the wanted tiers. given: (tier, path) pairs made elsewhere; profile_of: tier number to path, or None."""
    schemes = [sluice_program.Sluice(program, "T0", level) for level in PLAIN_LEVELS if "T0" in tiers]
    for tier in tiers:
        path = dict(given).get(tier)
        if path is None and tier != "T0" and profile_of is not None:
            path = profile_of(int(tier[1]))
        if path is not None:
            schemes += sluice_program.schemes_of(program, tier, path, with_nested)
    return schemes


def as_samples(schemes, results):
    return [statistics.Samples(scheme.name, scheme.family, np.array([bits for bits, _ in results[scheme.name]]),
                               [score for _, score in results[scheme.name]]) for scheme in schemes]


def answers(samples, draws):
    """What the measured points say about rows 1 to 7, by row and tier. A tier that was not run has no entry."""
    named = {one.name: one for one in samples}
    curves = {tier: [one for one in samples if one.family == f"Sluice {tier}"] for tier in TIERS}
    out = {}
    for row, peer, bars in PROMISES:
        if peer in named:
            out[row] = {tier: dict(statistics.share_of_peer(curves[tier], named[peer], draws), bar=bars.get(tier))
                        for tier in TIERS if curves[tier]}
    for row, rate, bars in KVTC_PROMISES:
        nearest = [one for one in samples if one.family == "KVTC, 0 recent raw"]
        if nearest:
            peer = min(nearest, key=lambda one: abs(one.bits.mean() - rate))
            out[row] = {tier: dict(statistics.share_of_peer(curves[tier], peer, draws), bar=bars.get(tier)) for tier in TIERS if curves[tier]}
    row, peer, bars = TRANSPARENT
    if peer in named:
        out[row] = {tier: dict(statistics.share_of_peer(curves[tier], named[peer], draws), bar_bits=bars.get(tier)) for tier in TIERS if curves[tier]}
    return out


def lossless_report(model, program, caches):
    """Row 7: bits per value of the lossless level and of general compressors, by storage format, over caches of texts."""
    told = {}
    for cache in caches:
        for (name, dtype), bits in lossless_bytes.bits_of(cache).items():
            told.setdefault((name, dtype), []).append(bits)
        for dtype, stored in DTYPES.items():
            coded = sluice_program.Sluice(program, "T0", "lossless", dtype=stored).code(cache)
            told.setdefault(("Sluice", dtype), []).append(coded.bits_per_value)
    means = {key: float(np.mean(bits)) for key, bits in told.items()}
    names = ("zlib -9", "zstd -19", "ZipNN's method")
    rows = {dtype: {"bits": means["Sluice", dtype], "bar_bits": bar, "peers": {name: means[name, dtype] for name in names},
                    "over_best_peer": means["Sluice", dtype] / min(means[name, dtype] for name in names)}
            for dtype, bar in LOSSLESS[1].items()}
    return {"model": model, "suite": "lossless", "context": caches[0].k.shape[1], "judged_tokens": 0, "machine": machine(),
            "schemes": [], "rows": {LOSSLESS[0]: rows}}


def report(model, suite, trials, samples, promises):
    """The whole document. promises: scheme name to what it states beforehand, where it does."""
    draws = statistics.Draws([len(score.kl) for score in samples[0].scores])
    return {
        "model": model, "suite": suite, "context": len(trials[0].context), "judged_tokens": len(samples[0].joined("kl")),
        "machine": machine(),
        "schemes": [statistics.summarise(one, draws) for one in sorted(samples, key=lambda one: -one.bits.mean())],
        "rows": answers(samples, draws), "promises": promises,
    }


def machine():
    """What the figures were made on, in words."""
    name = "unknown processor"
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as source:
            name = next((line.split(":", 1)[1].strip() for line in source if line.startswith("model name")), name)
    return f"{platform.machine()}, {name}, {os.cpu_count()} cores, one used"
