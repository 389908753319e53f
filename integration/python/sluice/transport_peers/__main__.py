"""`python transport_peers WHEELS NAME PORT`: moves the windows of `sluice bench transport` between two processes by another project's
engine, as that project's users call it from Python, and answers each line of the bench by "WALL_NS CPU_NS TRIP_NS RIGHT".

NAME is one of nixl, nixl-tuned, nixl-tcp, nixl-tcp-tuned, mooncake, mooncake-tuned. WHEELS is the folder where `./dev bench peers` has
unpacked their wheels. The measuring process reads (pulls) from the serving one, with one descriptor a fragment, as a paged cache has
them; preparing descriptors is not timed, posting and waiting are.
"""

import os
import pathlib
import random
import socket
import subprocess
import sys
import time

FRAGMENT, CHUNK, MESSAGE, TRIPS = 4 << 10, 1 << 20, 64 << 10, 64
WINDOW, WINDOWS = 16 << 20, 8
LIMIT_SECONDS = 20.0

# What each name sets: the environment, and what the engine's own module understands.
TUNED_SHM = {"UCX_TLS": "posix,self", "UCX_POSIX_ERROR_HANDLING": "y"}
NAMES = {
    "nixl": ({}, {"tuned": False}),
    "nixl-tuned": (TUNED_SHM, {"tuned": True}),
    "nixl-tcp": ({"UCX_TLS": "tcp"}, {"tuned": False}),
    "nixl-tcp-tuned": ({"UCX_TLS": "tcp", "UCX_TCP_TX_SEG_SIZE": "64k", "UCX_TCP_RX_SEG_SIZE": "256k"}, {"tuned": True}),
    "mooncake": ({}, {}),
    "mooncake-tuned": ({"MC_TCP_MAX_QUEUED_TRANSFERS_PER_PEER": "8192"}, {}),
}


def make_engine(name, settings, pool):
    if name.startswith("nixl"):
        import nixl_engine
        return nixl_engine.Engine(pool, **settings)
    import mooncake_engine
    return mooncake_engine.Engine(pool)


def make_pool(numpy):
    """The windows, and behind them MESSAGE bytes where the way there of a round trip begins and ends."""
    return numpy.random.Generator(numpy.random.PCG64(20)).integers(0, 1 << 63, (WINDOW * WINDOWS + MESSAGE) // 8, dtype=numpy.uint64)


def cpu_of(pid):
    """CPU seconds of another process: the number of its clock is made of its pid (clock_getcpuclockid)."""
    return time.clock_gettime((~pid << 3) | 2)


def say(line):
    print(line, flush=True)


def heard(stream, word):
    """What follows `word` in the line that begins with it; engines print lines of their own between ours."""
    for line in stream:
        if line.startswith(word):
            return line[len(word):].strip()
    raise EOFError(f"the serving process ended before it said {word}")


def serve(name):
    """The other process: says how it is reached, then helps with whatever its engine wants of a passive side."""
    import numpy
    pool = make_pool(numpy)
    engine = make_engine(name, NAMES[name][1], pool)
    say("card " + engine.card())
    engine.meet(sys.stdin.readline().strip())
    say("met")
    engine.serve(sys.stdin)
    os._exit(0)  # NIXL's wheel crashes in the interpreter's end


class Measuring:
    def __init__(self, name):
        import numpy
        self.numpy = numpy
        self.expected = make_pool(numpy)
        self.target = numpy.zeros_like(self.expected)
        self.engine = make_engine(name, NAMES[name][1], self.target)
        self.server = subprocess.Popen([sys.executable, *sys.argv[:3], "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        card = heard(self.server.stdout, "card ")
        self.tell(self.engine.card())
        self.engine.meet(card)
        heard(self.server.stdout, "met")
        self.count = 0
        order = list(range(WINDOW // FRAGMENT))
        random.Random(20).shuffle(order)
        self.order = order

    def tell(self, line):
        self.server.stdin.write(line + "\n")
        self.server.stdin.flush()

    def measure(self, shape):
        begin = self.count % WINDOWS * WINDOW
        self.count += 1
        if shape == "round_trip":
            return self.trips(begin)
        places = [begin + at * FRAGMENT for at in self.order] if shape == "fragments" else list(range(begin, begin + WINDOW, CHUNK))
        prepared = self.engine.prepare(places, FRAGMENT if shape == "fragments" else CHUNK)
        cpu, wall = time.process_time() + cpu_of(self.server.pid), time.perf_counter()
        self.engine.read(prepared, time.monotonic() + LIMIT_SECONDS)
        wall, cpu = time.perf_counter() - wall, time.process_time() + cpu_of(self.server.pid) - cpu
        self.engine.release(prepared)
        words = slice(begin // 8, (begin + WINDOW) // 8)
        right = self.numpy.array_equal(self.target[words], self.expected[words])
        self.target[words] = 0
        return wall, cpu, 0.0, right

    def trips(self, begin):
        self.tell(f"trips {begin}")
        heard(self.server.stdout, "ready")
        times = []
        cpu, wall = time.process_time() + cpu_of(self.server.pid), time.perf_counter()
        for trip in range(TRIPS):
            started = time.perf_counter()
            self.engine.trip(begin + trip * MESSAGE, MESSAGE, time.monotonic() + LIMIT_SECONDS)
            times.append(time.perf_counter() - started)
        wall, cpu = time.perf_counter() - wall, time.process_time() + cpu_of(self.server.pid) - cpu
        words = slice(begin // 8, (begin + TRIPS * MESSAGE) // 8)
        right = self.numpy.array_equal(self.target[words], self.expected[words])
        self.target[words] = 0
        return wall, cpu, sorted(times)[TRIPS // 2], right


def main():
    wheels, name, port = sys.argv[1], sys.argv[2], sys.argv[3]
    sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), wheels]
    os.environ.update(NAMES[name][0])
    if port == "serve":
        serve(name)
    measuring = Measuring(name)
    bench = socket.create_connection(("127.0.0.1", int(port)))
    lines = bench.makefile("rw")
    lines.write(f"ready {name} {measuring.engine.version()}\n")
    lines.flush()
    for line in lines:
        try:
            wall, cpu, trip, right = measuring.measure(line.strip())
            answer = f"{int(wall * 1e9)} {int(cpu * 1e9)} {int(trip * 1e9)} {int(right)}"
        except Exception as failure:  # the engine's own: it is the answer
            answer = f"error {type(failure).__name__} {failure}".replace("\n", " ")
            print(answer, flush=True)
        lines.write(answer + "\n")
        lines.flush()
    measuring.server.kill()
    os._exit(0)


if __name__ == "__main__":
    main()
