"""What a sandbox is allowed."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools._config.model import ContainerConfig
from interpreter_tools._docker.spec import (
    BOX_SECCOMP,
    SECCOMP,
    WRITABLE,
    BoxWay,
    HostTraits,
    OwnFiles,
    container_spec,
)

_MIB = 1 << 20
_TMPFS = re.compile(r"rw,nosuid,nodev,(?:no)?exec,mode=1777,size=(\d+),nr_inodes=(\d+)")

_NEVER = """
    fgetxattr fsetxattr getxattr io_setup io_submit lsetxattr setxattr setxattrat
    add_key bpf chroot clone3 delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick init_module
    io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl mount
    mount_setattr move_mount mq_open msgget open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root
    process_madvise quotactl reboot request_key semget setns settimeofday shmget socketcall ipc swapon syslog
    umount umount2 unshare userfaultfd vhangup
"""


def spec_of(config: ContainerConfig | None = None, traits: HostTraits | None = None) -> dict[str, Any]:
    """A specification with unimportant names."""
    return container_spec("image", config or ContainerConfig(), volume="v", labels={"owner": "me"}, traits=traits)


def host_of(config: ContainerConfig | None = None, traits: HostTraits | None = None) -> dict[str, Any]:
    """Its limiting part."""
    return spec_of(config, traits)["HostConfig"]


def test_specification_is_json() -> None:
    """It is sent as it is."""
    assert json.loads(json.dumps(spec_of())) == spec_of()


def test_walls() -> None:
    """Nothing that a sandbox does not need."""
    host = host_of()
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] == ["DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"]
    assert host["ReadonlyRootfs"] is True
    assert host["NetworkMode"] == "none"
    assert host["IpcMode"] == "private"
    assert host["LogConfig"]["Type"] == "none"
    assert host["AutoRemove"] is True
    assert host["SecurityOpt"] == ["no-new-privileges", f"seccomp={SECCOMP}"]
    assert {"Binds", "Privileged", "Devices", "PortBindings", "PidMode"}.isdisjoint(host)
    *shared, terminals = host["Mounts"]
    assert all(mount["ReadOnly"] and mount["Type"] == "volume" for mount in shared)
    assert terminals["Target"] == "/dev/pts"
    assert "Source" not in terminals  # else containers would share it


def test_death_of_the_client_ends_the_container() -> None:
    """The supervisor leaves when its stdin ends; stdin ends with the first client."""
    spec = spec_of()
    assert spec["OpenStdin"]
    assert spec["StdinOnce"]
    assert not spec["Tty"]


def test_supervisor_is_told_every_writable_mount() -> None:
    """What it is not told it does not wipe."""
    spec = spec_of()
    assert spec["Cmd"][1:] == list(WRITABLE) == list(spec["HostConfig"]["Tmpfs"])


def test_swap_is_not_added_to_memory() -> None:
    """Docker adds as much swap as memory when it is not told."""
    host = host_of(ContainerConfig(memory_limit="300m"))
    assert host["Memory"] == host["MemorySwap"] == 300 * _MIB


@given(memory=st.integers(32, 1 << 20))
def test_writable_mounts_leave_memory_to_programs(memory: int) -> None:
    """Files lie in memory: full mounts alone must not kill a program."""
    host = host_of(ContainerConfig(memory_limit=memory * _MIB))
    matches = [_TMPFS.fullmatch(options) for options in host["Tmpfs"].values()]
    assert sum(int(match[1]) for match in matches if match) <= host["Memory"] - 4 * _MIB
    assert all(match and 1024 <= int(match[2]) <= 200_000 for match in matches)


def test_programs_run_from_workspace_and_tmp_only() -> None:
    """Docker's default for a tmpfs is noexec."""
    tmpfs = host_of()["Tmpfs"]
    assert [",exec," in options for options in tmpfs.values()] == [True, True, False]


def test_cpu_limit() -> None:
    """None means no limit."""
    assert "NanoCpus" not in host_of()
    assert host_of(ContainerConfig(cpu_limit="0.5"))["NanoCpus"] == 500_000_000


def test_network_is_set_up_only_where_needed() -> None:
    """For a network, or for the sake of /etc/hosts where the supervisor's volume cannot bring it."""
    mount = {"Type": "bind", "Source": "/volume/hosts", "Target": "/etc/hosts", "ReadOnly": True}
    traits = HostTraits(own_files=OwnFiles(directory="/volume"))
    assert not spec_of()["NetworkDisabled"]
    assert spec_of(traits=traits)["NetworkDisabled"]
    assert host_of(traits=traits)["Mounts"][2:-1] == [mount]
    online = spec_of(ContainerConfig(network="bridge"), traits)
    assert not online["NetworkDisabled"]
    assert len(online["HostConfig"]["Mounts"]) == 3


@pytest.mark.parametrize("runtime", ["runsc", "runsc-ptrace", "kata-runtime"])
def test_runtimes_with_kernels_of_their_own_get_no_sysctls(runtime: str) -> None:
    """They refuse to start with them."""
    assert "Sysctls" in host_of()
    assert "Sysctls" not in host_of(ContainerConfig(runtime=runtime))
    assert "Sysctls" not in host_of(traits=HostTraits(default_runtime=runtime))
    assert "Sysctls" in host_of(ContainerConfig(runtime="runc"), HostTraits(default_runtime=runtime))


def test_podman_is_told_in_its_own_way() -> None:
    """It knows no inodes, opens the profile as a file, and would add writable mounts that nobody wipes."""
    host = host_of(traits=HostTraits(podman=True, seccomp="/volume/seccomp.json"))
    assert host["SecurityOpt"][1] == "seccomp=/volume/seccomp.json"
    assert not any("nr_inodes" in options for options in host["Tmpfs"].values())
    assert [path for path, options in host["Tmpfs"].items() if options.startswith("ro,")] == ["/run", "/var/tmp"]
    assert {"Name": "nproc", "Soft": 4096, "Hard": 4096} in host["Ulimits"]


def test_control_group_namespace_is_private_in_version_2_only() -> None:
    """Version 1 is asked for nothing."""
    assert host_of(traits=HostTraits(cgroup_version="2"))["CgroupnsMode"] == "private"
    assert "CgroupnsMode" not in host_of(traits=HostTraits(cgroup_version="1"))


def test_system_calls_are_refused_unless_listed() -> None:
    """EPERM, for 64-bit programs; 32-bit calls have no rule at all."""
    profile = json.loads(SECCOMP)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["defaultErrnoRet"] == 1
    assert [arch["subArchitectures"] for arch in profile["archMap"]] == [[], []]


def test_dangerous_system_calls_are_not_listed() -> None:
    """Neither as such nor under a condition."""
    profile = json.loads(SECCOMP)
    allowed = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert allowed.isdisjoint(_NEVER.split())


def test_socket_families_are_listed() -> None:
    """A family that is compared for inequality slips through with a bit set above the 32 that the kernel reads."""
    rules = [rule for rule in json.loads(SECCOMP)["syscalls"] if "socket" in rule["names"]]
    families = [rule["args"][0]["value"] for rule in rules]
    assert families == [1, 2, 10, 16]
    assert all(argument["op"] == "SCMP_CMP_EQ" for rule in rules for argument in rule["args"])


@pytest.mark.parametrize("way", BoxWay)
def test_container_with_sandboxes_inside_differs_in_three_things(way: BoxWay) -> None:
    """The profile, the supervisor's first argument, and either no masks or one capability more."""
    usual = container_spec("image", ContainerConfig(), volume="v", labels={})
    boxed = container_spec("image", ContainerConfig(), volume="v", labels={}, box=way)
    usual_host, host = (cast("dict[str, Any]", spec.pop("HostConfig")) for spec in (usual, boxed))
    arguments = boxed.pop("Cmd")
    assert arguments == ["box", *cast("list[str]", usual.pop("Cmd"))]
    assert boxed == usual
    differs = {name for name in {*host, *usual_host} if host.get(name) != usual_host.get(name)}
    if way is BoxWay.UNMASKED:
        assert differs == {"SecurityOpt", "MaskedPaths", "ReadonlyPaths"}
    else:
        assert differs == {"SecurityOpt", "CapAdd"}
        assert {*host["CapAdd"]} - {*usual_host["CapAdd"]} == {"SYS_ADMIN"}


def test_shared_workspace_of_sandboxes_is_told() -> None:
    """A sandbox must not cover it with files of its own."""
    spec = container_spec("i", ContainerConfig(), volume="v", labels={}, box=BoxWay.UNMASKED, workspace_volume="w")
    assert cast("list[str]", spec["Cmd"])[0] == "box=shared"


@pytest.mark.parametrize(("boxes", "arguments"), [(BoxWay.ADMIN, ["box", "network=new"]), (None, [])])
def test_new_networks_are_asked_of_the_supervisor_of_sandboxes_only(boxes: BoxWay | None, arguments: list[str]) -> None:
    """A container that is a sandbox has one network."""
    spec = container_spec("i", ContainerConfig(), volume="v", labels={}, box=boxes, new_networks=True)
    usual = container_spec("i", ContainerConfig(), volume="v", labels={})
    assert spec["Cmd"] == [*arguments, *cast("list[str]", usual["Cmd"])]


def test_profile_of_sandboxes_adds_what_makes_namespaces_and_nothing_else() -> None:
    """The supervisor's second filter takes that from every program."""

    def allowed(profile: str) -> set[str]:
        rules = json.loads(profile)["syscalls"]
        return {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}

    assert allowed(BOX_SECCOMP) - allowed(SECCOMP) == {"mount", "setns", "unshare"}
    assert allowed(SECCOMP) - allowed(BOX_SECCOMP) == set()
