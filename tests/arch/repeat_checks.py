"""Nothing is written twice: the same run of code lines may not stand in two places of the product's sources.

Blank lines, comments, includes, braces and namespaces do not count; names and numbers do. Tests are held to the same law.
"""

import re

from tree import Finding

WINDOW = 12
TRIVIAL = re.compile(r"^(#|//|/\*|\*|\}|\{|\)|namespace|public:|private:|protected:|using |import |from |else|break;|return;|default:)")


def _code_lines(tree, path):
    comment = "#" if path.endswith((".py", ".sh", ".cmake", "CMakeLists.txt")) else "//"
    for number, line in enumerate(tree.lines(path), 1):
        text = " ".join(line.split(comment)[0].split()) if comment == "//" else " ".join(line.split())
        if len(text) > 8 and not TRIVIAL.match(text):
            yield number, text


def check_repeats(tree):
    seen = {}
    for path in tree.with_suffix(".h", ".cc", ".cu", ".py", ".sh"):
        rows = list(_code_lines(tree, path))
        last_reported = 0
        for start in range(len(rows) - WINDOW + 1):
            key = tuple(text for _, text in rows[start:start + WINDOW])
            first = seen.setdefault(key, (path, rows[start][0]))
            if first != (path, rows[start][0]) and start >= last_reported:
                last_reported = start + WINDOW
                yield Finding(path, rows[start][0], "repeat", f"{WINDOW} lines of code stand already at {first[0]}:{first[1]}")
