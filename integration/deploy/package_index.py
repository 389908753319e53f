"""Fetches pinned files from the package index that pip is configured for: resumable, with progress, verified by SHA-256.

pip itself is not asked to download, because for a source archive it runs the archive's build system, which nothing here pins.
Only pip's settings are used: index address, extra indexes, certificate, proxies of the environment. An index that needs more than
these (a keyring, say) is reached by the last resort, `pip download`; the hash decides in either case.
"""

import ast
import base64
import collections
import hashlib
import html.parser
import os
import pathlib
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from phases import Failure


class Unreachable(Failure):
    """No index delivers the file; the only failure that a build can do without."""


Artifact = collections.namedtuple("Artifact", "project version file sha256 size licence use")

BLOCK_BYTES = 1 << 20
ATTEMPTS = 3
TIMEOUT_S = 60
PROGRESS_EVERY_S = 5


def read_artifacts(path):
    """The list file: one Artifact a line, seven columns, the last one free text."""
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    rows = [line.split(maxsplit=6) for line in lines if line and not line.startswith("#")]
    return {row[0]: Artifact(*row[:4], int(row[4]), *row[5:]) for row in rows}


class PipSettings:
    """What pip would use: addresses of indexes, folders of wheels, certificate file."""

    def __init__(self, config_lines):
        values = {}
        for line in config_lines:
            key, _, value = line.partition("=")
            section, _, name = key.rpartition(".")
            rank = [":env:", "download", "global"].index(section) if section in (":env:", "download", "global") else None
            if rank is not None and rank <= values.get(name, (9, ""))[0]:
                values[name] = (rank, str(ast.literal_eval(value)))
        get = lambda name: values.get(name, (9, ""))[1]
        indexes = [] if get("no-index").lower() in ("1", "true", "yes", "on") else [get("index-url") or _default_index()]
        self.indexes = [address for address in indexes + get("extra-index-url").split() if address]
        self.folders = [pathlib.Path(item) for item in get("find-links").split() if os.path.isdir(item)]
        self.certificate = get("cert") or None

    @staticmethod
    def load():
        shown = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
        if shown.returncode != 0:
            raise Failure("pip does not run; install python3-pip (./dev setup does)")
        return PipSettings(shown.stdout.splitlines())


def _default_index():
    """The index that pip uses when none is configured, asked from pip so that no address is written here."""
    ask = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    return subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False).stdout.strip()


class _Links(html.parser.HTMLParser):
    """Collects the href of every <a> of an index page."""

    def __init__(self):
        super().__init__()
        self.hrefs = []

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.hrefs.append(dict(attrs).get("href") or "")


def find_link(page, page_address, file):
    """The address of `file` on an index page (PEP 503), without its fragment; None when the page does not list it."""
    links = _Links()
    links.feed(page)
    for href in links.hrefs:
        address = urllib.parse.urldefrag(urllib.parse.urljoin(page_address, href)).url
        if urllib.parse.unquote(urllib.parse.urlsplit(address).path.rsplit("/", 1)[-1]) == file:
            return address
    return None


def _request(address, settings, offset=0):
    """Opens an address; a user and password in it become a header, as pip does it."""
    parts = urllib.parse.urlsplit(address)
    headers = {"Accept": "text/html, application/octet-stream;q=0.9, */*;q=0.1", "Accept-Encoding": "identity"}
    if parts.username:
        secret = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    if offset:
        headers["Range"] = f"bytes={offset}-"
    context = ssl.create_default_context(cafile=settings.certificate) if parts.scheme == "https" else None
    request = urllib.request.Request(urllib.parse.urlunsplit(parts), headers=headers)
    return urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context)


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while block := source.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _receive(address, part, artifact, settings, say):
    """Appends to the partial file what is missing of it, so that an interrupted fetch goes on where it stopped."""
    have = part.stat().st_size if part.exists() else 0
    if have >= artifact.size:
        return
    with _request(address, settings, have) as answer:
        resumed = answer.status == 206
        have = have if resumed else 0
        said = time.monotonic()
        with open(part, "ab" if resumed else "wb") as sink:
            while block := answer.read(BLOCK_BYTES):
                sink.write(block)
                have += len(block)
                if time.monotonic() - said > PROGRESS_EVERY_S:
                    said = time.monotonic()
                    say(f"  {artifact.file}: {100 * have // artifact.size} % of {artifact.size / 1e6:.0f} MB")


def _fetch_from_index(index, artifact, part, settings, say):
    """True when the file could be received whole from this index. Bounded attempts, each resuming the one before."""
    page_address = index.rstrip("/") + "/" + artifact.project.lower().replace("_", "-").replace(".", "-") + "/"
    for attempt in range(ATTEMPTS):
        try:
            with _request(page_address, settings) as answer:
                address = find_link(answer.read().decode("utf-8", "replace"), answer.url, artifact.file)
            if address is None:
                return False
            index_parts, parts = urllib.parse.urlsplit(index), urllib.parse.urlsplit(address)
            if index_parts.username and parts.hostname == index_parts.hostname and not parts.username:
                credentials = index_parts.netloc.rpartition("@")[0]
                address = urllib.parse.urlunsplit(parts._replace(netloc=f"{credentials}@{parts.netloc}"))
            _receive(address, part, artifact, settings, say)
            if part.stat().st_size == artifact.size:
                return True
        except (OSError, ValueError) as fault:
            reason = getattr(fault, "reason", None) or fault
            say(f"  {artifact.file}: attempt {attempt + 1} of {ATTEMPTS}: {reason}")
            if isinstance(fault, urllib.error.HTTPError) and fault.code in (401, 403, 404):
                return False
    return False


def _fetch_with_pip(artifact, folder):
    """The last resort: pip's own downloader, which may know ways to the index that this module does not."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    if not artifact.file.endswith(".whl"):
        command += ["--no-binary", artifact.project]
    subprocess.run(command + [f"{artifact.project}=={artifact.version}"], stderr=subprocess.DEVNULL, check=False)


def fetch(artifact, folder, say=lambda line: print(line, file=sys.stderr, flush=True), settings=None):
    """The path of the artefact in folder, fetched when it is not there. What is there under its name is whole and verified.

    Errors: Unreachable when no index delivers it; Failure when what comes has another hash.
    """
    target = folder / artifact.file
    if target.exists():
        return target
    settings = settings or PipSettings.load()
    folder.mkdir(parents=True, exist_ok=True)
    say(f"  fetching {artifact.project} {artifact.version} ({artifact.size / 1e6:.0f} MB, {artifact.licence}): {artifact.use}")
    part = folder / (artifact.file + ".part")
    local = [item / artifact.file for item in settings.folders if (item / artifact.file).exists()]
    if local:
        part.write_bytes(local[0].read_bytes())
    elif not any(_fetch_from_index(index, artifact, part, settings, say) for index in settings.indexes):
        _fetch_with_pip(artifact, folder)
        if not target.exists():
            raise Unreachable(f"no package index delivers {artifact.file}: check the network and `pip config list`, then run again (it resumes)")
        target.rename(part)
    found = sha256_of(part)
    if found != artifact.sha256:
        part.unlink()
        raise Failure(f"{artifact.file} has SHA-256 {found}, not the pinned one: refused and deleted")
    part.rename(target)
    return target
