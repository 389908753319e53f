#!/usr/bin/env python3
"""TLS between real processes: what belongs together talks, every wrong pairing ends in bounded time with an error that says which, nothing
of a session is readable on the wire, and no secret appears in anything that a process says.  tls.py --program build/release/.../sluice"""

import argparse
import json
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from certificates import Authority, Certificate, openssl  # noqa: E402
from node_process import Timeout, find_program, poll  # noqa: E402
from two_daemons import REQUEST_SECONDS, START_SECONDS, Broken, Daemon, check, configuration, prompt, transfer  # noqa: E402

USAGE, UNREACHABLE, INCOMPATIBLE = 2, 3, 5
DROP_SECONDS = 30.0  # a handshake has 2 s; the rest is patience with a busy machine


class Stage:
    """Certificates, the daemons that a case starts, and everything that was said."""

    def __init__(self, program, folder):
        self.program, self.folder = program, pathlib.Path(folder)
        self.daemons, self.said = [], []
        self.ours, self.theirs = Authority(folder, "ours"), Authority(folder, "theirs")
        self.node, self.client = self.ours.issue("p1"), self.ours.issue("c1")
        self.expired = self.ours.issue("c1", expired=True)
        self.foreign = self.theirs.issue("c1")

    def start(self, name, certificate=None, peers=(), **more):
        tls = {"transport.prefer": "tcp", **(certificate.settings() if certificate else {})}
        daemon = Daemon(self.program, self.folder, name, configuration(name, "both", peers, **{**tls, **more}))
        self.daemons.append(daemon)
        daemon.wait_ready()
        return daemon

    def run(self, *words):
        """(exit code, standard error) of one command."""
        ran = subprocess.run([self.program, *map(str, words)], capture_output=True, text=True, timeout=REQUEST_SECONDS, check=False,
                             stdin=subprocess.DEVNULL)
        self.said += [ran.stdout, ran.stderr]
        return ran.returncode, ran.stderr.strip()

    def send(self, address, certificate=None, **more):
        settings = {**(certificate.settings() if certificate else {}), "node.name": "c1", "transport.prefer": "tcp", **more}
        return self.run("send", "--to", address, "--deadline", "20s", *[word for key, value in settings.items() for word in ("--set", f"{key}={value}")],
                        "recorded")

    def tls_client(self, address, certificate=None, highest=None):
        """A connected TLS socket of Python's own; the server is believed whatever it shows."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate:
            context.load_cert_chain(certificate.certificate, certificate.key)
        if highest:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.maximum_version = highest
        return context.wrap_socket(plain_client(address))

    def end(self):
        for daemon in self.daemons:
            daemon.end()
            self.said += daemon.said + daemon.errors


def plain_client(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=DROP_SECONDS)


def dropped(connection):
    """What a peer that is refused hears: the alert's name, or nothing but the end."""
    try:
        while connection.recv(4096):
            pass
        return "closed"
    except ssl.SSLError as alert:
        return alert.reason
    except ConnectionError:
        return "closed"


def refusals(daemon, field):
    text = daemon.ask("/metrics")[1]
    return int(float(re.search(rf'sluice_handshakes_refused_total{{field="{field}"}} (\S+)', text).group(1)))


class Relay:
    """Passes one connection on and keeps every byte of it."""

    def __init__(self, target):
        self.target, self.bytes = target, bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        client, _ = self.listener.accept()
        server = plain_client(self.target)
        for source, sink in ((client, server), (server, client)):
            source.settimeout(None)
            threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        try:
            while data := source.recv(65536):
                self.bytes += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def case_pair(stage):
    """Two daemons under TLS: joined, a request is answered over it, and /v1/links says so."""
    prefill = stage.start("p1", stage.node)
    decode = stage.start("d1", stage.ours.issue("d1"), [prefill.data], **{"tls.allowed_names": ["p1"]})
    poll(lambda: decode.ask("/readyz")[0] == 200, START_SECONDS, "decode daemon ready", 0.02)
    transfer(decode, prompt(), mode="handover")
    for daemon, peer in ((decode, "p1"), (prefill, "d1")):
        links = json.loads(daemon.ask("/v1/links")[1])
        check([(link["peer"], link["control"], link["data"]) for link in links] == [(peer, "tls", "tls")], f"links: {links}")


def case_wire(stage):
    """The same command leaves readable frames without TLS and none with it."""
    for certificate, is_readable in ((None, True), (stage.client, False)):
        daemon = stage.start(f"relay-{is_readable}" if certificate is None else "p1", certificate and stage.node)
        relay = Relay(daemon.data)
        code, errors = stage.send(relay.address, certificate)
        check(code == 0, f"send through a relay: {code} {errors}")
        check(len(relay.bytes) > 100_000 and (b"SLC1" in relay.bytes) == is_readable, f"{len(relay.bytes)} bytes, readable: {not is_readable}")


def case_wrong_senders(stage):
    """`sluice send` with the wrong things, to a daemon under TLS and to one without."""
    secured, plain = stage.start("p1", stage.node, **{"tls.allowed_names": ["c1"]}), stage.start("plain")
    other_name = stage.ours.issue("c2")
    for what, address, certificate, more, code, word in (
        ("no TLS to TLS", secured.data, None, {}, INCOMPATIBLE, "tls_mismatch"),
        ("TLS to no TLS", plain.data, stage.client, {}, INCOMPATIBLE, "tls_mismatch"),
        ("signed by another", secured.data, Certificate(stage.foreign.certificate, stage.foreign.key, stage.ours.certificate), {}, INCOMPATIBLE,
         "certificate_untrusted (the peer refuses our certificate)"),
        ("believes another", secured.data, stage.client.trusting(stage.theirs), {}, INCOMPATIBLE, "certificate_untrusted (the peer's certificate)"),
        ("a name that is not allowed", secured.data, other_name, {"node.name": "c2"}, INCOMPATIBLE, "name_not_proven"),
        ("a peer that is not allowed", secured.data, stage.client, {"tls.allowed_names": "p2"}, INCOMPATIBLE, "name_not_proven"),
        ("another's name", secured.data, stage.client, {"node.name": "p1"}, USAGE, "config_invalid (tls.certificate has no DNS name"),
        ("another's key", secured.data, Certificate(stage.client.certificate, stage.node.key, stage.ours.certificate), {}, USAGE,
         "config_invalid (tls.key belongs to another certificate"),
        ("an own certificate that has ended", secured.data, stage.expired, {}, INCOMPATIBLE, "certificate_expired (tls.certificate)"),
        ("what belongs together", secured.data, stage.client, {}, 0, ""),
    ):
        got, errors = stage.send(address, certificate, **more)
        check(got == code and word in errors and len(errors.splitlines()) == (code != 0), f"{what}: exit {got}: {errors}")
    check(refusals(secured, "tls") >= 2 and refusals(secured, "name") == 1, secured.ask("/metrics")[1])


def case_wrong_strangers(stage):
    """Peers that are no Sluice at all, against a daemon under TLS: each hears why, and a good one still gets in meanwhile."""
    daemon = stage.start("p1", stage.node)
    silent = [plain_client(daemon.data) for _ in range(100)]
    stalled = plain_client(daemon.data)
    stalled.sendall(bytes.fromhex("1603010200"))  # the header of a record that never comes
    code, errors = stage.send(daemon.data, stage.client)
    check(code == 0, f"send beside 101 silent peers: {code} {errors}")
    for what, certificate, words in (("none", None, ("CERTIFICATE_REQUIRED",)), ("expired", stage.expired, ("EXPIRED",)),
                                     ("of another authority", stage.foreign, ("UNKNOWN_CA",))):
        heard = dropped(stage.tls_client(daemon.data, certificate))
        check(any(word in heard for word in words), f"a certificate {what} hears {heard}")
    try:
        stage.tls_client(daemon.data, stage.client, ssl.TLSVersion.TLSv1_2)
        raise Broken("TLS 1.2 was accepted")
    except ssl.SSLError as alert:
        check("PROTOCOL_VERSION" in alert.reason, f"TLS 1.2 hears {alert.reason}")
    web = plain_client(daemon.data)
    web.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for peer in (web, stalled, *silent):
        dropped(peer)  # recv() raises when it takes longer than DROP_SECONDS
        peer.close()
    known = stage.tls_client(daemon.data, stage.client)
    known.sendall(b"S" * 5000)  # authenticated, but no greeting
    dropped(known)
    check(refusals(daemon, "tls") >= 4, "refused handshakes are counted")


def case_wrong_servers(stage):
    """`sluice send` to servers that are not what they should be."""
    server_expired = stage.ours.issue("p1", expired=True)
    for what, certificate, highest, code, word in (
        ("expired", server_expired, None, INCOMPATIBLE, "certificate_expired (the peer's certificate)"),
        ("of another authority", stage.foreign, None, INCOMPATIBLE, "certificate_untrusted (the peer's certificate)"),
        ("TLS 1.2", stage.node, ssl.TLSVersion.TLSv1_2, INCOMPATIBLE, "tls_mismatch"),
        ("silence", None, None, UNREACHABLE, "peer_silent"),
    ):
        listener = socket.create_server(("127.0.0.1", 0))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if certificate:
            context.load_cert_chain(certificate.certificate, certificate.key)
        if highest:
            context.maximum_version = highest

        def serve(listener=listener, context=context, answers=certificate is not None):
            try:
                while True:
                    client, _ = listener.accept()
                    dropped(context.wrap_socket(client, server_side=True) if answers else client)
            except OSError:
                pass
        threading.Thread(target=serve, daemon=True).start()
        got, errors = stage.send("127.0.0.1:%d" % listener.getsockname()[1], stage.client)
        listener.close()
        check(got == code and word in errors, f"{what}: exit {got}: {errors}")


def case_roll(stage):
    """New files are used by the next handshake, without a restart; a set that does not fit together changes nothing."""
    folder = stage.folder / "rolled"
    folder.mkdir()
    now = Certificate(folder / "node.pem", folder / "node.key", folder / "ca.pem")

    def put(certificate, key, *authorities):
        for source, target in ((certificate, now.certificate), (key, now.key)):
            shutil.copy(source, folder / "new")
            (folder / "new").rename(target)
        now.authorities.write_bytes(b"".join(authority.certificate.read_bytes() for authority in authorities))

    def shown():
        with stage.tls_client(daemon.data, stage.client) as connection:
            return connection.getpeercert(binary_form=True)

    put(stage.node.certificate, stage.node.key, stage.ours)
    daemon = stage.start("p1", now)
    first = shown()
    later = stage.theirs.issue("p1")
    put(later.certificate, stage.node.key, stage.ours)
    check(shown() == first, "a key that does not fit its certificate was taken")
    put(later.certificate, later.key, stage.ours, stage.theirs)
    check(shown() != first, "the new certificate is not shown")
    for client in (stage.client, stage.foreign):
        code, errors = stage.send(daemon.data, Certificate(client.certificate, client.key, now.authorities))
        check(code == 0, f"send while both authorities hold: {code} {errors}")


def case_doctor(stage):
    """What is wrong with a certificate, `sluice doctor` says beforehand."""
    open_key = stage.ours.issue("d2")
    open_key.key.chmod(0o644)
    locked = Certificate(stage.client.certificate, stage.folder / "locked.key", stage.ours.certificate)
    openssl("ec", "-aes256", "-passout", "pass:x", "-in", stage.client.key, "-out", locked.key)
    for what, certificate, name, bad in (
        ("good", stage.client, "c1", set()), ("expired", stage.expired, "c1", {"tls dates"}), ("another name", stage.client, "c9", {"tls name"}),
        ("another authority", stage.client.trusting(stage.theirs), "c1", {"tls ca"}), ("open key", open_key, "d2", {"tls key"}),
        ("another key", Certificate(stage.client.certificate, stage.node.key, stage.ours.certificate), "c1", {"tls"}),
        ("locked key", locked, "c1", {"tls"}), ("no file", Certificate(stage.folder / "none", stage.client.key, stage.ours.certificate), "c1", {"tls"}),
    ):
        settings = [word for key, value in {**certificate.settings(), "node.name": name}.items() for word in ("--set", f"{key}={value}")]
        ran = subprocess.run([stage.program, "--format", "json", "doctor", *settings], capture_output=True, text=True, timeout=REQUEST_SECONDS, check=True,
                             stdin=subprocess.DEVNULL)
        stage.said.append(ran.stdout)
        rows = [row for row in json.loads(ran.stdout) if row["topic"].startswith("tls")]
        check({row["topic"] for row in rows if not row["good"]} == bad, f"{what}: {rows}")


def check_secrets(stage):
    """No line of a private key in anything that a process has said."""
    stage.end()
    everything = "".join(stage.said)
    keys = [key for key in stage.folder.glob("**/*.key") if key.is_file()]
    lines = {line for key in keys for line in key.read_text(encoding="ascii").splitlines() if len(line) > 30 and not line.startswith("-----")}
    check(len(keys) >= 8 and len(lines) >= 2 * len(keys), "there are keys to look for")
    check(len(everything) > 1000 and not any(line in everything for line in lines), "a private key was printed")


def told_by(daemon):
    return "".join(daemon.ask(path)[1] for path in ("/", "/v1/status", "/v1/links", "/v1/events", "/metrics"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", help="sluice or a build folder")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    program = find_program("integration/programs/sluice", options.program)
    rows = []
    with tempfile.TemporaryDirectory(prefix="sluice-tls-") as folder:
        stage = Stage(program, folder)
        for case in (case_pair, case_wire, case_wrong_senders, case_wrong_strangers, case_wrong_servers, case_roll, case_doctor, check_secrets):
            failure = ""
            try:
                case(stage)
                stage.said += [told_by(daemon) for daemon in stage.daemons if daemon.process.poll() is None]
            except (Broken, Timeout, OSError, ValueError, KeyError, subprocess.SubprocessError) as broken:
                failure = f"{type(broken).__name__}: {broken}"
            rows.append({"case": case.__doc__.splitlines()[0], "passed": not failure, "text": failure})
            print(f"{'FAIL' if failure else 'ok  '} {rows[-1]['case']} {failure}", file=sys.stderr if options.json else sys.stdout, flush=True)
            stage.end()
            stage.daemons.clear()
    failed = sum(not row["passed"] for row in rows)
    if options.json:
        print(json.dumps({"cases": len(rows), "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
