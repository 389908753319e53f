"""Certificates for tests, made by the openssl command: authorities, and nodes' certificates with the names and dates that a case needs."""

import pathlib
import subprocess

CONFIG = """[ca]
default_ca = authority
[authority]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
"""
LONG_AGO, YESTERDAY, FAR_AHEAD = "20200101000000Z", "20200102000000Z", "20991231235959Z"


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, stdin=subprocess.DEVNULL)


class Authority:
    """One CA in a folder of its own."""

    def __init__(self, folder, name):
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir()
        self.certificate, self.key = self.folder / "ca.pem", self.folder / "ca.key"
        (self.folder / "index.txt").touch()
        (self.folder / "serial").write_text("1000\n", encoding="ascii")
        self.config = self.folder / "ca.cnf"
        self.config.write_text(CONFIG.format(folder=self.folder), encoding="ascii")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650", "-subj", f"/CN={name}",
                "-keyout", self.key, "-out", self.certificate)

    def issue(self, name, expired=False):
        """A certificate whose DNS name is `name`; expired ones ended long ago."""
        stem = f"{name}-expired" if expired else name
        made = Certificate(self.folder / f"{stem}.pem", self.folder / f"{stem}.key", self.certificate)
        request = self.folder / f"{stem}.csr"
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-addext",
                f"subjectAltName=DNS:{name}", "-keyout", made.key, "-out", request)
        openssl("ca", "-batch", "-notext", "-config", self.config, "-cert", self.certificate, "-keyfile", self.key, "-startdate", LONG_AGO,
                "-enddate", YESTERDAY if expired else FAR_AHEAD, "-in", request, "-out", made.certificate)
        made.key.chmod(0o600)
        return made


class Certificate:
    """Paths of what one node is given."""

    def __init__(self, certificate, key, authorities):
        self.certificate, self.key, self.authorities = certificate, key, authorities

    def trusting(self, authority):
        """The same certificate at a node that believes another authority."""
        return Certificate(self.certificate, self.key, authority.certificate)

    def settings(self):
        return {"tls.certificate": str(self.certificate), "tls.key": str(self.key), "tls.ca": str(self.authorities)}
