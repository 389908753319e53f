"""Builds the static libllama that the llama.cpp engine links, once per machine, as a CMake package in the cache.

The library must be one and the same for prefill, decode and reference: other builds give other last bits and other greedy tokens.
So it is built for a fixed instruction set (not the build machine's own), without OpenMP, and a stamp names source, flags and compiler;
any change of these builds anew, beside the old one until the new one is whole.
"""

import json
import pathlib
import shutil
import subprocess
import tarfile

from phases import Failure, run_logged

NEEDED = ("CMakeLists.txt", "LICENSE", "cmake/", "include/", "src/", "ggml/", "vendor/")
ROOT_IN_ARCHIVE = "vendor/llama.cpp/"
FLAGS = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DCMAKE_POSITION_INDEPENDENT_CODE=ON",
    "-DGGML_OPENMP=OFF",
    "-DGGML_NATIVE=OFF",
    "-DGGML_CCACHE=OFF",
    *(f"-DLLAMA_BUILD_{part}=OFF" for part in ("COMMON", "TESTS", "EXAMPLES", "TOOLS", "SERVER", "APP")),
]
# ggml's default for x86-64 without GGML_NATIVE needs these; a processor without AVX2 gets none of them.
WIDE_X86 = ["-DGGML_AVX=OFF", "-DGGML_AVX2=OFF", "-DGGML_FMA=OFF", "-DGGML_F16C=OFF", "-DGGML_BMI2=OFF"]


def extract_sources(archive, target):
    """Writes the needed 38 of the archive's 217 MB below target. Paths that would leave it are refused."""
    with tarfile.open(archive) as source:
        for member in source:
            _, _, inner = member.name.partition("/")
            if not inner.startswith(ROOT_IN_ARCHIVE) or not (member.isfile() or member.issym()):
                continue
            path = inner[len(ROOT_IN_ARCHIVE):]
            if not path.startswith(NEEDED) or ".." in pathlib.PurePosixPath(path).parts or member.issym():
                continue
            output = target / path
            output.parent.mkdir(parents=True, exist_ok=True)
            with source.extractfile(member) as data, open(output, "wb") as sink:
                shutil.copyfileobj(data, sink)


def processor_flags(cpuinfo="/proc/cpuinfo"):
    """Flags that this processor needs beside FLAGS."""
    try:
        words = pathlib.Path(cpuinfo).read_text(encoding="utf-8").split()
    except OSError:
        return []
    return WIDE_X86 if "sse2" in words and "avx2" not in words else []


def stamp_of(artifact, flags):
    """What the library depends on; equal stamps mean an equal library."""
    compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True, check=False).stdout.partition("\n")[0]
    return json.dumps({"source": artifact.sha256, "flags": flags, "compiler": compiler}, indent=1)


def is_current(prefix, stamp):
    written = prefix / "sluice-stamp.json"
    package = prefix / "lib/cmake/llama/llama-config.cmake"
    return package.exists() and written.exists() and written.read_text(encoding="utf-8") == stamp


def build(archive, cache, stamp, flags, jobs):
    """Builds and installs into cache/llama; the folders used on the way are removed when it is done.

    Errors: Failure with the end of the compiler's output; the log stays in the cache.
    """
    work, prefix, fresh = cache / "llama-work", cache / "llama", cache / "llama-new"
    for folder in (work, fresh):
        shutil.rmtree(folder, ignore_errors=True)
    extract_sources(archive, work / "source")
    if not (work / "source/CMakeLists.txt").exists():
        raise Failure(f"{archive} holds no llama.cpp sources where they are expected")
    launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache", "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    configure = ["cmake", "-G", "Ninja", "-S", str(work / "source"), "-B", str(work / "build"), f"-DCMAKE_INSTALL_PREFIX={prefix}"]
    run_logged(configure + launcher + flags, cache / "llama-configure.log", "configuring llama.cpp")
    run_logged(["cmake", "--build", str(work / "build"), "-j", str(jobs)], cache / "llama-build.log", "building llama.cpp")
    # The package's files name their place relative to themselves, so it can be installed aside and then moved.
    install = ["cmake", "--install", str(work / "build"), "--prefix", str(fresh)]
    run_logged(install, cache / "llama-install.log", "installing llama.cpp")
    (fresh / "sluice-stamp.json").write_text(stamp, encoding="utf-8")
    shutil.rmtree(prefix, ignore_errors=True)
    fresh.rename(prefix)
    shutil.rmtree(work, ignore_errors=True)
