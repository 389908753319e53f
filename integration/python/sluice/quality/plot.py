"""One SVG of a report: bits per value against mean KL and against p99, both axes logarithmic, Sluice's tiers as curves among its peers.

Written by hand, without a plotting library. Colours are told apart by people who see no red or no green, and each curve has its own mark.
"""

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT, PANEL_GAP = 1180, 560, 70
LEFT, RIGHT, TOP, BOTTOM = 74, 24, 78, 96
STRONG = {"Sluice T0": "#7a7f87", "Sluice T1": "#56b4e9", "Sluice T2": "#0072b2", "Sluice T3": "#003a63"}
PEERS = {"CacheGen as shipped": "#d55e00", "CacheGen paper": "#e69f00", "TurboQuant": "#009e73", "KIVI": "#cc79a7",
         "KVTC, 0 recent raw": "#8c6d31", "KVTC, 128 recent raw": "#c9b27c"}
OTHER = "#5b5b5b"
HIDDEN = ("bf16", "fp16")  # the noise floor, far to the right; nested levels are left out too, a little above the single ones
FLOOR = 1e-6


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis from `low` to `high`, drawn from pixel `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value):
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def decades(self):
        return [10.0**power for power in range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)]


def shown(document):
    return [scheme for scheme in document["schemes"] if scheme["family"] not in HIDDEN and not scheme["family"].endswith(" nested")]


def text(x, y, words, size=12, anchor="start", fill="#222", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}" {extra}>{escape(words)}</text>'


def line(x1, y1, x2, y2, stroke, extra=""):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" {extra}/>'


def grid(horizontal, vertical, title):
    out = [text((horizontal.start + horizontal.end) / 2, vertical.end - 14, title, 14, "middle", extra='font-weight="600"')]
    for value in (0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8):
        if horizontal.low <= value <= horizontal.high:
            x = horizontal.at(value)
            out += [line(x, vertical.start, x, vertical.end, "#e6e6e6"), text(x, vertical.start + 18, f"{value:g}", 11, "middle", "#555")]
    for value in vertical.decades():
        y = vertical.at(value)
        out += [line(horizontal.start, y, horizontal.end, y, "#e6e6e6"), text(horizontal.start - 8, y + 4, f"{value:g}", 11, "end", "#555")]
    out.append(text((horizontal.start + horizontal.end) / 2, vertical.start + 38, "bits per KV value, everything counted", 12, "middle", "#444"))
    out.append(line(horizontal.start, vertical.start, horizontal.end, vertical.start, "#888"))
    return out


def mark(x, y, colour, is_ours, note):
    shape = (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"' if is_ours else
             f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="white" stroke="{colour}" stroke-width="2"')
    return shape + f"><title>{escape(note)}</title></{'circle' if is_ours else 'rect'}>"


def panel(schemes, field, horizontal, vertical):
    """Curves and marks of all families; single points carry their name, curves are named at their cheapest point."""
    out, families = [], {}
    for scheme in schemes:
        families.setdefault(scheme["family"], []).append(scheme)
    for family, points in families.items():
        points = sorted(points, key=lambda point: point["bits_per_value"])
        colour, is_ours = STRONG.get(family) or PEERS.get(family, OTHER), family in STRONG
        places = [(horizontal.at(point["bits_per_value"]), vertical.at(max(point[field], FLOOR))) for point in points]
        if len(places) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            width = 2.6 if is_ours else 1.4
            out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" {"" if is_ours else "stroke-dasharray=" + chr(34) + "5 4" + chr(34)}/>')
        for (x, y), point in zip(places, points):
            out.append(mark(x, y, colour, is_ours, f"{point['scheme']}: {point['bits_per_value']:.3f} b/v, {field} {point[field]:.5f}"))
        x, y = places[0]
        is_right = x > horizontal.end - 90
        out.append(text(x + (-8 if is_right else 7), y - 8, family, 11, "end" if is_right else "start", colour,
                        'paint-order="stroke" stroke="white" stroke-width="3"' + (' font-weight="700"' if is_ours else "")))
    return out


def bounds(schemes, fields):
    bits = [scheme["bits_per_value"] for scheme in schemes]
    damage = [max(scheme[field], FLOOR) for scheme in schemes for field in fields]
    return 0.9 * min(bits), 1.15 * max(bits), 10 ** math.floor(math.log10(min(damage))), 1.5 * max(damage)


def as_svg(document):
    """The picture as text."""
    schemes, fields = shown(document), ("kl_mean", "kl_p99")
    least_bits, most_bits, least, most = bounds(schemes, fields)
    panel_width = (WIDTH - LEFT - RIGHT - PANEL_GAP) / 2
    title = f"Bits against damage: {document['model']}, {document['suite']}"
    facts = f"{len(document['texts'])} held-out texts, {document['context']} tokens coded, {document['judged_tokens']} tokens judged; lower left is better"
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, Helvetica, Arial, sans-serif">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', text(LEFT, 26, title, 18, extra='font-weight="700"'), text(LEFT, 46, facts, 12, fill="#555")]
    for number, (field, name) in enumerate(zip(fields, ("mean KL, nats a token", "p99 KL, nats a token"))):
        left = LEFT + number * (panel_width + PANEL_GAP)
        horizontal = Axis(least_bits, most_bits, left, left + panel_width)
        vertical = Axis(least, most, HEIGHT - BOTTOM + 20, TOP + 14)
        out += grid(horizontal, vertical, name) + panel(schemes, field, horizontal, vertical)
    return "\n".join(out + ["</svg>"]) + "\n"
