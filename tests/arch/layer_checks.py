"""The layer diagram as a table, and the doors by which other people's code enters. Both are law: a new arrow is a change here first."""

import re

from tree import Finding

CPP = (".h", ".cc", ".cu", ".cuh")

# Folder: the folders it may include beside itself. The longest folder that contains a file counts.
LAYERS = {
    "base": [],
    "kernels": ["base", "kernels/ref", "kernels/avx2", "kernels/avx512"],
    "kernels/ref": ["base", "kernels"],
    "kernels/avx2": ["base", "kernels"],
    "kernels/avx512": ["base", "kernels"],
    "kernels/cuda": ["base", "kernels"],
    "codec": ["base", "kernels", "kernels/ref"],
    "codec/calibration": ["base", "kernels", "codec"],
    "transport": ["base"],
    "transport/tcp": ["base", "transport"],
    "transport/ucx": ["base", "transport"],
    "transport/shm": ["base", "transport"],
    "transport/sim": ["base", "transport"],
    "transport/nccl": ["base", "transport", "kernels/cuda"],
    "scheduler": ["base"],
    "scheduler/sim": ["base", "scheduler"],
    "metrics": ["base"],
    "metrics/prometheus": ["base", "metrics"],
    "metrics/page": ["base", "metrics"],
    "integration": None,
    "tests": None,
}

# Header pattern: the places that may include it. tests/ may include any of these.
DOORS = [
    (r"boost/beast(/|\.hpp)", ["integration/"]),
    (r"boost/context/", ["kernels/cuda/"]),
    (r"boost/asio/ssl", ["transport/tcp/tls_context.h"]),
    (r"boost/", ["transport/asio.h"]),
    (r"openssl/", ["transport/tcp/"]),
    (r"(ucp|ucs|uct|ucm)/", ["transport/ucx/"]),
    (r"nccl\.h|cuda", ["transport/nccl/", "kernels/cuda/"]),
    (r"prometheus/", ["metrics/prometheus/"]),
    (r"CLI/|toml\+\+/|nlohmann/|(llama|gguf|ggml[a-z-]*)(-cpp)?\.h", ["integration/"]),
    (r"fmt/", ["integration/"]),
    (r"Eigen/", ["codec/calibration/matrix."]),
    (r"xxhash\.h", ["base/", "kernels/", "transport/"]),
    (r"([a-z0-9]*mmintrin|x86intrin|immintrin|cpuid)\.h", ["kernels/avx2/", "kernels/avx512/"]),
    (r"(sys|arpa|net|netinet|linux)/|(unistd|fcntl|poll|signal|dlfcn|sched|pthread|spawn|netdb|termios|getopt|syslog)\.h",
     ["transport/", "metrics/prometheus/", "metrics/page/", "integration/"]),
    (r"std(def|int)\.h", ["integration/capi/sluice.h"]),
    (r"gtest/|gmock/|benchmark/|htscodecs/|zstd\.h", []),
]

STANDARD = set("""algorithm any array atomic barrier bit bitset cassert cctype cerrno cfenv cfloat charconv chrono cinttypes climits clocale
cmath codecvt compare complex concepts condition_variable coroutine csetjmp csignal cstdarg cstddef cstdint cstdio cstdlib cstring ctime
cuchar cwchar cwctype deque exception execution filesystem forward_list fstream functional future initializer_list iomanip ios iosfwd
iostream istream iterator latch limits list locale map memory memory_resource mutex new numbers numeric optional ostream queue random
ranges ratio regex scoped_allocator semaphore set shared_mutex source_location span sstream stack stdexcept stop_token streambuf string
string_view strstream syncstream system_error thread tuple type_traits typeindex typeinfo unordered_map unordered_set utility valarray
variant vector version""".split())


def layer_of(path):
    """The longest entry of LAYERS that contains the path; None outside of all."""
    parts = path.split("/")[:-1]
    for end in range(len(parts), 0, -1):
        if "/".join(parts[:end]) in LAYERS:
            return "/".join(parts[:end])
    return None


def check_layers(tree):
    """Every quoted include names a file of the tree, from its root, in a folder that the including folder may see."""
    known = set(tree.files)
    for path in tree.with_suffix(*CPP):
        layer = layer_of(path)
        if layer is None:
            yield Finding(path, 1, "layers", "lies in no folder of the layer table (tests/arch/layer_checks.py)")
            continue
        for include in tree.includes(path):
            if include.is_system:
                continue
            if include.name not in known:
                yield Finding(path, include.line, "layers", f'"{include.name}" is no file of the tree, named from its root')
                continue
            target, allowed = layer_of(include.name), LAYERS[layer]
            if target != layer and (target == "tests" or allowed is not None and target not in allowed):
                yield Finding(path, include.line, "layers", f"{layer} may not include {target} ({include.name})")


def check_doors(tree):
    """Every angle include is the C++ standard library's or comes in by its door."""
    doors = [(re.compile(pattern), places) for pattern, places in DOORS]
    for path in tree.with_suffix(*CPP):
        for include in tree.includes(path):
            if not include.is_system or include.name in STANDARD:
                continue
            places = next((places for pattern, places in doors if pattern.match(include.name)), None)
            if places is None:
                yield Finding(path, include.line, "doors", f"<{include.name}> is neither standard nor a known package; add a door first")
            elif not path.startswith(("tests/", *places)):
                where = " and ".join(["tests/", *places])
                yield Finding(path, include.line, "doors", f"<{include.name}> may be included only in {where}")
