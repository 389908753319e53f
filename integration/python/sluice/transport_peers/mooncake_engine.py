"""Mooncake's transfer engine (wheel mooncake-transfer-engine-non-cuda) over TCP, the way it has without RDMA."""

import sys

from mooncake.engine import TransferEngine


class Engine:
    def __init__(self, pool):
        self.engine = TransferEngine()
        if self.engine.initialize("127.0.0.1", "P2PHANDSHAKE", "tcp", "") != 0:
            raise RuntimeError("mooncake initialize")
        self.base = pool.ctypes.data
        if self.engine.register_memory(self.base, pool.nbytes) != 0:
            raise RuntimeError("mooncake register_memory")
        self.peer = self.peer_base = None

    def version(self):
        from importlib.metadata import version
        return version("mooncake-transfer-engine-non-cuda")

    def card(self):
        return f"127.0.0.1:{self.engine.get_rpc_port()} {self.base}"

    def meet(self, card):
        self.peer, base = card.split()
        self.peer_base = int(base)

    def prepare(self, places, size):
        return [self.base + place for place in places], [self.peer_base + place for place in places], [size] * len(places)

    def read(self, prepared, until):
        del until  # the engine has its own limit
        code = self.engine.batch_transfer_sync_read(self.peer, *prepared)
        if code != 0:
            raise RuntimeError(f"mooncake batch_transfer_sync_read: {code}")

    def release(self, prepared):
        pass

    def trip(self, place, size, until):
        raise RuntimeError("its Python interface has no notification to answer to")

    def serve(self, commands):
        """Its own threads serve; a round trip is refused."""
        for _ in commands:
            print("ready", flush=True)
        sys.stdout.flush()
