"""A tree on its way to become an image."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from interpreter_tools.setup.chroot import LOCALHOST, Chroot, pack_command
from interpreter_tools.setup.host import AptSettings, AptSource

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = [AptSource("Debian", "http://mirror.example/debian", "bookworm", "main")]
SETTINGS = AptSettings(
    ('Acquire::Check-Date "false";',), ('Acquire::http::Proxy "http://user:password@proxy.example";',), {}
)


@pytest.fixture
def tree(tmp_path: Path) -> Chroot:
    """An empty tree."""
    return Chroot(tmp_path / "root")


def test_symbolic_links_are_replaced_not_followed(tree: Chroot, tmp_path: Path):
    """A tree's ``/etc/resolv.conf`` often points at an absolute path, which here would be the host's."""
    outside = tmp_path / "outside"
    outside.write_text("the host's")
    tree.path("etc").mkdir(parents=True)
    tree.path("etc/resolv.conf").symlink_to(outside)
    tree.write("etc/resolv.conf", "new")
    assert outside.read_text() == "the host's"
    assert tree.path("etc/resolv.conf").read_text() == "new"


def test_nothing_private_stays_after_cleaning(tree: Chroot):
    """Credentials and the host's names are for the build; what fetching needs stays."""
    tree.configure(SOURCES, SETTINGS, bundle="certificates")
    for name in ("etc/apt/auth.conf", "etc/apt/auth.conf.d/mirror.conf", "root/.npmrc"):
        tree.write(name, "password")
    tree.clean()
    contents = {path: path.read_text() for path in tree.root.rglob("*") if path.is_file() and path.suffix != ".gpg"}
    assert not [path for path, text in contents.items() if "password" in text]
    assert contents[tree.path("etc/apt/sources.list")] == "deb http://mirror.example/debian bookworm main\n"
    assert "Check-Date" in contents[tree.path("etc/apt/apt.conf.d/90host")]
    assert contents[tree.path("etc/hosts")] == LOCALHOST
    assert contents[tree.path("etc/resolv.conf")] == ""
    assert contents[tree.path("etc/ssl/certs/ca-certificates.crt")] == "certificates"


def test_documents_go_and_copyrights_stay(tree: Chroot):
    """Licences ask for that."""
    tree.write("usr/share/doc/jq/copyright", "MIT")
    tree.write("usr/share/doc/jq/examples/one.jq", ".")
    tree.write("usr/share/man/man1/jq.1", "manual")
    tree.path("usr/share/doc/libjq1").symlink_to("jq")
    tree.clean()
    files = {str(path.relative_to(tree.root)) for path in tree.path("usr/share").rglob("*") if not path.is_dir()}
    assert files == {"usr/share/doc/jq/copyright"}


def test_packages_installed_later_bring_no_documents(tree: Chroot):
    """The package manager is told, so that images made from ours stay small, too."""
    tree.configure(SOURCES, SETTINGS, bundle=None)
    text = tree.path("etc/dpkg/dpkg.cfg.d/usr-share-doc").read_text()
    assert text == "path-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\n"


def test_archives_leave_out_what_the_kernel_mounts(tree: Chroot):
    """But keep the directories to mount it on, and hidden files."""
    for name in ("dev/null", "proc/1", "run/lock", "tmp/x", "etc/.hidden", "usr/dev/kept"):
        tree.write(name, "")
    packed = subprocess.run(pack_command(tree.root), capture_output=True, check=True).stdout
    listed = subprocess.run(["tar", "--list"], input=packed, capture_output=True, check=True).stdout.decode().split()
    assert set(listed) == {"./", "./dev/", "./proc/", "./run/", "./tmp/", "./etc/", "./etc/.hidden"} | {
        "./usr/",
        "./usr/dev/",
        "./usr/dev/kept",
    }
