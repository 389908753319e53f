#!/usr/bin/env python3
"""Two processes with a real model: 40 greedy tokens and the logits' hash after a raw or lossless hand-over, over tcp,
ucx and shm, equal those of the same decode process when it computes the prompt itself. Exit 77 when the model or llama.cpp is missing.

The nodes are fault_node processes without a fault: the product's Node, sessions, codec and llama.cpp engine as they are."""

import argparse
import json
import os
import pathlib
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from node_process import EXIT_SKIPPED, NodeProcess, Timeout, find_program, poll  # noqa: E402

START_SECONDS = 120.0
DEADLINE_MS = 120000
TOKENS = 40
TRANSPORTS = ["tcp", "ucx", "shm"]
PROMPT = ("A sluice is a water channel whose gate is raised just so far that the mill behind it gets what it needs, and no more. "
          "The keeper knows the height of the river, the thirst of the wheel and the hour at which the flour is due. "
          "When the river is low he lets the first water through at once and tops it up later; when it is high he opens wide. ") * 4


def find_model(given):
    folder = pathlib.Path(os.environ.get("SLUICE_CACHE", pathlib.Path.home() / ".cache/sluice")) / "models"
    candidates = [pathlib.Path(given)] if given else sorted(folder.glob("*.gguf"))
    return next((str(path) for path in candidates if path.is_file()), None)


def skip(message):
    print(f"skipped: {message}", file=sys.stderr)
    return EXIT_SKIPPED


def ask(node, **body):
    number = node.start_request(text=PROMPT, generate=TOKENS, deadline_ms=DEADLINE_MS, **body)
    line = node.wait_answer(number, DEADLINE_MS / 1000)
    if line is None:
        raise Timeout(f"the node died: {node.errors.decode(errors='replace')[-300:]}")
    return line["answer"]


def compare(program, model, wanted, levels):
    """Rows of one transport: dicts with level, outcome, equal tokens, whether the hash is equal."""
    run_id = uuid.uuid4().hex
    nodes = []
    try:
        nodes.append(NodeProcess(program, run_id, name="prefill", listen="127.0.0.1:0", model=model, transport=wanted))
        nodes.append(NodeProcess(program, run_id, name="decode", peers=[nodes[0].address(START_SECONDS)], model=model, transport=wanted))
        prefill, decode = nodes
        decode.address(START_SECONDS)
        poll(lambda: decode.status(START_SECONDS)["status"]["sessions"], START_SECONDS, "session", 0.02)
        carried = decode.status()["links"][0]["data"]
        if carried != wanted:
            raise Timeout(f"{carried} carries the data, not {wanted}: {decode.status()['links'][0]['reason']}")
        reference = ask(decode, mode="recompute")
        for level in levels:
            answer = ask(decode, mode="handover", policy=level)
            equal = sum(one == other for one, other in zip(answer["tokens"], reference["tokens"]))
            yield {"transport": wanted, "level": level, "outcome": answer["outcome"], "error": answer["error"], "tokens_equal": equal,
                   "tokens": len(reference["tokens"]), "prompt_tokens": answer["prompt_tokens"],
                   "hash_equal": answer["logits_hash"] == reference["logits_hash"], "wire_bytes": answer["wire_bytes"]}
        del prefill
    finally:
        for node in reversed(nodes):
            node.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a GGUF file; else the first one of the set-up's cache")
    parser.add_argument("--program", help="fault_node or a build folder")
    parser.add_argument("--transport", choices=TRANSPORTS, action="append", help="only this one")
    parser.add_argument("--level", choices=["raw", "lossless"], action="append", help="only this one")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    program, model = find_program("tests/support/fault_node", options.program), find_model(options.model)
    if model is None:
        return skip("no model: ./dev setup fetches it")
    rows, missing = [], []
    for transport in options.transport or TRANSPORTS:
        try:
            rows += compare(program, model, transport, options.level or ["raw", "lossless"])
        except Timeout as late:
            if "unsupported" in str(late):
                missing.append(f"{transport} or llama.cpp is not in this build ({late})")
                continue
            rows.append({"transport": transport, "level": "-", "outcome": f"failed: {late}", "tokens_equal": 0, "tokens": TOKENS, "hash_equal": False})
    whole = [row for row in rows if row["outcome"] == "delivered" and row["tokens_equal"] == row["tokens"] == TOKENS and row["hash_equal"]]
    if options.json:
        print(json.dumps({"handovers": len(rows), "missing": missing, "identical": len(whole), "rows": rows}))
    else:
        for row in rows:
            print(f"{row['transport']:4} {row['level']:9} {row['outcome']}: {row['tokens_equal']} of {row['tokens']} tokens, "
                  f"logits' hash {'equal' if row['hash_equal'] else 'DIFFERS'}, {row.get('wire_bytes', 0)} bytes on the wire")
    if len(whole) < len(rows):
        return 1
    return skip("; ".join(missing)) if missing else 0


if __name__ == "__main__":
    sys.exit(main())
