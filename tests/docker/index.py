"""A package index, an npm registry, an apt repository and a proxy in one server, which containers reach."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.server
import io
import json
import ssl
import subprocess
import tarfile
import threading
import zipfile
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from interpreter_tools import ExecutionEngine

NAME = "index.invalid"
"""A host that only the proxy knows: itself."""


_GATEWAY = """
import socket
for line in open("/proc/net/route"):
    name, destination, gateway, *_ = line.split()
    if destination == "00000000":
        print(socket.inet_ntoa(bytes.fromhex(gateway)[::-1]))
        break
"""


class Certificates(NamedTuple):
    """Files of a private authority and of a server that it vouches for."""

    authority: Path
    server: Path
    key: Path


class Index(NamedTuple):
    """A server that runs.

    Attributes:
        origin: its address, ``http://HOST:PORT``.
        requests: the paths that were asked for; absolute URLs and ``CONNECT HOST:PORT`` where it was a proxy.
    """

    origin: str
    requests: list[str]

    @property
    def python(self) -> str:
        """Its package index."""
        return f"{self.origin}/simple/"

    @property
    def npm(self) -> str:
        """Its registry."""
        return f"{self.origin}/npm/"


async def find_gateway(engine: ExecutionEngine) -> str:
    """Return the address at which containers of the network ``bridge`` reach this machine: their default route.

    The container is asked, not the network: an engine that has just been installed tells no gateway of its bridge.
    """
    result = await engine.run("python", _GATEWAY, network="bridge")
    return result.check().stdout.strip()


def make_authority(directory: Path, address: str) -> Certificates:
    """An authority of its own, and a certificate for an address and for ``NAME``."""
    names = f"subjectAltName=IP:{address},DNS:{NAME}"
    common = ["-days", "1", "-newkey", "rsa:2048", "-nodes"]

    def make(*arguments: str) -> None:
        subprocess.run(["openssl", "req", "-x509", *common, *arguments], check=True, capture_output=True, cwd=directory)

    make("-subj", "/CN=private authority", "-keyout", "ca.key", "-out", "ca.pem")
    leaf = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE"]
    make("-subj", "/CN=index", *leaf, "-keyout", "server.key", "-out", "server.pem")
    return Certificates(directory / "ca.pem", directory / "server.pem", directory / "server.key")


@contextlib.contextmanager
def serving(address: str, certificates: Certificates, *, tls: bool = False) -> Generator[Index]:
    """A server that has every package whose name begins with ``itest``; its version is 1.0.0, and it holds ``X = 1``.

    One whose name begins with ``itestbuilt`` has no wheel. What its build finds in the store, and may change there, is
    ``FOUND``; see ``BUILD``. One of npm's whose name begins with ``itestscript`` has a ``SCRIPT``.

    Args:
        address: where it listens.
        certificates: who it is, with TLS.
        tls: it speaks TLS, and not only within a tunnel.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.key)
    requests: list[str] = []

    class Handler(_Handler):
        asked = requests
        tunnel = context

    server = http.server.ThreadingHTTPServer((address, 0), Handler)
    if tls:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Index(f"http{'s' if tls else ''}://{address}:{server.server_port}", requests)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    asked: list[str]
    tunnel: ssl.SSLContext

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = self.path.partition("://")[2].partition("/")[2] if "://" in self.path else self.path[1:]
        kind, _, rest = path.strip("/").partition("/")
        name = rest.partition("/")[0]
        if kind == "apt":
            self._answer_apt(rest.rpartition("/")[2])
        elif not name.startswith("itest"):
            self._answer(b"", status=404)
        elif kind == "simple":
            end = ".tar.gz" if name.startswith("itestbuilt") else "-py3-none-any.whl"
            file = f"{name.replace('-', '_')}-1.0.0{end}"
            self._answer(f'<a href="/wheel/{file}">{file}</a>'.encode(), kind="text/html")
        elif kind == "wheel" and name.endswith(".tar.gz"):
            self._answer(gzip.compress(make_sdist(name.removesuffix(".tar.gz"))))
        elif kind == "wheel":
            self._answer(make_wheel(name))
        elif name.endswith(".tgz"):
            self._answer(make_tarball(name.removesuffix(".tgz")))
        else:
            self._answer(json.dumps(self._packument(name)).encode(), kind="application/json")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_CONNECT(self) -> None:
        self.asked.append(f"CONNECT {self.path}")
        self.send_response(200)
        self.end_headers()
        self.connection = self.tunnel.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.close_connection = False

    def finish(self) -> None:
        super().finish()
        if self.connection is not self.request:  # the end of a tunnel, of which the server knows nothing
            self.connection.close()

    def _packument(self, name: str) -> dict[str, object]:
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        digest = hashlib.sha512(make_tarball(name)).digest()
        tarball = f"{scheme}://{self.headers['Host']}/npm/{name}.tgz"
        dist = {"tarball": tarball, "integrity": f"sha512-{base64.b64encode(digest).decode()}"}
        version: dict[str, object] = {"name": name, "version": "1.0.0", "dist": dist}
        if name.startswith("itestscript"):
            version |= {"hasInstallScript": True, "scripts": {"install": "node script.js"}}
        return {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}

    def _answer_apt(self, file: str) -> None:
        package = make_deb("itest-tool")
        fields = {
            "Package": "itest-tool",
            "Version": "1.0",
            "Architecture": "all",
            "Filename": "./itest-tool.deb",
            "Size": str(len(package)),
            "SHA256": hashlib.sha256(package).hexdigest(),
        }
        files = {"Packages": "".join(f"{name}: {value}\n" for name, value in fields.items()).encode()}
        files["itest-tool.deb"] = package
        self._answer(files.get(file, b""), status=200 if file in files else 404)

    def _answer(self, body: bytes, *, status: int = 200, kind: str = "application/octet-stream") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.path.startswith("/wheel/"):
            self.send_header("Cache-Control", "max-age=365000000, immutable, public")  # as that of Python says
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


def make_wheel(file: str) -> bytes:
    """A package of Python's, by its file's name; always of the same bytes."""
    name, version, *_ = file.split("-")
    buffer, info = io.BytesIO(), f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "X = 1\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return buffer.getvalue()


BUILD = """
import os, re, urllib.request, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    try:
        urllib.request.urlopen(f"{os.environ['PIP_INDEX_URL']}built-by-{os.getuid()}/")
    except OSError:
        pass
    store, found = "/.interpreter-tools-store", []
    (key,) = re.findall("0{16}[0-9a-f]{48}", os.environ["NO_PROXY"])
    below = ("", "/cache", "/cache/.lock", "/archive", "/cache/simple-v28", "/cache/wheels-v8")
    places = [store, *(f"{store}/.{key}/target{each}" for each in below)]
    poison = lambda path: open(path + "/poison", "w")
    move = lambda path: os.rename(path, path + "x")
    for place in places:
        for act in (os.listdir, open, poison, move):
            try:
                act(place)
            except OSError:
                continue
            found.append(place)
    file = "NAME-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(directory + "/" + file, "w") as archive:
        archive.writestr("NAME.py", f"X = 1; FOUND = {found!r}; UID = {os.getuid()}; ASKED = {len(places)}\\n")
        info = "NAME-1.0.0.dist-info/"
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: NAME\\nVersion: 1.0.0\\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(info + "RECORD", "")
    return file
"""
"""The build of a package without a wheel. It knows the keys of caches from a variable, as a guess of them would do."""


def make_sdist(file: str) -> bytes:
    """A package of Python's that has to be built, by its file's name."""
    name = file.partition("-")[0]
    project = '[build-system]\nrequires = []\nbuild-backend = "build"\nbackend-path = ["."]\n'
    project += f'[project]\nname = "{name}"\nversion = "1.0.0"\n'
    files = {"pyproject.toml": project, "build.py": BUILD.replace("NAME", name)}
    files["PKG-INFO"] = f"Metadata-Version: 2.2\nName: {name}\nVersion: 1.0.0\n"
    return _pack({f"{file}/{path}": text for path, text in files.items()})


SCRIPT = """
const fs = require("fs"), path = require("path"), found = [];
const store = "/.interpreter-tools-store", key = /0{16}[0-9a-f]{48}/.exec(process.env.NO_PROXY)[0];
const places = [store, ...["", "/npm", "/npm-size", "/cache"].map((each) => `${store}/.${key}/target${each}`)];
for (const place of places) {
  const [poison, move] = [(at) => fs.writeFileSync(`${at}/x`, ""), (at) => fs.renameSync(at, `${at}x`)];
  for (const act of [fs.readdirSync, fs.readFileSync, poison, move]) {
    try { act(place); found.push(place); } catch {}
  }
}
const contents = path.join(process.env.TMPDIR, "npm/_cacache/content-v2/sha512");
let poisoned = 0;
for (const each of fs.readdirSync(contents, { recursive: true })) {
  const file = path.join(contents, each);
  if (!fs.statSync(file).isFile() || fs.readFileSync(file)[0] === 123) continue;
  fs.chmodSync(file, 0o644);
  fs.writeFileSync(file, "poison");
  poisoned++;
}
fs.writeFileSync("index.js", `module.exports = ${JSON.stringify([found, places.length, poisoned, process.getuid()])}`);
"""
"""What a package of npm's runs while it is installed. It knows the key of the cache as ``BUILD`` does."""


def make_tarball(name: str) -> bytes:
    """A package of npm's; always of the same bytes."""
    package: dict[str, object] = {"name": name, "version": "1.0.0"}
    files = {"index.js": "exports.X = 1"}
    if name.startswith("itestscript"):
        package["scripts"] = {"install": "node script.js"}
        files["script.js"] = SCRIPT
    files["package.json"] = json.dumps(package)
    return _pack({f"package/{path}": text for path, text in files.items()})


def make_deb(name: str) -> bytes:
    """A package of Debian's whose program prints 1; deb(5)."""
    control = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody\nDescription: nothing\n"
    members = {
        "debian-binary": b"2.0\n",
        "control.tar": _pack({"./control": control}),
        "data.tar": _pack({f"./usr/bin/{name}": "#!/bin/sh\necho 1\n"}),
    }
    package = b"!<arch>\n"
    for member, data in members.items():
        package += f"{member:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        package += data + b"\n" * (len(data) % 2)
    return package


def _pack(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(text), 0o755
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()
