"""Writes codec/static_tables_data.cc: the universal frequency tables of FORMAT.md section 4.3.

Run by hand when the tables change (they are part of the format, so FORMAT.md's version changes with them):
    python3 codec/generate_static_tables.py > codec/static_tables_data.cc && clang-format -i codec/static_tables_data.cc
Needs numpy and scipy. The numbers are checked in because both ends must have the same ones on any machine: nothing of
this is ever computed by the codec.

Model of a channel: a generalised Gaussian of shape b and standard deviation sigma, in units of the base step.
Classes: 4 shapes x 38 spreads, sigma = 2^(-4.5 + i/4). Cells of a base table: |x| < 0.6 is 0, else rounded half up. Cells of the last
stage, of nine to a base step: below 0.6 0, below 1.65 1, else rounded half up; coarser stages take them as they are.
"""
import numpy as np
from scipy.special import gamma, gammainc

SHAPES = (0.6, 0.9, 1.3, 2.0)
SPREADS, FIRST_LOG2, SPACING = 38, -4.5, 0.25
SLOTS, LARGEST, NEGLIGIBLE = 256, 31, 0.3
MOST = 5000  # magnitudes of the last stage that are looked at


def distribution(shape, log2_sigma):
    spread = 2.0**log2_sigma * np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return lambda x: 0.5 + 0.5 * np.sign(x) * gammainc(1 / shape, (np.abs(x) / spread) ** shape)


def allocate(probability, copies):
    """Integer frequencies >= 1 whose sum over copies is SLOTS, given out greedily by saved bits."""
    probability, copies = np.maximum(probability, 1e-12), np.array(copies)
    frequency = np.ones(len(copies), int)
    while (left := SLOTS - (frequency * copies).sum()) > 0:
        gain = probability * np.log2((frequency + 1) / frequency)
        gain[copies > left] = -1
        frequency[gain.argmax()] += 1
    return frequency


def base_table(cumulative):
    """(largest magnitude, frequencies of |n| = 0..largest for either sign, frequency of the escape)."""
    edges = np.concatenate([[0.6], np.arange(1, LARGEST + 1) + 0.5])
    side = np.diff(cumulative(edges))
    largest = 1
    while largest < LARGEST and side[largest] * SLOTS > NEGLIGIBLE:
        largest += 1
    zero = cumulative(0.6) - cumulative(-0.6)
    escape = 1 - zero - 2 * side[:largest].sum()
    return largest, allocate(np.array([zero, *side[:largest], escape]), [1] + [2] * largest + [1])


def coarser(last, ratio):
    """Magnitude of a stage for one of the last stage."""
    return last if ratio == 1 else (last - (last == 5) + ratio // 2) // ratio


def refinement_tables(cumulative, coarse_ratio, fine_ratio):
    """Frequencies of the difference -1..2 for coarse 0, 1, 2 and >= 3; cumulative in steps of the last stage."""
    last = np.arange(MOST)
    share = np.diff(cumulative(np.concatenate([[0, 0.6, 1.65], last[2:] + 0.5])))
    coarse, fine = coarser(last, coarse_ratio), coarser(last, fine_ratio)
    context, difference, tables = np.minimum(coarse, 3), fine - 3 * coarse, []
    for own in range(4):
        table = np.array([share[(context == own) & (difference == d)].sum() for d in (-1, 0, 1, 2)])
        said = np.array([1, 1, 1, own == 1 and fine_ratio == 1], bool)
        if own == 0:
            table[0] = table[2] = table[2] / 2
        table = table / table.sum() if table.sum() > 1e-9 else said * 0.3
        frequency = np.zeros(4, int)
        frequency[said] = allocate(np.maximum(table[said], 1e-6), [1] * said.sum())
        assert not table[~said].any()
        tables.append(frequency)
    return tables


def main():
    base, first, second = [], [], []
    for shape in SHAPES:
        for index in range(SPREADS):
            log2_sigma = FIRST_LOG2 + SPACING * index
            largest, frequency = base_table(distribution(shape, log2_sigma))
            base.append([largest, *frequency])
            last = distribution(shape, log2_sigma + np.log2(9))
            first.append(np.concatenate(refinement_tables(last, 9, 3)))
            second.append(np.concatenate(refinement_tables(last, 3, 1)))
    print("// Written by codec/generate_static_tables.py; do not edit. Universal frequency tables, FORMAT.md section 4.3.")
    print("#include \"codec/static_tables.h\"\n\nnamespace sluice::codec {\n\n// clang-format off")
    flat = [number for row in base for number in row]
    print_array(f"const std::array<std::uint8_t, kBaseNumbers> kBaseFrequencies", flat)
    print_array("const std::array<std::uint8_t, kRefinementNumbers> kRefinement1Frequencies", np.concatenate(first))
    print_array("const std::array<std::uint8_t, kRefinementNumbers> kRefinement2Frequencies", np.concatenate(second))
    print("// clang-format on\n\n}  // namespace sluice::codec")


def print_array(name, numbers):
    print(f"{name} = {{")
    line = "   "
    for number in numbers:
        if len(line) + len(str(number)) + 2 > 120:
            print(line)
            line = "   "
        line += f" {number},"
    print(line + "\n};")


if __name__ == "__main__":
    main()
