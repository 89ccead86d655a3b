"""Mounts as they are asked for, and archives of anybody."""

from __future__ import annotations

import io
import os
import stat
import struct
import time
import zipfile
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from interpreter_tools import ConfigurationError, ContainerConfig, LanguageRegistry, Mount
from interpreter_tools._container.shape import Shape, Shapes, shape_of
from interpreter_tools._container.sources import find_sources
from interpreter_tools._docker import ImageInfo
from interpreter_tools._docker.spec import WRITABLE, HostTraits, container_spec
from interpreter_tools._runtime.archive import with_archives, zip_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 1 << 20


def spec_of(*mounts: Mount, image_volumes: tuple[str, ...] = (), traits: HostTraits | None = None) -> dict[str, Any]:
    """The specification of a container with these mounts."""
    config = ContainerConfig(mounts=mounts)
    return container_spec("image", config, volume="v", labels={}, traits=traits, image_volumes=image_volumes)


def host_of(*mounts: Mount, image_volumes: tuple[str, ...] = (), traits: HostTraits | None = None) -> dict[str, Any]:
    """Its limiting part."""
    host = spec_of(*mounts, image_volumes=image_volumes, traits=traits)["HostConfig"]
    return cast("dict[str, Any]", host)


# -- targets


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("data", "/workspace/data"),
        ("./a//b/.", "/workspace/a/b"),
        ("/data/", "/data"),
        ("//data", "/data"),
        ("/workspace/x", "/workspace/x"),
        ("..cache", "/workspace/..cache"),
    ],
)
def test_target_is_absolute_or_beneath_the_workspace(target: str, path: str) -> None:
    """However it is written."""
    mount = Mount(source="/srv", target=target)
    assert mount.path == path
    ContainerConfig(mounts=(mount,))


BAD_TARGETS = [
    *("", ".", "/", "/workspace", "/tmp", "/dev/shm", "/dev", "/dev/x", "/proc", "/proc/1", "/sys/fs", "//proc"),
    *("/.interpreter-tools", "/.interpreter-tools/x", "/.interpreter-tools-deps", "/etc/hosts", "/etc/resolv.conf"),
    *(
        "../x",
        "a/../../x",
        "/data/../proc",
        "a\0b",
        "a\nb",
        "/tmp/home",
        "/tmp/home/x",
        "\udcff",
        "x" * 300,
        "x/" * 2000,
    ),
]


@pytest.mark.parametrize("target", BAD_TARGETS)
@pytest.mark.parametrize("source", ["/srv", None])
def test_target_that_covers_what_the_sandbox_needs_is_refused(target: str, source: str | None) -> None:
    """By its field, for whatever would be mounted there."""
    with pytest.raises(ConfigurationError) as caught:
        ContainerConfig(mounts=(Mount(source="/srv", target="ok"), Mount(source=source, target=target)))
    assert caught.value.field == "container.mounts[1].target"


@pytest.mark.parametrize("targets", [("a", "/workspace/a"), ("a", "a/b"), ("/x/y/z", "/x/y")])
def test_targets_on_the_host_do_not_meet(targets: tuple[str, str]) -> None:
    """A mount point in a directory of the host would be made there."""
    with pytest.raises(ConfigurationError) as caught:
        ContainerConfig(mounts=tuple(Mount(source="/srv", target=target) for target in targets))
    assert caught.value.field == "container.mounts[1].target"


def test_mounts_in_a_tmpfs_are_fine() -> None:
    """The tmpfs is the container's own."""
    ContainerConfig(mounts=(Mount(target="room"), Mount(source="/srv", target="room/data"), Mount(target="room/more")))


@pytest.mark.parametrize("target", ["/data", "/tmp/x", "/", "/workspaces"])
def test_archives_go_into_the_workspace(target: str) -> None:
    """Or are refused; they may fill the whole of it."""
    with pytest.raises(ConfigurationError, match="not beneath /workspace"):
        ContainerConfig(mounts=(Mount(source="a.zip", target=target, kind="zip"),))
    ContainerConfig(mounts=(Mount(source="a.zip", target="/workspace", kind="zip"),))


@pytest.mark.parametrize(
    ("mount", "field"),
    [
        (Mount(target="a", kind="directory"), "source"),
        (Mount(target="a", source=""), "source"),
        (Mount(target="a", source="a\0b"), "source"),
        (Mount(target="a", source="/x", kind="tmpfs"), "source"),
        (Mount(target="a", source="/x", size="1m"), "size"),
        (Mount(target="a", size="lots"), "size"),
    ],
)
def test_fields_that_cannot_work_are_named(mount: Mount, field: str) -> None:
    """With their place among the mounts."""
    with pytest.raises(ConfigurationError) as caught:
        ContainerConfig(mounts=(mount,))
    assert caught.value.field == f"container.mounts[0].{field}"


def test_room_of_every_tmpfs_counts_towards_the_memory() -> None:
    """Else full mounts alone would kill a program."""
    ContainerConfig(memory_limit="512m", mounts=(Mount(target="a", size="100m"),))
    with pytest.raises(ConfigurationError, match="leaves no room"):
        ContainerConfig(memory_limit="512m", mounts=(Mount(target="a", size="100m"), Mount(target="b", size="100m")))
    with pytest.raises(ConfigurationError, match="too many"):
        ContainerConfig(memory_limit="4g", mounts=tuple(Mount(target=f"t{n}", size="1m") for n in range(13)))


# -- the specification


def test_supervisor_is_told_of_each_tmpfs_only() -> None:
    """What it is told it wipes: never a directory of the host."""
    mounts = (Mount(target="/scratch", size="8m"), Mount(source="/srv", target="out", read_only=False))
    spec = spec_of(*mounts)
    assert spec["Cmd"][1:] == [*WRITABLE, "/scratch"]
    host = host_of(*mounts)
    assert host["Tmpfs"]["/scratch"] == "rw,nosuid,nodev,exec,mode=1777,size=8388608,nr_inodes=2048"
    assert [mount["Target"] for mount in host["Mounts"]][2:-1] == ["/workspace/out"]


@pytest.mark.parametrize("recursive", [True, False])
def test_read_only_holds_for_what_is_mounted_below(recursive: bool) -> None:
    """Where the engine cannot see to it, that stays away."""
    mounts = (Mount(source="/srv", target="/a"), Mount(source="/srv", target="/b", read_only=False))
    read_only, writable = host_of(*mounts, traits=HostTraits(recursive=recursive))["Mounts"][2:-1]
    assert (read_only["ReadOnly"], writable["ReadOnly"]) == (True, False)
    assert ("NonRecursive" in read_only["BindOptions"]) is not recursive
    assert "NonRecursive" not in writable["BindOptions"]


def test_volumes_of_the_image_are_covered() -> None:
    """Except where something of ours, or of the caller's, lies."""
    volumes = ("/.interpreter-tools", "/data", "/srv/x", "/tmp", "/workspace")
    tmpfs = host_of(Mount(source="/srv", target="/srv/x"), image_volumes=volumes)["Tmpfs"]
    assert tmpfs["/data"] == "ro,size=4096"
    assert tmpfs["/tmp"].startswith("rw,")
    assert {"/.interpreter-tools", "/srv/x"}.isdisjoint(tmpfs)


# -- sources


def find(mount: Mount, *, local: bool = True, sockets: tuple[str, ...] = ()) -> Mount:
    """The mount with what was seen of its source."""
    return find_sources((mount,), local=local, sockets=sockets, field="container.mounts")[0].mount


def test_kind_is_seen_from_the_source(tmp_path: Path) -> None:
    """And the path is the real one."""
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("x")
    link.symlink_to(tmp_path)
    assert find(Mount(source=str(file), target="a")).kind == "file"
    seen = find(Mount(source=str(link), target="a"))
    assert (seen.kind, seen.source) == ("directory", str(tmp_path))


def _missing(path: Path) -> str:
    return str(path / "missing")


def _fifo(path: Path) -> str:
    os.mkfifo(path / "fifo")
    return str(path / "fifo")


def _loop(path: Path) -> str:
    (path / "loop").symlink_to(path / "loop")
    return str(path / "loop")


def _always(source: str) -> Callable[[Path], str]:
    def make(path: Path) -> str:
        del path
        return source

    return make


@pytest.mark.parametrize(
    "make",
    [_missing, _fifo, _loop, *map(_always, ("/", "/proc", "/dev/null", "/sys/kernel"))],
)
def test_source_that_cannot_be_mounted_is_refused(tmp_path: Path, make: Callable[[Path], str]) -> None:
    """Before a container is made; the field is named."""
    source = make(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        find(Mount(source=source, target="a"))
    assert (caught.value.field, caught.value.value) == ("container.mounts[0].source", source)


def test_source_of_another_kind_is_refused(tmp_path: Path) -> None:
    """Both kinds are told."""
    with pytest.raises(ConfigurationError, match="is a directory, not a file"):
        find(Mount(source=str(tmp_path), target="a", kind="file"))


def test_directory_that_holds_the_engines_socket_is_refused(tmp_path: Path) -> None:
    """Read-only does not help: a socket can be talked to."""
    directory = tmp_path / "run"
    directory.mkdir()
    socket = directory / "engine.sock"
    for source in (directory, tmp_path):
        with pytest.raises(ConfigurationError, match="open the host"):
            find(Mount(source=str(source), target="a"), sockets=(str(socket),))
    find(Mount(source=str(directory), target="a"), sockets=(str(tmp_path / "other.sock"),))


@pytest.mark.parametrize("source", ["relative", "/a/../b", "/", "/run", "/var/run/docker.sock", "/proc/1", "/./"])
def test_source_on_another_machine_is_judged_by_its_path(source: str) -> None:
    """There is nothing to look at."""
    with pytest.raises(ConfigurationError):
        find(Mount(source=source, target="a"), local=False)
    assert find(Mount(source="/not/here", target="a"), local=False).source == "/not/here"


# -- archives


def zip_of(path: Path, entries: dict[str, bytes | str], *, method: int = zipfile.ZIP_DEFLATED) -> str:
    """An archive."""
    with zipfile.ZipFile(path / "a.zip", "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return str(path / "a.zip")


def read(source: str, *, target: str = "/workspace", limit: int = MIB) -> dict[str, bytes]:
    """Its files."""
    return zip_files(Mount(source=source, target=target, kind="zip"), limit=limit, field="container.mounts[0]")


def refusal(source: str, *, target: str = "/workspace", limit: int = MIB) -> str:
    """Why it is refused."""
    with pytest.raises(ConfigurationError) as caught:
        read(source, target=target, limit=limit)
    assert (caught.value.field, caught.value.value) == ("container.mounts[0].source", source)
    return caught.value.reason


def test_files_of_an_archive_go_beneath_its_target(tmp_path: Path) -> None:
    """Packed or not; directories come with their files."""
    source = zip_of(tmp_path, {"a.txt": b"A" * 1000, "d/": b"", "d/..b": b"B", "ü": b"", "empty/": b""})
    assert read(source) == {"a.txt": b"A" * 1000, "d/..b": b"B", "ü": b""}
    assert read(source, target="in/x").keys() == {"in/x/a.txt", "in/x/d/..b", "in/x/ü"}


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "a/..", "a\nb", "..", "x" * 256, "a/" * 2100 + "b"])
def test_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    """Nothing is left out silently."""
    assert "holds a file whose path" in refusal(zip_of(tmp_path, {"ok": b"", name: b""}))


def test_name_with_nul_is_refused(tmp_path: Path) -> None:
    """What stands before it would be another name."""
    path = tmp_path / "a.zip"
    zip_of(tmp_path, {"a_b": b"x"})
    path.write_bytes(path.read_bytes().replace(b"a_b", b"a\0b"))
    assert refusal(str(path))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_entry_that_is_no_file_is_refused(tmp_path: Path, kind: int) -> None:
    """A link above all."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    assert "link or no regular file" in refusal(str(tmp_path / "a.zip"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_entry_that_comes_twice_is_refused(tmp_path: Path) -> None:
    """Also where the names only come to the same, or to a directory."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", "1")
        archive.writestr("x", "2")
    assert "twice" in refusal(str(tmp_path / "a.zip"))
    assert "twice" in refusal(zip_of(tmp_path, {"d/x": b"1", "d//./x": b"2"}))
    assert "as a file and as a directory" in refusal(zip_of(tmp_path, {"x": b"1", "x/y": b"2"}))


def test_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    """By the sizes that it admits."""
    source = zip_of(tmp_path, {"zeros": bytes(64 * MIB)})
    assert "the workspace has room for" in refusal(source)


def test_bomb_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    """No more comes out than was promised, and the sum does not fit then."""
    path = tmp_path / "a.zip"
    zip_of(tmp_path, {"zeros": bytes(64 * MIB)})
    data = path.read_bytes().replace(struct.pack("<I", 64 * MIB), struct.pack("<I", 100))
    path.write_bytes(data)
    assert "not a zip archive that can be read" in refusal(str(path))


def test_archive_whose_parts_overlap_is_refused(tmp_path: Path) -> None:
    """Many entries that are one and the same part: more comes out than an archive can hold."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("f0000", bytes(100_000))
        first = archive.filelist[0]
        for number in range(1, 1000):
            copy = zipfile.ZipInfo(f"f{number:04}")
            for field in ("compress_type", "CRC", "compress_size", "file_size", "header_offset", "external_attr"):
                setattr(copy, field, getattr(first, field))
            archive.filelist.append(copy)
    assert refusal(str(tmp_path / "a.zip"), limit=1 << 30)


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    """A hundred thousand empty files: as the workspace has no room for them. It takes no long time."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(100_000):
            archive.writestr(str(number), b"")
    before = time.monotonic()
    assert "holds 100000 entries" in refusal(str(tmp_path / "a.zip"), limit=256 * MIB)
    assert time.monotonic() - before < 30


def test_directory_of_an_archive_is_not_read_without_end(tmp_path: Path) -> None:
    """Its size is only a number in the archive."""
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 32 * MIB, 0, 0)
    path = tmp_path / "a.zip"
    with path.open("wb") as file:
        file.truncate(32 * MIB)
        file.seek(0, io.SEEK_END)
        file.write(end)
    assert "has a directory of more than" in refusal(str(path), limit=1 << 30)


def test_encrypted_and_unusual_entries_are_refused(tmp_path: Path) -> None:
    """Nobody has the key; and bzip2 and lzma cannot be read piece by piece."""
    path = tmp_path / "a.zip"
    zip_of(tmp_path, {"secret": b"x"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    assert "encrypted" in refusal(str(path))
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        assert "another way than deflate" in refusal(zip_of(tmp_path, {"x": b"x"}, method=method))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    """A text, a torn archive, a directory, a FIFO, nothing at all."""
    path = tmp_path / "a.zip"
    path.write_text("no zip")
    assert "not a zip" in refusal(str(path))
    whole = (tmp_path / "b.zip", zip_of(tmp_path, {"x": os.urandom(1000)}))
    data = path.read_bytes()
    whole[0].write_bytes(data[:500] + data[700:])
    assert refusal(str(whole[0]))
    os.mkfifo(tmp_path / "fifo")
    assert refusal(str(tmp_path / "fifo"))
    assert refusal(str(tmp_path))
    assert refusal(str(tmp_path / "missing"))


def test_archive_larger_than_the_workspace_is_refused(tmp_path: Path) -> None:
    """Whatever it holds."""
    assert "larger than the workspace" in refusal(zip_of(tmp_path, {"x": os.urandom(2 * MIB)}))


def test_files_of_the_run_win_over_those_of_archives(tmp_path: Path) -> None:
    """But two archives do not hold the same file."""
    mount = Mount(source=zip_of(tmp_path, {"a": b"old", "b": b"B"}), target="/workspace", kind="zip")

    def merge(*mounts: Mount) -> dict[bytes, bytes]:
        return with_archives(mounts, {b"a": b"new"}, limit=MIB, field="container.mounts")

    assert merge(mount, Mount(target="room")) == {b"a": b"new", b"b": b"B"}
    with pytest.raises(ConfigurationError, match="as another archive does"):
        merge(mount, mount)


def test_ports_and_mounts_make_a_shape() -> None:
    """Other ones need another container; archives come with the run."""
    image = ImageInfo(
        id="sha256:1", tags=(), architecture="x86_64", os="linux", size=1, labels={}, environment=(), volumes=()
    )

    def key(config: ContainerConfig) -> tuple[object, ...]:
        sources = find_sources(config.mounts, local=True, sockets=(), field="container.mounts")
        return shape_of(LanguageRegistry.get("python"), image, "a:1", config, reused=True, sources=sources).key

    plain = ContainerConfig(network="bridge")
    others = [
        ContainerConfig(network="bridge", ports=(80,)),
        ContainerConfig(network="bridge", mounts=(Mount(source="/usr", target="a"),)),
        ContainerConfig(network="bridge", mounts=(Mount(source="/usr", target="b"),)),
        ContainerConfig(network="bridge", mounts=(Mount(source="/usr", target="b", read_only=False),)),
        ContainerConfig(network="bridge", mounts=(Mount(target="b", size="1m"),)),
    ]
    assert len({key(plain), *map(key, others)}) == 1 + len(others)
    assert key(ContainerConfig(network="bridge", mounts=(Mount(source="/x.zip", target="a", kind="zip"),))) == key(
        plain
    )
    listed = [80]
    assert key(ContainerConfig(network="bridge", ports=listed)) == key(others[0])  # pyright: ignore[reportArgumentType]


def test_shapes_are_found_again_by_what_they_are_made_of() -> None:
    """The same parts give the same shape, equal ones an equal shape; other parts another, however many there were."""
    image = ImageInfo(
        id="sha256:1", tags=(), architecture="x86_64", os="linux", size=1, labels={}, environment=(), volumes=()
    )
    shapes, config = Shapes(), ContainerConfig()

    def find(
        config: ContainerConfig, image: ImageInfo = image, language: str = "python", *, reused: bool = True
    ) -> Shape:
        found = LanguageRegistry.get(language)
        shape = shapes.find(found, image, "a:1", config, reused=reused, only_boxed=False)
        assert shape == shape_of(found, image, "a:1", config, reused=reused)
        return shape

    first = find(config)
    assert find(config) is first
    assert find(ContainerConfig()).key == first.key
    others = {find(ContainerConfig(tenant=f"t{number}")).key for number in range(600)}
    assert len(others | {first.key}) == 601
    assert find(config, language="javascript").key != first.key
    assert find(config, reused=False).key != first.key
    assert find(config, msgspec.structs.replace(image, id="sha256:2")).key != first.key
    assert find(config).key == first.key
