"""A second decoder, written from codec/FORMAT.md alone, in plain Python: containers, raw and lossless frames of every dtype, 8-bit ones,
every prefix of base and refinements, and units coded with a profile of any tier, the latter of fp16 without rotation. It looks for faults
by assertion, and is slow; check_frames.py runs it.
"""
import re
import struct
from pathlib import Path

HEADER = 96
BASE, REFINEMENT1, REFINEMENT2, RAW, LOSSLESS, INT8 = 0, 1, 2, 16, 17, 18
SIZES, MANTISSAS = (4, 2, 2, 1, 1), (23, 10, 7, 3, 2)  # bytes of a value and bits of its mantissa, by dtype
START, LANES, SLOTS, SPREADS, CLASSES = 1 << 16, 32, 256, 38, 152


def padded(size, step):
    return (size + step - 1) // step * step


class Frame:
    """Section 2."""

    def __init__(self, data):
        (magic, version, self.part, self.dtype, self.layers, self.tokens, self.heads, self.dim, self.rope, self.level,
         self.first_layer, self.rope_dims, self.rope_base, self.position, self.raw, self.fine, _, self.profile, self.parent,
         length, self.digest, _) = struct.unpack_from("<IHBBIIIIBBHIdQHHIQQQQQ", data)
        assert magic == 0x464B4C53 and version == 3 and length == len(data) - HEADER
        self.payload = data[HEADER:]
        self.width, self.streams = self.heads * self.dim, 2 * self.layers


def read_container(data):
    """Section 7: frames by (chunk, group, part)."""
    magic, version = struct.unpack_from("<IH", data)
    (count,), (size,) = struct.unpack_from("<Q", data, 48), struct.unpack_from("<Q", data, 80)
    assert magic == 0x434B4C53 and version == 1 and size == len(data)
    entries = [struct.unpack_from("<IIB7xQQ", data, 128 + 32 * i) for i in range(count)]
    return {entry[:3]: Frame(data[entry[3]:entry[3] + entry[4]]) for entry in entries}


def read_tables(path):
    """Section 4.3: frequencies of every class for the base, and of every class and context for the refinements."""
    text = Path(path).read_text()
    numbers = [[int(n) for n in re.findall(r"\d+", body)] for body in re.findall(r"= \{(.*?)\}", text, re.S)]
    base, at = [], 0
    for _ in range(CLASSES):
        largest = numbers[0][at]
        sides = numbers[0][at + 1:at + 2 + largest]
        base.append([sides[(symbol + 1) // 2] for symbol in range(2 * largest + 1)] + [numbers[0][at + 2 + largest]])
        at += largest + 3
    refinements = [[[flat[4 * (4 * c + x):4 * (4 * c + x) + 4] for x in range(4)] for c in range(CLASSES)]
                   for flat in numbers[1:]]
    return base, refinements


class Lanes:
    """Section 4.1: one stream."""

    def __init__(self, states, words):
        self.states = list(states) + [START] * (LANES - len(states))
        self.words, self.next = words, 0

    def take(self, lane, frequencies):
        state = self.states[lane]
        slot, start, symbol = state % SLOTS, 0, 0
        while slot >= start + frequencies[symbol]:
            start += frequencies[symbol]
            symbol += 1
        state = frequencies[symbol] * (state // SLOTS) + slot - start
        if state < START:
            state = state << 16 | self.words[self.next]
            self.next += 1
        self.states[lane] = state
        return symbol

    def finish(self):
        assert self.next == len(self.words) and self.states == [START] * LANES


def streams_of(frame, directory, entry, lanes, escape_size):
    """Section 5 from the directory on: (stream, its lanes, its escapes), each of which must be used up."""
    counts = [struct.unpack_from(f"<{entry // 4}I", frame.payload, directory + entry * s) for s in range(frame.streams)]
    states_at = padded(directory + entry * frame.streams, 16)
    words_at = states_at + 4 * lanes * frame.streams
    escapes_at = words_at + 2 * sum(count[0] for count in counts)
    for stream, count in enumerate(counts):
        coder = Lanes(struct.unpack_from(f"<{lanes}I", frame.payload, states_at + 4 * lanes * stream),
                      struct.unpack_from(f"<{count[0]}H", frame.payload, words_at))
        size = escape_size * count[1] if entry == 8 else 0
        yield stream, coder, frame.payload[escapes_at:escapes_at + size]
        words_at, escapes_at = words_at + 2 * count[0], escapes_at + size
        coder.finish()
    assert escapes_at == len(frame.payload)


def unfolded(symbol):
    """Section 4.2: the index of a base symbol."""
    magnitude = (symbol + 1) // 2
    return magnitude if symbol % 2 else -magnitude


def refined(coder, lane, contexts, coarse):
    """Section 4.2: the finer index."""
    difference = coder.take(lane, contexts[min(abs(coarse), 3)]) - 1
    return 3 * coarse + (-difference if coarse < 0 else difference)


def bf16(bits):
    return struct.unpack("<f", struct.pack("<I", bits << 16))[0]


def fine_class(ordinary):
    return ordinary // SPREADS * SPREADS + min(ordinary % SPREADS + 4, SPREADS - 1)


class Nested:
    """Section 5: indices of all streams, refined frame by frame."""

    def __init__(self, base, tables):
        assert base.dtype == 1 and base.rope == 0 and base.profile == 0
        self.base, self.tables, self.stage = base, tables, 0
        self.coded = base.tokens - base.raw
        payload, streams, width = base.payload, base.streams, base.width
        self.row = base.raw * width * 2
        at = padded(streams * self.row, 16)
        self.steps = [bf16(b) for b in struct.unpack_from(f"<{streams * base.heads}H", payload, at)]
        at += 2 * streams * base.heads
        self.means = [bf16(b) for b in struct.unpack_from(f"<{streams * width}H", payload, at)]
        at += 2 * streams * width
        self.classes = payload[at:at + streams * width]
        self.indices = [[0] * self.coded for _ in range(streams * width)]
        self.read(base, padded(at + streams * width, 4), 8)

    def refine(self, frame):
        self.stage += 1
        assert frame.part == self.stage
        self.read(frame, 0, 4)

    def read(self, frame, directory, entry):
        runs = (self.coded - frame.fine, frame.fine)
        for stream, coder, escaped in streams_of(frame, directory, entry, min(LANES, max(runs)), 2):
            escapes = iter(struct.unpack(f"<{len(escaped) // 2}h", escaped))
            for channel in range(stream * frame.width, (stream + 1) * frame.width):
                ordinary, first = self.classes[channel], 0
                for count, name in zip(runs, (ordinary, fine_class(ordinary))):
                    for i in range(count):
                        self.step(coder, i % LANES, name, (channel, first + i), escapes)
                    first += count
            assert next(escapes, None) is None

    def step(self, coder, lane, name, at, escapes):
        column, i = self.indices[at[0]], at[1]
        if self.stage:
            column[i] = refined(coder, lane, self.tables[1][self.stage - 1][name], column[i])
            return
        symbol = coder.take(lane, self.tables[0][name])
        column[i] = next(escapes) if symbol == len(self.tables[0][name]) - 1 else unfolded(symbol)

    def values(self):
        """All rows, stream by stream, as (value, step of the value or 0 for raw)."""
        frame, out = self.base, []
        for stream in range(frame.streams):
            raw = struct.unpack_from(f"<{frame.raw * frame.width}e", frame.payload, stream * self.row)
            out += [(value, 0.0) for value in raw]
            for token in range(self.coded):
                for channel in range(frame.width):
                    step = self.steps[stream * frame.heads + channel // frame.dim] / 3**self.stage
                    step /= 2 if token >= self.coded - frame.fine else 1
                    number = stream * frame.width + channel
                    out.append((self.indices[number][token] * step + self.means[number], step))
        return out


class Profile:
    """Section 8."""

    def __init__(self, data):
        (magic, version, self.tier, _, self.layers, self.heads, self.dim, _, _, _, levels, self.groups, self.lowest,
         self.back, self.intra, _) = struct.unpack_from("<IHBBIIIIdBBBbBBB", data)
        size, self.id = struct.unpack_from("<QQ", data, 64)
        assert magic == 0x504B4C53 and version == 1 and size == len(data)
        self.data, self.at = data, 128 + 64 * levels
        self.levels = [struct.unpack_from("<16sffB", data, 128 + 64 * i) for i in range(levels)]
        width, streams = self.heads * self.dim, 2 * self.layers
        self.frequencies = self.take("H", self.layers, self.groups)
        self.means, self.weights = self.take("f", streams, width), self.take("f", streams, width)
        rows = width * (self.dim if self.tier == 1 else width)
        self.bases = [self.block_diagonal(flat, width) for flat in self.take("h", streams, rows)]
        self.scales, self.predictors = None, None
        if self.tier == 3:
            self.scales = self.take("f", streams, width)
            sizes = [len(self.references(s)) * width for s in range(streams)]
            flat = self.take("h", 1, sum(sizes) * width)[0]
            starts = [sum(sizes[:s]) * width for s in range(streams)]
            self.predictors = [[[n / 2**15 for n in flat[start + r * size:start + (r + 1) * size]] for r in range(width)]
                               for start, size in zip(starts, sizes)]
        self.classes = [self.take("B", level[3] * streams, self.groups * width) for level in self.levels]

    def take(self, kind, rows, columns):
        """A section as a list of rows."""
        size = struct.calcsize(f"<{kind}") * columns
        out = [struct.unpack_from(f"<{columns}{kind}", self.data, self.at + r * size) for r in range(rows)]
        self.at += padded(rows * size, 16)
        return out

    def block_diagonal(self, flat, width):
        size = self.dim if self.tier == 1 else width
        basis = [[0.0] * width for _ in range(width)]
        for row in range(width):
            first = row // size * size
            basis[row][first:first + size] = [n / 2**15 for n in flat[row * size:(row + 1) * size]]
        return basis

    def references(self, stream):
        layer, found = stream // 2, [stream - 1] if stream % 2 else []
        for back in range(1, min(self.back, layer % self.intra) + 1):
            found += [2 * (layer - back), 2 * (layer - back) + 1]
        return found

    def coefficients(self, stream, x):
        centred = [w * (value - m) for value, m, w in zip(x, self.means[stream], self.weights[stream])]
        return [sum(b * value for b, value in zip(row, centred)) for row in self.bases[stream]]


class Profiled:
    """Section 5.1: indices of all streams, refined frame by frame; y of every stream, coefficient and coded token."""

    def __init__(self, base, profile, tables):
        assert base.profile == profile.id and base.fine == 0 and base.dtype == 1 and base.rope == 0
        self.base, self.profile, self.tables, self.stage = base, profile, tables, 0
        self.coded, self.first = base.tokens - base.raw, 2 * base.first_layer
        _, self.step, self.unit, self.stages = profile.levels[base.level]
        self.scale = [[1.0] * self.coded for _ in range(base.layers)]
        self.groups = [[] for _ in range(base.layers)]
        self.indices = [[[0] * self.coded for _ in range(base.width)] for _ in range(base.streams)]
        self.skipped = set()
        row = base.raw * base.width * 2
        self.raw_rows = [struct.unpack_from(f"<{base.raw * base.width}e", base.payload, s * row) for s in range(base.streams)]
        self.read(base, padded(base.streams * row, 16), 8)
        self.decoded = []
        for stream in range(base.streams):
            self.decoded.append(self.rebuild(stream))

    def refine(self, frame):
        self.stage += 1
        assert frame.part == self.stage < self.stages and frame.profile == self.profile.id
        self.read(frame, 0, 4)

    def read(self, frame, directory, entry):
        for stream, coder, escapes in streams_of(frame, directory, entry, LANES, 1):
            if self.stage == 0 and stream % 2 == 0:
                self.read_token_classes(stream // 2, coder)
            assert self.read_stream(stream, coder, escapes) == len(escapes)

    def read_token_classes(self, layer, coder):
        frequencies, names = self.profile.frequencies[self.first // 2 + layer], [0] * self.coded
        if self.profile.groups > 1:
            names = [coder.take(i % LANES, frequencies) for i in range(self.coded)]
        self.groups[layer] = [[t for t in range(self.coded) if names[t] == g] for g in range(self.profile.groups)]
        self.scale[layer] = [2 ** ((self.profile.lowest + name) / 2) for name in names]

    def read_stream(self, stream, coder, escapes):
        """Returns how many bytes of escapes were used."""
        width, used = self.base.width, 0
        streams = 2 * self.profile.layers
        classes = self.profile.classes[self.base.level][self.stage * streams + self.first + stream]
        cells = {}
        for group, tokens in enumerate(self.groups[stream // 2]):
            for i in range(width):
                cells.setdefault(classes[group * width + i], []).extend((i, t) for t in tokens)
        for name in sorted(cells):
            if name == 255:
                self.skipped.update((stream, i, t) for i, t in cells[name])
                for i, t in cells[name]:
                    self.indices[stream][i][t] *= 3 if self.stage else 1
            elif self.stage:
                for n, (i, t) in enumerate(cells[name]):
                    contexts = self.tables[1][self.stage - 1][name]
                    self.indices[stream][i][t] = refined(coder, n % LANES, contexts, self.indices[stream][i][t])
            else:
                used = self.read_run(stream, name, cells[name], coder, escapes, used)
        return used

    def read_run(self, stream, name, cells, coder, escapes, used):
        low_bits = 0
        if name >= CLASSES:
            shape, spread = divmod(name - CLASSES, 24)
            low_bits, name = 1 + spread // 4, SPREADS * shape + 26 + spread % 4
        table, highs = self.tables[0][name], []
        for n in range(len(cells)):
            symbol = coder.take(n % LANES, table)
            high = unfolded(symbol)
            if symbol == len(table) - 1:
                code, used = escapes[used], used + 1
                high = (len(table) // 2 + code % 128) * (-1 if code >= 128 else 1)
                if code % 128 == 127:
                    (high,), used = struct.unpack_from("<h", escapes, used), used + 2
            highs.append(high)
        for n, (i, t) in enumerate(cells):
            low = coder.take(n % LANES, [SLOTS >> low_bits] * 2**low_bits) if low_bits else 0
            self.indices[stream][i][t] = (highs[n] << low_bits) + low - (2**low_bits >> 1)
        return used

    def rebuild(self, stream):
        """y [width][coded]."""
        number, out = self.first + stream, []
        sources = [] if self.profile.tier != 3 else self.profile.references(number)
        terms = [row for source in sources for row in self.decoded[source - self.first]]
        for i, column in enumerate(self.indices[stream]):
            out.append([])
            for t, n in enumerate(column):
                unit = self.unit if abs(n) == 1 and self.stage == 0 else 1
                value = n * self.step / 3**self.stage * self.scale[stream // 2][t] * unit
                if sources:
                    row, scale = self.profile.predictors[number][i], self.profile.scales[number][i]
                    value += sum(scale * factor * term[t] for factor, term in zip(row, terms))
                out[-1].append(value)
        return out

    def worst_error(self, truth):
        """Of coefficients that are coded at every stage, in steps; truth = the raw rows of all streams."""
        base, worst = self.base, 0
        for stream in range(base.streams):
            y = self.rebuild(stream)
            rows = truth[stream * base.tokens * base.width:]
            assert rows[:base.raw * base.width] == self.raw_rows[stream]
            for t in range(self.coded):
                x = rows[(base.raw + t) * base.width:(base.raw + t + 1) * base.width]
                exact = self.profile.coefficients(self.first + stream, x)
                step = self.step / 3**self.stage * self.scale[stream // 2][t]
                worst = max([worst] + [abs(exact[i] - y[i][t]) / step for i in range(base.width)
                                       if (stream, i, t) not in self.skipped])
        return worst


def decode_int8(frame):
    """Section 6."""
    out, at = [], 0
    for _ in range(frame.streams):
        rows = frame.tokens * frame.heads
        scales = struct.unpack_from(f"<{rows}e", frame.payload, at)
        levels = struct.unpack_from(f"<{rows * frame.dim}b", frame.payload, at + 2 * rows)
        out += [(level * scales[i // frame.dim], scales[i // frame.dim]) for i, level in enumerate(levels)]
        at += 2 * rows + rows * frame.dim
    return out


def read_top_table(payload, at):
    """(tops, frequencies with the escape's last, place after it) of section 4.4."""
    escape, at, tops, frequencies, top = payload[at], at + 1, [], [], 0
    while escape + sum(frequencies) < SLOTS:
        top, count, at = top + payload[at], payload[at + 1], at + 2
        tops += range(top, top + count)
        frequencies += payload[at:at + count]
        top, at = top + count, at + count
    return tops, frequencies + [escape], at


def decode_lossless(frame):
    """Section 4.4."""
    size, (whole, rest) = SIZES[frame.dtype], divmod(MANTISSAS[frame.dtype], 8)
    payload, values, channels = frame.payload, frame.tokens * frame.width, frame.streams * frame.width
    mode, groups, _, tables_size = struct.unpack_from("<BBHI", payload)
    if mode == 0:
        return payload[8:]
    at, tables = 8, []
    for _ in range(groups):
        tops, frequencies, at = read_top_table(payload, at)
        tables.append((tops, frequencies))
    assert at == 8 + tables_size
    bits = (groups - 1).bit_length()
    packed = int.from_bytes(payload[at:at + padded(bits * channels, 8) // 8], "little")
    group_of = [packed >> bits * i & 2**bits - 1 for i in range(channels)]
    at = padded(at + padded(bits * channels, 8) // 8, 4)
    counts = [struct.unpack_from("<II", payload, at + 8 * s) for s in range(frame.streams)]
    lanes, states_at = min(LANES, frame.tokens), at + 8 * frame.streams
    words_at = states_at + 4 * lanes * frame.streams
    escapes_at = words_at + 2 * sum(words for words, _ in counts)
    at, out = escapes_at + 2 * sum(escapes for _, escapes in counts), b""
    for stream, (words, escapes) in enumerate(counts):
        coder = Lanes(struct.unpack_from(f"<{lanes}I", payload, states_at + 4 * lanes * stream),
                      struct.unpack_from(f"<{words}H", payload, words_at))
        escaped = iter(struct.unpack_from(f"<{escapes}H", payload, escapes_at))
        words_at, escapes_at = words_at + 2 * words, escapes_at + 2 * escapes
        codes = [0] * values
        for channel in range(frame.width):
            tops, frequencies = tables[group_of[stream * frame.width + channel]]
            for token in range(frame.tokens):
                symbol = coder.take(token % LANES, frequencies)
                codes[token * frame.width + channel] = (tops[symbol] if symbol < len(tops) else next(escaped)) << MANTISSAS[frame.dtype]
        coder.finish()
        assert next(escaped, None) is None
        for i in range(values):
            for plane in range(whole):
                codes[i] |= payload[at + plane * values + i] << 8 * plane
            packed = int.from_bytes(payload[at + whole * values + i // 8 * rest:][:rest], "little")
            codes[i] |= (packed >> i % 8 * rest & 2**rest - 1) << 8 * whole
        at += whole * values + (values + 7) // 8 * rest
        out += b"".join(code.to_bytes(size, "little") for code in codes)
    assert at == len(payload)
    return out
