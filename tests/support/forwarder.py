#!/usr/bin/env python3
"""A userspace TCP forwarder that makes one fault in one direction of a link, at a place that is exact and repeatable.

It follows the frames of the protocol (64-byte header: type at byte 5, payload length at 36), so that a fault can hit
"the 3rd DATA frame's payload" and not only an offset. Directions: `up` is from who connected towards the target, `down`
is back. Faults: flip one bit, stall (keep the connection, pass nothing on), cut (reset), rate limit, swallow one frame.
As a program it prints one JSON line `{"ready": "HOST:PORT"}` and one for each fault that happened; as a module: Forwarder.
"""

import argparse
import dataclasses
import json
import random
import selectors
import socket
import struct
import sys
import threading
import time

HEADER = 64
TYPES = {"hello": 1, "hello_ack": 2, "announce": 8, "open": 9, "open_ack": 10, "offer": 12, "grant": 13, "data": 14, "seal": 15,
         "done": 16, "ping": 32, "pong": 33}
CHUNK = 65536
RATE_TICK_SECONDS = 0.002


@dataclasses.dataclass
class Fault:
    """What happens, in which direction, and where: at byte `offset` of the direction; or, with `frame`, at that byte of
    the header or the payload of the `count`-th frame of this type (and of the `repeat` - 1 after it)."""
    kind: str  # flip, stall, cut
    direction: str = "down"
    offset: int = 0
    frame: str = ""
    count: int = 1
    part: str = "payload"
    bit: int = 0
    repeat: int = 1


class Direction:
    """Bytes of one connection in one direction: what came, what waits to be sent, and the fault, if it is here."""

    def __init__(self, source, target, fault, rate):
        self.source, self.target, self.fault, self.rate = source, target, fault, rate
        self.inbox = bytearray()  # not judged yet: a header in pieces waits for its end
        self.payload_left = 0
        self.frames_seen = 0
        self.passed = 0
        self.hits = [fault.offset] if fault and not fault.frame else []  # positions in the stream
        self.waiting = bytearray()
        self.allowance, self.refilled = 0.0, time.monotonic()
        self.is_stalled = False
        self.is_paused = False
        self.is_healed = False

    def take(self, data, happened):
        """Applies the fault to what came; `happened(text)` reports one. Returns "cut" when the connection must end."""
        if not self.fault or not self.fault.frame:
            return self.pass_on(bytearray(data), happened)
        self.inbox += data
        while self.inbox:
            if not self.payload_left and len(self.inbox) < HEADER:
                return None
            step = min(self.payload_left, len(self.inbox)) if self.payload_left else HEADER
            piece = self.inbox[:step]
            del self.inbox[:step]
            if self.payload_left:
                self.payload_left -= step
            else:
                self.judge(piece)
            if (end := self.pass_on(piece, happened)) or self.is_stalled:
                return end
        return None

    def judge(self, header):
        length = struct.unpack_from("<I", header, 36)[0]
        self.payload_left = length
        if header[5] != TYPES[self.fault.frame]:
            return
        self.frames_seen += 1
        if not self.fault.count <= self.frames_seen < self.fault.count + self.fault.repeat:
            return
        if self.fault.part == "header":
            self.hits.append(self.passed + self.fault.offset % HEADER)
        elif length:
            self.hits.append(self.passed + HEADER + self.fault.offset % length)

    def pass_on(self, data, happened):
        while self.hits and self.hits[0] < self.passed + len(data):
            at = self.hits.pop(0) - self.passed
            where = f"{self.fault.part} of {self.fault.frame} frame {self.frames_seen}" if self.fault.frame else "stream"
            if self.is_healed:
                continue
            happened(f"{self.fault.kind} {self.fault.direction} at byte {self.passed + at}, {where}")
            if self.fault.kind == "flip":
                data[at] ^= 1 << self.fault.bit
                continue
            self.waiting += data[:at]
            self.is_stalled = True
            return "cut" if self.fault.kind == "cut" else None
        self.waiting += data
        self.passed += len(data)
        return None

    def budget(self):
        """Bytes that may be sent now."""
        if not self.rate:
            return len(self.waiting)
        now = time.monotonic()
        burst = max(self.rate * RATE_TICK_SECONDS * 4, 1500.0)
        self.allowance = min(burst, self.allowance + (now - self.refilled) * self.rate)
        self.refilled = now
        return min(len(self.waiting), int(self.allowance))


class Forwarder:
    """Listens on a port of the loopback and joins each connection to `target`. Its thread ends with close()."""

    def __init__(self, target, fault=None, rate_bits=0, report=None):
        self.target, self.fault, self.rate = target, fault, rate_bits / 8
        self.happened = []
        self.report = report
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.wake_read, self.wake_write = socket.socketpair()
        self.selector.register(self.wake_read, selectors.EVENT_READ, "wake")
        self.pairs = []
        self.is_closing = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def note(self, text):
        self.happened.append(text)
        if self.report:
            self.report(text)

    def run(self):
        while not self.is_closing:
            busy = any(d.waiting and d.rate for pair in self.pairs for d in pair)
            for key, _ in self.selector.select(RATE_TICK_SECONDS if busy else None):
                if key.data is None:
                    self.accept()
                elif key.data != "wake":
                    self.readable(*key.data)
            self.flush()
        for pair in list(self.pairs):
            self.drop(pair)
        self.listener.close()
        self.wake_read.close()

    def accept(self):
        near, _ = self.listener.accept()
        host, port = self.target.rsplit(":", 1)
        try:
            far = socket.create_connection((host, int(port)), 2.0)
        except OSError:
            near.close()
            return
        for end in (near, far):
            end.setblocking(True)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        once = self.fault if not self.happened else None  # a fault hits the first connection that reaches it
        up = Direction(near, far, once if once and once.direction == "up" else None, self.rate)
        down = Direction(far, near, once if once and once.direction == "down" else None, self.rate)
        pair = (up, down)
        self.pairs.append(pair)
        self.selector.register(near, selectors.EVENT_READ, (up, pair))
        self.selector.register(far, selectors.EVENT_READ, (down, pair))

    def readable(self, direction, pair):
        if pair not in self.pairs:
            return
        if direction.rate and len(direction.waiting) > 4 * CHUNK:
            direction.is_paused = True  # back pressure: what is not read stays in the sender's socket
            self.selector.unregister(direction.source)
            return
        try:
            data = direction.source.recv(CHUNK)
        except OSError:
            data = b""
        if not data:
            self.drop(pair)
        elif not direction.is_stalled and direction.take(data, self.note) == "cut":
            self.drop(pair, reset=True)

    def flush(self):
        for pair in list(self.pairs):
            for direction in pair:
                count = direction.budget()
                if not count:
                    continue
                try:
                    direction.target.settimeout(2.0)
                    sent = direction.target.send(direction.waiting[:count])
                except OSError:
                    self.drop(pair)
                    break
                del direction.waiting[:sent]
                direction.allowance -= sent
                if direction.is_paused and len(direction.waiting) <= 2 * CHUNK:
                    direction.is_paused = False
                    self.selector.register(direction.source, selectors.EVENT_READ, (direction, pair))

    def drop(self, pair, reset=False):
        if pair not in self.pairs:
            return
        self.pairs.remove(pair)
        for end in (pair[0].source, pair[1].source):
            try:
                self.selector.unregister(end)
            except (KeyError, ValueError):
                pass
            if reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()

    def stall(self):
        """From now on passes nothing on, in either direction, of the connections that there are: a partition, as far as bytes go."""
        for pair in list(self.pairs):
            for direction in pair:
                direction.is_stalled = True

    def heal(self):
        """No fault from now on; what is stalled stays so."""
        self.fault = None
        for pair in list(self.pairs):
            for direction in pair:
                direction.is_healed = True

    def close(self):
        self.is_closing = True
        self.wake_write.send(b"x")
        self.thread.join(5)
        self.wake_write.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", required=True, metavar="HOST:PORT")
    parser.add_argument("--fault", choices=["flip", "stall", "cut"])
    parser.add_argument("--direction", choices=["up", "down"], default="down")
    parser.add_argument("--frame", choices=sorted(TYPES), default="", help="hit a frame of this type instead of a stream's offset")
    parser.add_argument("--count", type=int, default=1, help="which frame of that type")
    parser.add_argument("--part", choices=["header", "payload"], default="payload")
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--seed", type=int, help="choose offset and bit by this seed instead")
    parser.add_argument("--rate-bits-per-second", type=int, default=0)
    options = parser.parse_args()
    fault = None
    if options.fault:
        fault = Fault(options.fault, options.direction, options.offset, options.frame, options.count, options.part)
        if options.seed is not None:
            choice = random.Random(options.seed)
            fault.offset, fault.bit = choice.randrange(1 << 16), choice.randrange(8)
    forwarder = Forwarder(options.target, fault, options.rate_bits_per_second, lambda text: print(json.dumps({"fault": text}), flush=True))
    print(json.dumps({"ready": forwarder.address}), flush=True)
    sys.stdin.read()  # until whoever started it closes the pipe
    forwarder.close()


if __name__ == "__main__":
    main()
