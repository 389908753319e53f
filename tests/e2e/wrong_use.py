#!/usr/bin/env python3
"""Wrong invocations and configurations of the real program: each must end with exactly one line on standard error
that says what to do, the right exit code, and no stack trace.  wrong_use.py --program build/release/.../sluice [--json]"""

import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile

USAGE, UNREACHABLE, FAILED, INCOMPATIBLE = 2, 3, 1, 5
TRACE = re.compile(r"terminate called|core dumped|what\(\)|Traceback|0x[0-9a-f]{6,}|AddressSanitizer")
# A line that helps has one of these: what to write instead, or where to look.
ADVICE = re.compile(r"use |write|set |give|name |choose|lower|remove|did you mean|see |start |correct|install|allow|send|raise|check |fetch |'\./dev")

FILES = {
    "unknown.toml": '[node]\nnaem = "x"\n',
    "section.toml": '[nodes]\nname = "x"\n',
    "syntax.toml": "[node\n",
    "type.toml": '[memory]\nring_bytes = "64MiB"\n',
    "twice.toml": '[node]\nname = "a"\nname = "b"\n',
    "float.toml": "[planner]\nquality_floor_ppm = 0.9\n",
    "binary.toml": "\x00\x01\x02",
    "open.toml": '[listen]\ndata = "0.0.0.0:7411"\n',
    "list.toml": '[discovery]\npeers = "d1:7411"\n',
}


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def check(file):
    return ["config", "check", "{dir}/" + file]


def setting(text):
    return ["config", "check", "--set", text]


def cases():
    """(arguments, environment, exit code) of each."""
    plain = [
        [], ["sreve"], ["--verbose"], ["config"], ["config", "chekc"], ["version", "extra"], ["--format", "yaml", "version"],
        ["--format"], check("missing.toml"), ["config", "check", "{dir}"], *[check(file) for file in FILES],
        setting("node.name"), setting("node.nam=x"), setting("node.role=leader"), setting("transport.heartbeat_ms=100ms"),
        setting("planner.policy=best"), setting("codec.parts=gzip"), setting("listen.data=7411"),
        setting("listen.admin=10.0.0.1:7412"), setting("engine.kind=llama_cpp"), setting("discovery.peers=d1"),
        ["config", "explain", "--set"], ["status", "--node", "nowhere"], ["status", "--deadline", "5"], ["request"],
        ["doctor", "--peer", "d1"], ["drain", "--nodes", "x"], ["drain", "--wait"], ["bench", "--rounds", "0"], ["bench", "--level", "nested"],
    ]
    port = closed_port()
    yield from ((arguments, {}, USAGE) for arguments in plain)
    yield from node_cases(port)
    yield from codec_cases()
    yield from demo_cases()
    yield check("../{name}/unknown.toml"), {}, USAGE
    yield ["config", "check"], {"SLUICE_NODE__NAEM": "x"}, USAGE
    yield ["config", "check"], {"SLUICE_NODE_NAME": "x"}, USAGE
    yield ["status", "--node", f"127.0.0.1:{port}"], {}, UNREACHABLE
    yield ["doctor", "--peer", f"127.0.0.1:{port}"], {}, UNREACHABLE


def node_cases(port):
    """serve, send, fetch, request."""
    here = f"127.0.0.1:{port}"
    for arguments in (
        ["serve", "extra"], ["serve", "--config"], ["serve", "--config", "{dir}/missing.toml"], ["serve", "--set", "engine.kind=gpt"],
        ["send"], ["send", "--to", here], ["send", "--to", "nowhere", "recorded"], ["send", "--to", here, "--deadline", "soon", "recorded"],
        ["send", "--to", here, "--repeat", "0", "recorded"], ["fetch"], ["fetch", "--from", here, "recorded"],
        ["fetch", "--from", "nowhere", "recorded", "{dir}/out"], ["fetch", "--from", here, "tokens:none", "{dir}/out"],
        ["request", "--node", here], ["request", "--node", here, "{}", "{}"],
    ):
        yield arguments, {}, USAGE
    for arguments in (
        ["serve", "--set", "engine.kind=llama_cpp", "--set", "engine.model={dir}/missing.gguf"],
        ["serve", "--set", "engine.kind=llama_cpp", "--set", "engine.model={dir}/binary.toml"],
        ["serve", "--set", "codec.profile={dir}/missing.slp", "--set", "engine.kind=recorded", "--set", "listen.data=127.0.0.1:0"],
        ["serve", "--set", "codec.profile={dir}/binary.toml", "--set", "engine.kind=recorded", "--set", "listen.data=127.0.0.1:0"],
        ["send", "--to", here, "{dir}/missing.safetensors"], ["send", "--to", here, "{dir}/binary.toml"],
        ["fetch", "--from", here, "{dir}/missing.json", "{dir}/out"], ["fetch", "--from", here, "{dir}/binary.toml", "{dir}/out"],
    ):
        yield arguments, {}, FAILED
    for arguments in (["send", "--to", here, "--deadline", "2s", "recorded"], ["fetch", "--from", here, "--deadline", "2s", "recorded", "{dir}/out"],
                      ["request", "--node", here, '{"text": "a"}'], ["drain", "--node", here]):
        yield arguments, {}, UNREACHABLE


def codec_cases():
    for arguments in (["codec"], ["codec", "encdoe"], ["codec", "encode", "{dir}/binary.toml"], ["codec", "inspect"],
                      ["codec", "encode", "{dir}/binary.toml", "{dir}/out", "--level", "best"],
                      ["codec", "encode", "{dir}/binary.toml", "{dir}/out", "--chunk-tokens", "0"], ["codec", "inspect", "{dir}"]):
        yield arguments, {}, USAGE
    for arguments in (["bench", "--kv", "{dir}/missing"], ["bench", "--kv", "{dir}/binary.toml"],
                      ["bench", "--profile", "{dir}/binary.toml"], ["codec", "encode", "{dir}/missing", "{dir}/out"], ["codec", "encode", "{dir}/binary.toml", "{dir}/out"],
                      ["codec", "decode", "{dir}/binary.toml", "{dir}/out"], ["codec", "inspect", "{dir}/binary.toml"]):
        yield arguments, {}, FAILED


def demo_cases():
    for arguments in (["demo", "--link", "fast"], ["demo", "--link", "0Mbit"], ["demo", "--scene", "both-of-them"], ["demo", "--rtt", "20"],
                      ["demo", "--deadline", "never"], ["demo", "--model", "{dir}/missing.gguf"], ["demo", "--profile", "{dir}/missing.slp"], ["demo", "--prompt", "{dir}/missing.txt"],
                      ["demo", "--emulation", "magic"], ["demo", "--policy", "best"], ["link"], ["link", "--listen", "x", "--to", "y"],
                      ["link", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--rate", "quick"]):
        yield arguments, {}, USAGE


def problem_of(program, folder, case):
    """Empty when the program behaves."""
    arguments, environment, code = case
    words = [word.replace("{dir}", str(folder)).replace("{name}", folder.name) for word in arguments]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SLUICE_")}
    ran = subprocess.run([program, *words], capture_output=True, text=True, timeout=30, check=False, env={**clean, **environment},
                         errors="replace", stdin=subprocess.DEVNULL)
    lines = ran.stderr.splitlines()
    if ran.returncode != code:
        return f"{words}: exit {ran.returncode} instead of {code}: {ran.stderr.strip()}"
    if len(lines) != 1 or not lines[0].startswith("sluice: "):
        return f"{words}: {len(lines)} lines on standard error: {ran.stderr.strip()}"
    if TRACE.search(ran.stderr) or not ADVICE.search(lines[0]):
        return f"{words}: does not say what to do: {lines[0]}"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="build/release/integration/programs/sluice")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluice-wrong-") as name:
        folder = pathlib.Path(name)
        for file, text in FILES.items():
            (folder / file).write_text(text, encoding="latin-1")
        every = list(cases())
        problems = [problem for problem in (problem_of(options.program, folder, case) for case in every) if problem]
    for problem in problems:
        print(problem, file=sys.stderr)
    summary = {"cases": len(every), "passed": len(every) - len(problems)}
    print(json.dumps(summary) if options.json else f"{summary['passed']} of {summary['cases']} cases passed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
