"""Where the opt-in environment lies: the cache folder that all clones share, and the wheels unpacked in it.

Invariant: nothing is imported from a folder that `./dev quality setup` did not fill with files of pinned hashes.
"""

import importlib.util
import os
import pathlib
import sys

SETUP = "./dev quality setup"
MODULES = ("numpy", "scipy", "torch", "zstandard", "gguf", "tokenizers")


class Absent(Exception):
    """Something that the environment should have is not there; one line that says which command brings it."""


def cache_folder():
    """The folder of ./dev: SLUICE_CACHE, else $XDG_CACHE_HOME/sluice, else ~/.cache/sluice."""
    if os.environ.get("SLUICE_CACHE"):
        return pathlib.Path(os.environ["SLUICE_CACHE"]).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "sluice"


def quality_folder():
    """Wheels, texts, dumps and profiles of the harness."""
    return cache_folder() / "quality"


def require():
    """Makes the wheels importable. Errors: Absent naming what is missing."""
    wheels = str(quality_folder() / "wheels")
    if wheels not in sys.path:
        sys.path.append(wheels)
    missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise Absent(f"{sys.executable} lacks {', '.join(missing)}: run {SETUP} (and use Debian's /usr/bin/python3)")
