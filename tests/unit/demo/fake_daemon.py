#!/usr/bin/env python3
"""Stands in for the program `sluice` in tests of the demo: `serve --config FILE` answers the admin API with made-up figures, `link` waits.

A prompt that holds the word SLOW is answered after a minute, so that a test can stop the demo in the middle of it.
"""

import http.server
import json
import pathlib
import signal
import sys
import time
import tomllib

SHARE = {"raw": 1.0, "int8": 0.5, "cachegen": 0.3, "sluice": 0.15}
RAW_BYTES = 1_000_000


def answer_to(body):
    """An answer of POST /v1/requests."""
    if "SLOW" in body["text"]:
        time.sleep(60)
    is_recompute = body["mode"] == "recompute"
    share = SHARE[body.get("policy", "raw")]
    answer = {"request": 1, "outcome": "recomputed" if is_recompute else "delivered", "reason": "made_up", "raw_bytes": RAW_BYTES,
              "ttft_ms": 500 if is_recompute else 400 * share, "tokens": [1, 2, 3], "logits_hash": "ab", "wire_bytes": int(RAW_BYTES * share),
              "bits_per_value": 16 * share, "split_ms": {"wire": 100 * share}, "parts": {"base": 2}}
    if body.get("score_against"):
        answer["kl"] = {"mean": 0.01, "p99": 0.1, "max": 0.2, "top1": 1}
    return answer


class Admin(http.server.BaseHTTPRequestHandler):
    """The admin port."""

    def reply(self, text, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        texts = {"/readyz": "ready", "/v1/status": json.dumps({"engine": "made-up"}), "/metrics": "sluice_bytes_total{direction=\"in\"} 7\n",
                 "/v1/requests/1": json.dumps({"sender": {"prefill_end_ms": 50, "first_part_sent_ms": 10, "encode_ms": 1}})}
        self.reply(texts.get(self.path, "{}"), 200 if self.path in texts else 404)

    def do_POST(self):
        self.reply(json.dumps(answer_to(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))))

    def log_message(self, *arguments):
        """Quiet."""


def main(arguments):
    if arguments[0] == "link":
        signal.pause()
    config = tomllib.loads(pathlib.Path(arguments[arguments.index("--config") + 1]).read_text(encoding="utf-8"))
    host, _, port = config["listen"]["admin"].rpartition(":")
    http.server.ThreadingHTTPServer((host, int(port)), Admin).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
