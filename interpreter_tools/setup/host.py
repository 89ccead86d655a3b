"""The description of this machine, and its administrator's network settings: apt, proxies, certificates."""

from __future__ import annotations

import base64
import os
import platform
import re
from pathlib import Path

import msgspec

from interpreter_tools.setup.apt import APT_GET
from interpreter_tools.setup.errors import SetupFailed
from interpreter_tools.setup.process import run_program

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SIGNED_BY = re.compile(r"signed-by\s*[=:]\s*(/[^\s\],]+)", re.IGNORECASE)
_APT_LINE = re.compile(r'(Acquire::[^\s"]+) "(.+)";')
_APT_NOT_OURS = ("IndexTargets", "Changelogs", "CompressionTypes", "cdrom", "Send-URI-Encoded", "ProxyAutoDetect")
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_PROXY_NAMES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
_NPM_PREFIX = "npm_config_"
_PIP_NAMES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_DEFAULT_TIMEOUT")


class OsRelease(msgspec.Struct, frozen=True):
    """The system's name, from ``os-release(5)``.

    Attributes:
        identifier: ``debian``, ``ubuntu``, ...
        like: identifiers of the systems that it descends from.
        pretty: the name for people.
    """

    identifier: str
    like: tuple[str, ...]
    pretty: str

    @property
    def family(self) -> frozenset[str]:
        """Its own identifier and those it descends from."""
        return frozenset((self.identifier, *self.like))

    @property
    def has_apt(self) -> bool:
        """True when its packages are Debian's."""
        return bool(self.family & {"debian", "ubuntu"})


class AptSource(msgspec.Struct, frozen=True):
    """One component of one repository that apt is configured to use.

    Attributes:
        origin: whose packages these are, from the signed Release file; empty before the first ``apt-get update``.
        uri: where the repository is.
        release: the distribution's name as configured: ``bookworm-updates``.
        component: ``main``, ``universe``, ...
    """

    origin: str
    uri: str
    release: str
    component: str


class AptSettings(msgspec.Struct, frozen=True):
    """The settings of the host's apt for downloads, as lines of ``apt.conf``.

    Attributes:
        lasting: what may stay in an image.
        passing: what only the build may see: credentials, files of the host, proxies on its loopback.
        proxies: environment variables that say the same to programs other than apt.
    """

    lasting: tuple[str, ...]
    passing: tuple[str, ...]
    proxies: dict[str, str]


def read_os_release(text: str | None = None) -> OsRelease:
    """Return the system's name, from ``text`` or ``/etc/os-release``."""
    if text is None:
        try:
            fields: dict[str, str] = platform.freedesktop_os_release()
        except OSError:
            fields = {}
    else:
        pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
        fields = {key: value.strip("\"'") for key, value in pairs}
    identifier = fields.get("ID", platform.system().lower())
    like = tuple(fields.get("ID_LIKE", "").split())
    return OsRelease(identifier, like, fields.get("PRETTY_NAME", identifier))


def is_root() -> bool:
    """Return True when this process may install packages and make device files."""
    return os.geteuid() == 0


def find_bundle() -> Path | None:
    """Return the file of certificate authorities that this machine trusts."""
    candidates = (os.environ.get("SSL_CERT_FILE", ""), *_BUNDLES)
    return next((Path(name) for name in candidates if name and Path(name).is_file()), None)


def split_certificates(bundle: str) -> list[str]:
    """Return the certificates of a PEM bundle, one text each."""
    return [f"{match}\n" for match in _CERTIFICATE.findall(bundle)]


def build_environment(home: str) -> dict[str, str]:
    """Return the variables for programs inside an image that is being built: proxies, npm's settings and pip's."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if name.lower() in _PROXY_NAMES or name.lower().startswith(_NPM_PREFIX) or name in _PIP_NAMES
    }
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": home,
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        **passed,
    }


def parse_apt_settings(dump: str) -> AptSettings:
    """Sort the lines of ``apt-config dump`` by where they may go.

    Only how things are fetched is taken: hooks such as ``DPkg::Post-Invoke`` call programs that an image does not have.
    """
    lasting: list[str] = []
    passing: list[str] = []
    proxies: dict[str, str] = {}
    for key, value in _APT_LINE.findall(dump):
        if any(part in key for part in _APT_NOT_OURS) or "Proxy-Auto-Detect" in key:
            continue
        private = "@" in value or value.startswith("/") or "localhost" in value or "127.0.0.1" in value
        (passing if private else lasting).append(f'{key} "{value}";')
        scheme = re.fullmatch(r"Acquire::(https?)::Proxy(?:::.*)?", key, re.IGNORECASE)
        if scheme and "::" not in key[len("Acquire::") + len(scheme[1]) + len("::Proxy") :] and value != "DIRECT":
            proxies[f"{scheme[1].lower()}_proxy"] = value
    return AptSettings(tuple(lasting), tuple(passing), proxies)


async def read_apt_settings() -> AptSettings:
    """Return the settings of this machine's apt for downloads."""
    return parse_apt_settings(await run_program(["apt-config", "dump"], keep=10_000))


def parse_sources(text: str) -> list[AptSource]:
    """Return the repositories in an answer of ``apt-get indextargets`` to :func:`find_sources`."""
    rows = (line.split("|") for line in text.splitlines() if line.count("|") == 3)
    return [AptSource(*("" if cell.startswith("$(") else cell for cell in row)) for row in rows]


def choose_sources(sources: list[AptSource], family: frozenset[str]) -> list[AptSource]:
    """Return the sources of the distribution itself: images have no packages of third parties."""
    return [source for source in sources if source.origin.lower() in family]


async def find_sources(system: OsRelease) -> list[AptSource]:
    """Return the distribution's own repositories, as apt on this machine is configured to use them, the base one first.

    apt itself is asked, rather than its files read: it knows both formats and all the places.

    Raises:
        SetupFailed: there is none.
    """
    columns = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    query = ["apt-get", "indextargets", "--format", columns, "Created-By: Packages"]
    sources = choose_sources(parse_sources(await run_program(query, keep=1000)), system.family)
    if not sources:  # the origin is known only once the Release file is here
        await run_program([*APT_GET, "update"])
        sources = choose_sources(parse_sources(await run_program(query, keep=1000)), system.family)
    base = [source for source in sources if source.component == "main" and "-" not in source.release.partition("/")[0]]
    if not base:
        raise SetupFailed(
            f"apt on this machine knows no repository of {system.pretty}",
            hint="add the distribution's main repository to /etc/apt/sources.list, or build where a registry answers",
        )
    return [base[0], *(source for source in sources if source != base[0])]


def at_release(sources: list[AptSource], release: str) -> list[AptSource]:
    """Return the same repositories for another release of the distribution: ``bookworm-updates`` for ``trixie``."""
    own = sources[0].release
    return [
        msgspec.structs.replace(source, release=release + source.release.removeprefix(own))
        for source in sources
        if source.release.startswith(own)
    ]


def read_keyring(uri: str) -> bytes:
    """Return the keys that the host's apt trusts for the repository at ``uri``, as one binary OpenPGP keyring.

    Those are the distribution's own, those trusted for every repository, and those named where ``uri`` is configured.
    """
    configured = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    texts = [file.read_text(errors="replace") for file in configured if file.is_file()]
    named = {Path(path) for text in texts if uri.rstrip("/") in text for path in _SIGNED_BY.findall(text)}
    trusted = Path("/etc/apt/trusted.gpg.d")
    files = [
        *sorted(named),
        *sorted(Path("/usr/share/keyrings").glob("*-archive-keyring.gpg")),
        Path("/etc/apt/trusted.gpg"),
        *sorted(trusted.glob("*.gpg")),
        *sorted(trusted.glob("*.asc")),
    ]
    return b"".join(dearmor(file.read_bytes()) for file in dict.fromkeys(files) if file.is_file())


def dearmor(key: bytes) -> bytes:
    """Return the binary form of an OpenPGP key, which may be in either form (RFC 4880, section 6)."""
    if not key.lstrip().startswith(b"-----BEGIN PGP"):
        return key
    blocks: list[bytes] = []
    for block in re.findall(rb"-----BEGIN PGP [^\n]*\n(.*?)-----END PGP", key, re.DOTALL):
        body = re.split(rb"\r?\n[ \t]*\r?\n", b"\n" + block, maxsplit=1)[-1]
        lines = [line.strip() for line in body.splitlines()]
        blocks.append(base64.b64decode(b"".join(line for line in lines if not line.startswith(b"="))))
    return b"".join(blocks)
