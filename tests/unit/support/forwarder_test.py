"""The forwarder makes the fault that was asked for, where it was asked for, and leaves every other byte alone."""

import pathlib
import socket
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from forwarder import HEADER, TYPES, Fault, Forwarder  # noqa: E402

PAYLOAD = bytes(range(256)) * 40


def frame(kind, payload):
    header = bytearray(HEADER)
    header[5] = TYPES[kind]
    struct.pack_into("<I", header, 36, len(payload))
    return bytes(header) + payload


STREAM = frame("hello_ack", b"x" * 10) + frame("data", PAYLOAD) + frame("offer", b"") + frame("data", PAYLOAD) + frame("ping", b"end")


class Source:
    """Accepts connections and sends STREAM to each in odd pieces; keeps what it hears."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.heard = b""
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                end, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(end,), daemon=True).start()

    def serve(self, end):
        try:
            for at in range(0, len(STREAM), 777):
                end.sendall(STREAM[at:at + 777])
            while data := end.recv(65536):
                self.heard += data
        except OSError:
            pass
        end.close()


def receive(end, size, seconds):
    end.settimeout(seconds)
    data = b""
    try:
        while len(data) < size and (piece := end.recv(65536)):
            data += piece
    except TimeoutError:
        return data, "silent"
    except ConnectionResetError:
        return data, "reset"
    return data, "whole" if len(data) == size else "closed"


class ForwarderTest(unittest.TestCase):
    def through(self, fault=None, rate_bits=0, seconds=5.0):
        source = Source()
        self.addCleanup(source.listener.close)
        forwarder = Forwarder(source.address, fault, rate_bits)
        self.addCleanup(forwarder.close)
        host, port = forwarder.address.split(":")
        end = socket.create_connection((host, int(port)))
        self.addCleanup(end.close)
        return (*receive(end, len(STREAM), seconds), forwarder)

    def test_passes_everything_when_nothing_is_to_happen(self):
        data, how, forwarder = self.through()
        self.assertEqual((data, how, forwarder.happened), (STREAM, "whole", []))

    def test_flips_one_bit_of_the_chosen_frames_payload(self):
        data, how, forwarder = self.through(Fault("flip", "down", 1000, "data", 2, "payload", 3))
        place = len(STREAM) - len(frame("ping", b"end")) - len(PAYLOAD) + 1000
        self.assertEqual([at for at in range(len(STREAM)) if data[at] != STREAM[at]], [place])
        self.assertEqual(data[place] ^ STREAM[place], 8)
        self.assertEqual((how, len(forwarder.happened)), ("whole", 1))

    def test_flips_in_a_header_and_at_an_offset(self):
        data, _, _ = self.through(Fault("flip", "down", 40, "data", 1, "header", 0))
        self.assertEqual([at for at in range(len(STREAM)) if data[at] != STREAM[at]], [HEADER + 10 + 40])
        data, _, _ = self.through(Fault("flip", "down", 5))
        self.assertEqual([at for at in range(len(STREAM)) if data[at] != STREAM[at]], [5])

    def test_stalls_and_stays_connected(self):
        data, how, forwarder = self.through(Fault("stall", "down", 100, "data"), seconds=0.2)
        self.assertEqual((data, how), (STREAM[:HEADER + 10 + HEADER + 100], "silent"))
        self.assertEqual(len(forwarder.happened), 1)

    def test_cuts_with_a_reset_and_serves_the_next_connection_whole(self):
        data, how, forwarder = self.through(Fault("cut", "down", 100, "data"))
        self.assertIn(how, ("reset", "closed"))
        self.assertLessEqual(len(data), HEADER + 10 + HEADER + 100)
        host, port = forwarder.address.split(":")
        with socket.create_connection((host, int(port))) as again:
            self.assertEqual(receive(again, len(STREAM), 5.0), (STREAM, "whole"))

    def test_limits_the_rate(self):
        start = time.monotonic()
        data, _, _ = self.through(rate_bits=8 * 10 * len(STREAM))  # a tenth of a second at least, but for the first burst
        self.assertEqual(data, STREAM)
        self.assertGreater(time.monotonic() - start, 0.05)


if __name__ == "__main__":
    unittest.main()
