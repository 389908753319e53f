"""What the documents promise about the tree: the glossary's map, links between files, and a doc comment on each public declaration."""

import re

from tree import Finding

GLOSSARY = "docs/glossary.md"
# The words of the architecture; each needs a row in the glossary that names the file where it lives.
WORDS = ["request", "chunk", "unit", "tile", "stage", "level", "profile", "slot", "lease", "grant", "seal", "publish", "node", "peer", "path"]
ROW = re.compile(r"^\|\s*([^|]+?)\s*\|.*\|\s*`([^`]+)`\s*\|\s*$")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")
# A declaration at the left margin of a header: types, and functions (a name followed by its parameters).
TYPE = re.compile(r"^(?!struct std::)(?:class|struct|enum class|enum|union|concept)\s+(?:\[\[\w+\]\]\s+)?\w+[^;]*$")
NO_FUNCTION = "#|using|typedef|static_assert|namespace|template|extern|SLUICE_|}|//|struct std::|class std::"
FUNCTION = re.compile(r"^(?!" + NO_FUNCTION + r")[\w\[][\w:\[\]<>,*& ]*\b[\w~]+\(")


def check_glossary(tree):
    if GLOSSARY not in tree.files:
        yield Finding(GLOSSARY, 1, "glossary", "is missing: it maps each word of the architecture to its file")
        return
    rows = {}
    for number, line in enumerate(tree.lines(GLOSSARY), 1):
        match = ROW.match(line)
        if match:
            for word in match.group(1).split(","):
                rows[word.strip()] = (number, match.group(2))
    for word in WORDS:
        if word not in rows:
            yield Finding(GLOSSARY, 1, "glossary", f"has no row for '{word}'")
    for word, (number, path) in rows.items():
        if path not in tree.files:
            yield Finding(GLOSSARY, number, "glossary", f"'{word}' points at {path}, which is no file of the tree")
        elif word in WORDS and not re.search(word, tree.text(path), re.IGNORECASE):
            yield Finding(GLOSSARY, number, "glossary", f"{path} does not speak of '{word}'")


def check_links(tree):
    """Relative links of Markdown files lead to something."""
    for path in tree.with_suffix(".md"):
        folder = (tree.root / path).parent
        for number, line in enumerate(tree.lines(path), 1):
            for target in LINK.findall(line):
                if not re.match(r"[a-z]+:", target) and not (folder / target).exists():
                    yield Finding(path, number, "links", f"leads to {target}, which is not there")


def _documented(lines, index):
    """Whether the declaration at lines[index] has a doc comment, alone or as one of a group without blank lines."""
    for above in range(index - 1, -1, -1):
        line = lines[above]
        if line.startswith("///"):
            return True
        if not line.strip() or line.startswith(("namespace", "#")):
            return False
    return False


def check_doc_comments(tree):
    """Types and functions at namespace level of headers outside of tests carry a /// comment (members are the reviewer's)."""
    for path in tree.with_suffix(".h"):
        if path.startswith("tests/"):
            continue
        lines = tree.lines(path)
        inside_parameters = False
        for index, line in enumerate(lines):
            declares = not inside_parameters and (TYPE.match(line) or FUNCTION.match(line))
            if declares and not line.rstrip().endswith("///<") and "///<" not in line and not _documented(lines, index):
                yield Finding(path, index + 1, "doc-comment", f"no /// comment on: {line.strip()[:80]}")
            if line and not line[0].isspace():
                inside_parameters = line.count("(") > line.count(")")
            elif inside_parameters and line.count(")") > line.count("("):
                inside_parameters = False
