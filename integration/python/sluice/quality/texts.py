"""Texts for calibration and for judging, out of Debian packages: fetched by apt into the cache folder, never committed.

Invariant: no package gives both a calibration text and a test text, so a figure is never reported on a kind of text that tuned it.
"""

import gzip
import pathlib
import re
import subprocess
from dataclasses import dataclass

from sluice.quality.environment import Absent, quality_folder


@dataclass(frozen=True)
class Passage:
    """A file in a Debian package, read from character `first` on; kind names the sort of text in tables."""

    kind: str
    package: str
    path: str
    first: int

    @property
    def name(self):
        return re.sub(r"\W+", "-", f"{self.kind} {pathlib.PurePath(self.path).name} {self.first}")


JARGON, REFERENCE = "usr/share/dictd/jargon.dict.dz", "usr/share/debian-reference/debian-reference.en.txt.gz"
PYTHON_FILES = ("xml/dom/minidom.py", "tarfile.py", "mailbox.py", "imaplib.py", "turtle.py", "doctest.py")
# The first of each sort are those of the design's prototype.
CALIBRATION = tuple(
    [Passage("jargon", "dict-jargon", JARGON, 1000 * first) for first in (300, 400, 500, 700, 800, 330, 410, 490)]
    + [Passage("manual", "debian-reference-en", REFERENCE, 1000 * first) for first in (50, 300, 400, 500, 100, 180, 260, 340)]
    + [Passage("python", "libpython3.11-stdlib", f"usr/lib/python3.11/{path}", 3000) for path in PYTHON_FILES])
# Of the calibration's kinds, but other passages: for measuring a profile's levels while it is made.
TUNING = (
    Passage("jargon", "dict-jargon", JARGON, 600000), Passage("manual", "debian-reference-en", REFERENCE, 480000),
    Passage("python", "libpython3.11-stdlib", "usr/lib/python3.11/ftplib.py", 0),
)
# Judged on, never calibrated on and never used to choose a setting.
HELD_OUT = (
    Passage("C header", "libc6-dev", "usr/include/stdio.h", 3000),
    Passage("HTML", "valgrind", "usr/share/doc/valgrind/html/manual-core.html", 20000),
    Passage("quotations", "fortunes-min", "usr/share/games/fortunes/literature", 2000),
    Passage("man page", "manpages-dev", "usr/share/man/man2/ptrace.2.gz", 6000),
    Passage("JavaScript", "libjs-jquery", "usr/share/javascript/jquery/jquery.js", 40000),
    Passage("statutes", "doc-debian", "usr/share/doc/debian/constitution.txt.gz", 1500),
    Passage("C header", "libc6-dev", "usr/include/elf.h", 30000),
    Passage("HTML", "valgrind", "usr/share/doc/valgrind/html/mc-manual.html", 30000),
    Passage("quotations", "fortunes-min", "usr/share/games/fortunes/riddles", 3000),
    Passage("man page", "manpages-dev", "usr/share/man/man3/printf.3.gz", 5000),
)
# Long enough for 4K tokens and more; for the retrieval test.
LONG = (
    Passage("statutes", "doc-debian", "usr/share/doc/debian/constitution.txt.gz", 0),
    Passage("HTML", "valgrind", "usr/share/doc/valgrind/html/manual-core.html", 0),
)


def fetch_package(package):
    """The folder with the unpacked package. Errors: Absent when apt does not deliver it."""
    folder = quality_folder() / "texts" / package
    if (folder / "complete").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    ran = subprocess.run(["apt-get", "-q", "download", package], cwd=folder, capture_output=True, text=True, check=False)
    archives = sorted(folder.glob("*.deb"))
    if ran.returncode != 0 or not archives:
        raise Absent(f"apt delivers no package {package}: check the network, run apt-get update, then again")
    subprocess.run(["dpkg", "-x", str(archives[-1]), str(folder)], check=True)
    (folder / "complete").write_text(archives[-1].name, encoding="utf-8")
    for archive in archives:
        archive.unlink()
    return folder


def read_file(path, first=0, characters=None):
    """Plain or gzipped text."""
    opener = gzip.open if pathlib.Path(path).suffix in (".gz", ".dz") else open
    with opener(path, "rb") as file:
        text = file.read().decode("utf8", "replace")
    return text[first:None if characters is None else first + characters]


def own(path):
    """A file of the user's as a passage; it belongs to no package."""
    return Passage(pathlib.PurePath(path).name, "", str(path), 0)


def read_passage(passage, at_least=12000):
    """Characters from the passage's first on; fewer where the file ends."""
    path = (fetch_package(passage.package) / passage.path).resolve() if passage.package else passage.path
    return read_file(path, passage.first, at_least)


def tokens_of(tokenizer, text, count, name):
    """The first `count` tokens. Errors: ValueError when the text is shorter."""
    tokens = tokenizer.encode(text)[:count]
    if len(tokens) < count:
        raise ValueError(f"{name}: only {len(tokens)} of {count} tokens")
    return tokens


def fetched_versions(passages):
    """Package to the name of its archive: which text it really was."""
    return {p.package: (fetch_package(p.package) / "complete").read_text(encoding="utf-8") for p in passages if p.package}
