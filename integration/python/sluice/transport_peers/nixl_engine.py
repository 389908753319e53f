"""NIXL (wheel nixl-cu13) with its UCX backend, host memory."""

import base64
import time

from nixl_cu13._api import nixl_agent, nixl_agent_config


MESSAGE, TRIPS = 64 << 10, 64


def wait_for(done, until):
    while not done():
        if time.monotonic() > until:
            raise TimeoutError("nixl")


class Engine:
    def __init__(self, pool, tuned):
        self.there = pool.nbytes - MESSAGE
        self.tuned = tuned
        config = nixl_agent_config(enable_prog_thread=not tuned, backends=[])
        self.agent = nixl_agent(f"agent-{id(pool)}-{time.monotonic_ns()}", config)
        self.agent.create_backend("UCX", {"ucx_error_handling_mode": "none"} if tuned else {})
        self.base = pool.ctypes.data
        self.registered = self.agent.register_memory([(self.base, pool.nbytes, 0, "")], "DRAM")
        self.peer = self.peer_base = None
        self.notes = 0

    def version(self):
        from importlib.metadata import version
        return version("nixl-cu13")

    def card(self):
        return f"{self.base} {base64.b64encode(self.agent.get_agent_metadata()).decode()}"

    def meet(self, card):
        base, metadata = card.split()
        self.peer_base = int(base)
        self.peer = self.agent.add_remote_agent(base64.b64decode(metadata))
        self.peer = self.peer.decode() if isinstance(self.peer, bytes) else self.peer

    def descriptors(self, base, places, size):
        return self.agent.get_xfer_descs([(base + place, size, 0) for place in places], "DRAM")

    def prepare(self, places, size):
        return self.agent.initialize_xfer("READ", self.descriptors(self.base, places, size), self.descriptors(self.peer_base, places, size), self.peer)

    def post(self, handle, until, note=b""):
        state = self.agent.transfer(handle, note)
        while state == "PROC":
            state = self.agent.check_xfer_state(handle)
            if time.monotonic() > until:
                raise TimeoutError("nixl transfer")
        if state != "DONE":
            raise RuntimeError(f"nixl transfer: {state}")

    def read(self, handle, until):
        self.post(handle, until)

    def release(self, handle):
        self.agent.release_xfer_handle(handle)

    def write(self, place, size, until):
        local, remote = (self.descriptors(base, [place], size) for base in (self.base, self.peer_base))
        handle = self.agent.initialize_xfer("WRITE", local, remote, self.peer, b"trip")
        self.post(handle, until, b"trip")
        self.release(handle)

    def has_note(self):
        self.notes += sum(len(notes) for notes in self.agent.get_new_notifs().values())
        return self.notes > 0

    def trip(self, place, size, until):
        del place  # the answer goes there
        self.write(self.there, size, until)
        wait_for(self.has_note, until)
        self.notes -= 1

    def serve(self, commands):
        """Without its progress thread NIXL moves only when called: the tuned one spins here, as its users' engines do."""
        import select
        while True:
            if select.select([commands], [], [], 0 if self.tuned else 0.05)[0]:
                line = commands.readline()
                if not line:
                    return
                self.answer_trips(int(line.split()[1]))
            elif self.tuned:
                self.has_note()

    def answer_trips(self, begin):
        print("ready", flush=True)
        for trip in range(TRIPS):
            until = time.monotonic() + 20.0
            wait_for(self.has_note, until)
            self.notes -= 1
            self.write(begin + trip * MESSAGE, MESSAGE, until)
