"""Which loader a model path needs, and where the two models of the harness come from."""

import ctypes
import hashlib
import pathlib

import torch

from sluice.quality import gguf_file, weights_folder
from sluice.quality.environment import SETUP, Absent, cache_folder

MMAP_MAX, TRIM_THRESHOLD = -4, -1  # of glibc's mallopt
MODELS = {"smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf", "gemma3": "gemma-3-270m.Q4_K_M.gguf"}


def model_path(name):
    """A path, or one of MODELS. Errors: Absent when it is not there."""
    path = cache_folder() / "models" / MODELS[name] if name in MODELS else pathlib.Path(name)
    if not path.exists():
        raise Absent(f"no model at {path}: {SETUP} fetches {' and '.join(MODELS)}")
    return path


def load_model(name):
    """(Decoder, tokenizer) of a GGUF file or of a folder with config.json; one thread, so that sums repeat."""
    torch.set_num_threads(1)
    keep_memory()
    path = model_path(name)
    return (weights_folder if path.is_dir() else gguf_file).load(str(path))


def keep_memory():
    """Freed blocks stay with the process: else each large tensor is fresh pages, which took a third of a judgement's time."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for parameter, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1)):
            libc.mallopt(parameter, value)


def fingerprint(path):
    """Short name of a model's bytes: size and the first and last MiB."""
    path = pathlib.Path(path)
    digest = hashlib.sha256()
    for file in sorted(path.glob("*.safetensors")) if path.is_dir() else [path]:
        size = file.stat().st_size
        with open(file, "rb") as source:
            digest.update(str(size).encode() + source.read(1 << 20))
            source.seek(max(0, size - (1 << 20)))
            digest.update(source.read())
    return digest.hexdigest()[:12]
