"""The report as a terminal table and as Markdown for docs/benchmarks; both from the JSON document alone."""

import math

COLUMNS = (
    ("scheme", "scheme", "{}"), ("b/v", "bits_per_value", "{:.3f}"), ("KL mean", "kl_mean", "{:.5f}"), ("median", "kl_median", "{:.5f}"),
    ("p99", "kl_p99", "{:.4f}"), ("p99.9", "kl_p999", "{:.3f}"), ("max", "kl_max", "{:.3f}"), ("top-1", "top1", "{:.3f}"),
    ("ppl %", "perplexity_change_percent", "{:+.2f}"), ("right", "right_share", "{:.3f}"),
)
ROW_NAMES = {
    "row1": "1: CacheGen as shipped", "row2": "2: CacheGen's paper, step 0.25", "row3": "3: TurboQuant 4 bit", "row4": "4: q4_0",
    "row5": "5: KVTC near 1.5 b/v", "row5-low": "5: KVTC near 0.75 b/v", "row6": "6: q8_0 (transparent)",
}


def scheme_rows(document):
    return [[form.format(scheme[key]) for _, key, form in COLUMNS] for scheme in document["schemes"]]


def aligned(head, rows):
    """Lines of a table, the first column to the left and the others to the right."""
    widths = [max(len(line[column]) for line in [head, *rows]) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) if number == 0 else cell.rjust(width)
                      for number, (cell, width) in enumerate(zip(line, widths))) for line in [head, *rows]]


def number(x, form="{:.1f}"):
    return "-" if x is None or math.isnan(x) else form.format(x)


def verdict(answer):
    """How an answer stands to its bar."""
    bar = answer.get("bar") or answer.get("bar_bits")
    if bar is None:
        return ""
    value = answer["percent"] if answer.get("bar") else answer["bits"]
    return "holds" if not math.isnan(value) and value <= bar else "falls short"


def promise_rows(document):
    """Rows 1 to 6: promise, tier, bits, share with interval, bar, verdict."""
    rows = []
    for row, name in ROW_NAMES.items():
        for tier, answer in document["rows"].get(row, {}).items():
            sign = {"at": "", "below": "<= ", "never": "not reached"}[answer["exactness"]]
            share = sign if sign == "not reached" else f"{sign}{number(answer['percent'])} %"
            low, high = answer["interval"]
            bar = f"{answer['bar']} %" if answer.get("bar") else f"{answer['bar_bits']} b/v" if answer.get("bar_bits") else ""
            rows.append([name, tier, number(answer["peer_bits"], "{:.3f}"), number(answer["bits"], "{:.3f}"), share,
                         f"{number(low)}..{number(high)}", bar, verdict(answer)])
    return rows


PROMISE_HEAD = ["at the damage of", "tier", "its b/v", "Sluice b/v", "share", "95 %", "bar", ""]


def lossless_rows(document):
    rows = []
    for dtype, answer in document["rows"].get("row7", {}).items():
        peers = [number(answer["peers"][name], "{:.3f}") for name in ("zlib -9", "zstd -19", "ZipNN's method")]
        is_met = answer["bits"] <= answer["bar_bits"] and answer["over_best_peer"] < 1
        rows.append([dtype, number(answer["bits"], "{:.3f}"), *peers, str(answer["bar_bits"]), "holds" if is_met else "falls short"])
    return rows


def stated_rows(document):
    """What profiles state of their levels beside what was measured here: scheme, bits, mean KL, p99, each stated and measured."""
    measured = {scheme["scheme"]: scheme for scheme in document["schemes"]}
    rows = []
    for name, stated in document.get("promises", {}).items():
        found = measured[name]
        p99 = number(stated["kl_p99"], "{:.4f}") if stated["kl_p99"] else "-"
        rows.append([name, f"{stated['bits_per_value']:.3f}", f"{found['bits_per_value']:.3f}", f"{stated['kl_mean']:.5f}",
                     f"{found['kl_mean']:.5f}", p99, f"{found['kl_p99']:.4f}", f"{found['kl_mean'] / stated['kl_mean']:.2f}"])
    return rows


STATED_HEAD = ["level", "b/v stated", "measured", "KL mean stated", "measured", "p99 stated", "measured", "KL ratio"]
LOSSLESS_HEAD = ["lossless", "Sluice b/v", "zlib -9", "zstd -19", "ZipNN", "bar", ""]


def tables(document):
    """(title, head, rows) of each table that has rows."""
    title = (f"{document['model']}, {document['suite']}: {document['context']} tokens coded, {document['judged_tokens']} judged, "
             f"{len(document['texts'])} texts")
    found = [(title, [name for name, _, _ in COLUMNS], scheme_rows(document))]
    found.append(("Bits at a peer's mean KL and p99", PROMISE_HEAD, promise_rows(document)))
    found.append(("What profiles state of their levels, and what was measured on these texts", STATED_HEAD, stated_rows(document)))
    found.append(("Lossless", LOSSLESS_HEAD, lossless_rows(document)))
    return [table for table in found if table[2]]


def as_text(document):
    return "\n\n".join("\n".join([title, *aligned(head, rows)]) for title, head, rows in tables(document))


def markdown_table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


INTRODUCTION = """# Quality: bits against damage

How many bits Sluice needs for the damage that other ways to send a KV cache do. Every scheme codes the same caches of the same texts; the
model then predicts the same tokens on what came back, in float32. KL is that of the untouched cache's predictions to the scheme's, in nats
a token. Bits (b/v: per value of K and V; bf16 is 16) are all that a receiver needs beside a model's profile: headers, tables, raw tokens,
digests; Sluice's are sizes of real files. Texts are of kinds that neither calibrated anything nor chose a setting. Profiles and their
tiers T1 to T3 are explained in [calibration.md](../calibration.md); T0 needs none.

This page and quality.json beside it are made by `./dev quality page`, which measures, or by `./dev quality report` from measured JSON; do
not edit. `./dev claims run 'codec.1-T*'` (2 to 6 likewise) holds the figures against their bars.
"""

READING = """## How to read the tables

"Share" is Sluice's bits, where its curve comes down to a peer's mean KL *and* p99, in percent of the peer's bits; `<=` where even Sluice's
cheapest level does less damage than the peer. Intervals: bootstrap over texts and tokens, 95 %. KVTC is quoted with and without the 128 raw
tokens that its paper keeps. "right": how often the likeliest token is the text's next one.

With a model of your own (Llama, Qwen2, Qwen3 or Gemma 3 shape; GGUF, or safetensors with config.json and tokenizer.json):

```
./dev quality setup
./dev quality compare --model FOLDER --text FILE --text FILE
./dev quality dump OUT.safetensors --model FOLDER --text FILE     # what `sluice codec calibrate --kv` reads
```
"""


def short_name(document):
    suite = "" if document["suite"] == "text" else f"{document['suite']}, "
    return f"{document['model'].split('-')[0]}, {suite}{len(document['texts'])} texts"


def summary(documents):
    """One table over all reports: a row a promise and tier, a column a report; "-" where a report did not ask."""
    judged = [document for document in documents if document["schemes"]]
    lines = {}
    for column, document in enumerate(judged):
        for row in promise_rows(document):
            name, tier, _, bits, share, _, bar, answer = row
            value = (bits + " b/v" if bar.endswith("b/v") and bits != "-" else share) + (f" ({answer})" if answer == "falls short" else "")
            lines.setdefault((name, tier), ["-"] * len(judged) + [""])[column] = value
            lines[name, tier][-1] = bar or lines[name, tier][-1]
    head = ["at the damage of", "tier", *map(short_name, judged), "bar"]
    order = {name: place for place, name in enumerate(ROW_NAMES.values())}
    return markdown_table(head, [[name, tier, *lines[name, tier]] for name, tier in sorted(lines, key=lambda key: (order[key[0]], key[1]))])


def facts(document):
    formats = ", ".join(f"{name} {version}" for name, version in document.get("formats", {}).items())
    made = f"Commit {document['commit']}, format versions: {formats}. " if formats else ""
    return f"{made}Machine: {document['machine']}. Command: `{document['command']}`"


def as_markdown(documents, plots):
    """documents: reports; plots: the name of each one's picture, or None."""
    parts = [INTRODUCTION, "## In short\n\nSluice's bits in percent of a peer's, at the peer's mean KL and p99:", summary(documents), READING]
    for document, plot in zip(documents, plots):
        parts.append(f"## {document['model']}: {document['suite']}\n\n{facts(document)}")
        kinds = ", ".join(sorted({text["kind"] for text in document["texts"]}))
        parts.append(f"Judged on: {kinds} ({', '.join(sorted(document['packages'].values()))}).")
        if plot:
            parts.append(f"![b/v against KL]({plot})")
        for title, head, rows in tables(document):
            parts.append(f"**{title}**\n\n{markdown_table(head, rows)}")
    return "\n\n".join(parts) + "\n"
