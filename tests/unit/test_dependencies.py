"""Packages, without Docker: keys, settings, what is chosen to go, and a run that waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from interpreter_tools import ConfigurationError, ContainerConfig, DependencyPlan, EngineConfig, Mount, StoreFailed
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._container.shape import Shape
from interpreter_tools._dependencies import StoreEntry, choose
from interpreter_tools._dependencies.authorities import Authorities
from interpreter_tools._dependencies.indexes import IndexSettings
from interpreter_tools._dependencies.installer import installer_shape
from interpreter_tools._dependencies.requirement import make_requirement
from interpreter_tools._exceptions import ExecutionClosed, SessionClosed
from interpreter_tools._execution.execution import Execution
from interpreter_tools._execution.installing import Installed
from interpreter_tools._execution.placement import Missing, Placed
from interpreter_tools._languages import BASE_ENVIRONMENT, Job, Need
from interpreter_tools._languages.installers import NPM, PIP, SYSTEM
from interpreter_tools._protocol import Refused
from interpreter_tools._protocol.constants import Frame, Why
from interpreter_tools.testing.executions import Placing
from interpreter_tools.testing.sandbox import Sandbox, settle
from interpreter_tools.testing.wire import EXITED

if TYPE_CHECKING:
    from interpreter_tools._execution.installing import Waiter

KEY = "ab" * 32
NO_SETTINGS = IndexSettings(index={}, network={})


def shape(image_id: str = "sha256:1") -> Shape:
    """A container's shape."""
    return Shape(
        label="python",
        image="image:1",
        image_id=image_id,
        image_environment={},
        config=ContainerConfig(),
        boot_mode=None,
        boot_command=(),
        boot_environment={},
        image_volumes=(),
        identities=(),
        reused=False,
    )


# -- keys


def key(**changes: object) -> str:
    """The key of a requirement that differs from another in one thing."""
    values = {"language": "python", "plan": PIP, "packages": ("six",), "shape": shape(), "settings": NO_SETTINGS}
    return make_requirement(**{**values, "store": "s", **changes}).key  # pyright: ignore[reportArgumentType]


def test_key_is_the_same_for_the_same() -> None:
    """In every process, and for languages that install alike."""
    way = IndexSettings(index={}, network={"https_proxy": "x"}, authorities=Authorities({"ca_bundle": "/x"}))
    assert key() == key(language="typescript") == key(settings=way)
    assert len(key()) == 64
    assert set(key()) <= set("0123456789abcdef")


def test_key_differs_with_whatever_decides_what_is_installed() -> None:
    """The image, the packages, the index, the way of installing."""
    others = [
        key(shape=shape("sha256:2")),
        key(packages=("six", "toolz")),
        key(plan=NPM),
        key(settings=IndexSettings(index={"PIP_INDEX_URL": "https://index.example/"}, network={})),
    ]
    assert len({key(), *others}) == 5
    assert key(plan=SYSTEM) != key(plan=SYSTEM, store="other")  # an image belongs to one
    assert key() == key(store="other")


def test_installer_has_nothing_of_the_sandbox_but_its_image() -> None:
    """No mount, no port, no workspace that user code has seen, and no user of a session."""
    mounted = ContainerConfig(ports=(8000,), network="bridge", mounts=(Mount(target="/data", kind="tmpfs"),))
    private = msgspec.structs.replace(shape(), config=mounted, workspace_volume="v", uid=20_000, reused=True)
    assert installer_shape(private, EngineConfig()) == installer_shape(shape(), EngineConfig())


# -- settings


HOST = {
    "PIP_INDEX_URL": "https://index.example/simple",
    "PIP_EXTRA_INDEX_URL": "https://more.example/ http://localhost:1/ file:///srv/simple",
    "PIP_FIND_LINKS": "/opt/wheels",
    "PIP_CERT": "/etc/ssl/host.crt",
    "npm_config_registry": "https://npm.example/",
    "HTTPS_PROXY": "http://proxy.example:3128",
    "http_proxy": "http://127.0.0.1:3128",
    "NO_PROXY": ".example",
    "UV_INSECURE_HOST": "index.example",
    "HOME": "/root",
    "AWS_SECRET_ACCESS_KEY": "secret",
}


def test_settings_of_the_host_are_passed_on() -> None:
    """Those that mean the same in a container, and nothing else."""
    settings = IndexSettings.of(EngineConfig(), HOST)
    assert settings.index == {
        "PIP_INDEX_URL": "https://index.example/simple",
        "UV_DEFAULT_INDEX": "https://index.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://more.example/",
        "UV_INDEX": "https://more.example/",
        "npm_config_registry": "https://npm.example/",
    }
    proxies = {"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": ".example"}
    trusted = {"UV_INSECURE_HOST": "index.example", "PIP_TRUSTED_HOST": "index.example"}
    assert settings.network == proxies | trusted
    assert settings.proxies == proxies
    assert settings.authorities.files == {"PIP_CERT": "/etc/ssl/host.crt"}


def test_configuration_goes_before_the_hosts_settings() -> None:
    """Also where it names this host: who writes that knows why."""
    config = EngineConfig(
        index_url="http://localhost:3141/x",
        extra_index_urls=("https://a/", "https://b/"),
        npm_registry="https://n/",
        https_proxy="http://localhost:3128",
        no_proxy="",
    )
    settings = IndexSettings.of(config, HOST)
    assert settings.proxies == {
        "HTTPS_PROXY": "http://localhost:3128",
        "https_proxy": "http://localhost:3128",
        "NO_PROXY": "",
        "no_proxy": "",
    }
    index = settings.index
    assert index["UV_DEFAULT_INDEX"] == index["PIP_INDEX_URL"] == "http://localhost:3141/x"
    assert index["PIP_EXTRA_INDEX_URL"] == "https://a/ https://b/"
    assert index["npm_config_registry"] == "https://n/"


@pytest.mark.parametrize(
    "url", ["http://localhost/", "http://127.0.0.1:8080/", "http://[::1]/", "file:///x", "/x", "http://["]
)
def test_what_only_this_host_reaches_is_left_out(url: str) -> None:
    """A container has a loopback of its own."""
    assert IndexSettings.of(EngineConfig(), {"UV_INDEX_URL": url, "all_proxy": url}) == NO_SETTINGS


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("extra_index_urls", "https://index.example/"),
        ("dependency_store", "../x"),
        ("dependency_memory", "1m"),
        ("dependency_timeout", 0),
        ("store_max_size", "much"),
    ],
)
def test_configuration_that_cannot_work(field: str, value: object) -> None:
    """Named by its field."""
    with pytest.raises(ConfigurationError) as caught:
        EngineConfig(**{field: value})  # pyright: ignore[reportArgumentType]
    assert caught.value.field == field


# -- plans


def test_plan_puts_packages_before_what_is_there() -> None:
    """And leaves every other variable alone."""
    variables = PIP.visible({"PATH": "/bin", "X": "1"}, "/t")
    assert variables == {"PATH": "/t/bin:/bin", "X": "1", "PYTHONPATH": "/t/lib/site-packages"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "cargo", "install": (("x", "{packages}"),)}, "kind"),
        ({"kind": "words"}, "install"),
        ({"kind": "system", "install": (("x", "{packages}"),)}, "install"),
        ({"kind": "words", "install": (("x",),)}, "install"),
        ({"kind": "words", "install": ("x {packages}",)}, "install"),
        ({"kind": "words", "install": (("x", "{packages}"),), "paths": {"": "x"}}, "paths."),
    ],
)
def test_plan_that_cannot_work(fields: dict[str, object], field: str) -> None:
    """Told when it is made."""
    with pytest.raises(ConfigurationError) as caught:
        DependencyPlan(**fields)  # pyright: ignore[reportArgumentType]
    assert caught.value.field == f"dependencies.{field}"


# -- what goes


def entry(name: str, age: float, size: int = 10) -> StoreEntry:
    """An entry of the store."""
    return StoreEntry(name=name, language="", packages=(), image="", size=size, age=age)


ENTRIES = [
    entry("old", 9000),
    entry("middle", 6000),
    entry("new", 10),
    entry(".fresh", 20),
    entry(".left", 5000),
    entry("-x", 7000),
]


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ({"older_than": None, "max_size": None}, {".left", "-x"}),
        ({"older_than": 8000, "max_size": None}, {".left", "-x", "old"}),
        ({"older_than": None, "max_size": 30}, {".left", "-x", "old"}),
        ({"older_than": None, "max_size": 0}, {".left", "-x", "old", "middle", "new"}),
        ({"older_than": None, "max_size": None, "everything": True}, {".left", "-x", "old", "middle", "new"}),
    ],
)
def test_oldest_go_first(options: dict[str, float], gone: set[str]) -> None:
    """And leftovers when nobody can be at work on them any more."""
    assert {chosen.name for chosen in choose(ENTRIES, **options)} == gone  # pyright: ignore[reportArgumentType]


# -- a run that waits


class Installs:
    """Installations that end as the test says."""

    def __init__(self) -> None:
        self.waiters: list[Waiter] = []
        self.keys: list[str] = []
        self.left = 0

    @property
    def missing(self) -> Missing:
        """Packages that are installed here."""
        return Missing(KEY, self.join)

    def join(self, waiter: Waiter) -> Installs:
        """The place of the one who asks."""
        self.keys.append(KEY)
        self.waiters.append(waiter)
        return self

    def leave(self) -> None:
        """Wait no longer."""
        self.left += 1


class Waiting:
    """A run whose packages are missing, up to there."""

    def __init__(self, *, stdin: bytes | None = b"") -> None:
        self.sandbox = Sandbox()
        self.used: list[Sandbox] = []
        self.installs = Installs()
        self.placing = Placing(self.acquire)
        self.execution = Execution(self.placing, stdin=stdin, capture=True)

    async def acquire(self) -> Placed:
        """Another container each time."""
        if self.sandbox.released:
            self.used.append(self.sandbox)
            self.sandbox = Sandbox()
        need = Need(key=KEY, target=f"/store/{KEY}", link="l", path="p")
        job = Job(
            argv=("x",),
            booted=False,
            environment=BASE_ENVIRONMENT,
            files={b"main": b"code"},
            directory="/workspace",
            timeout=None,
            output_limit=None,
            need=need,
        )
        return Placed(job, self.sandbox, self.installs.missing)

    def refuse(self) -> None:
        """The entry is not there."""
        self.sandbox.say(Refused(Why.NEED, 2, KEY.encode()))

    async def installed(self, result: Installed | StoreFailed | None = None) -> None:
        """The installation ends."""
        self.installs.waiters[-1].installed(result or Installed())
        await settle()

    def kinds(self) -> list[object]:
        """What the supervisor was sent since the last time."""
        return [said[0] for said in self.sandbox.heard()]


async def test_entry_is_asked_for_before_the_start() -> None:
    """In the same write, so that a cached one costs nothing."""
    waiting = Waiting()
    async with waiting.execution as execution:
        said = waiting.sandbox.heard()
        assert said[0] == (Frame.NEED, KEY.encode(), b"l", b"p")
        assert [each[0] for each in said] == [Frame.NEED, Frame.PUT, Frame.DATA, Frame.DONE, Frame.START]
        waiting.sandbox.say(EXITED)
        result = await execution.result()
    assert (result.outcome, result.dependency_time, waiting.installs.keys) == ("ok", 0.0, [])


async def test_missing_entry_is_installed_and_the_run_begins_again() -> None:
    """With all that it was told the first time."""
    waiting = Waiting()
    async with waiting.execution as execution:
        first = waiting.kinds()
        waiting.refuse()
        assert waiting.installs.keys == [KEY]
        waiting.installs.waiters[0].installer_wrote("dependency_stdout", b"installing \xc3")
        waiting.installs.waiters[0].installer_wrote("dependency_stdout", b"\xa4\n")
        await waiting.installed()
        assert waiting.kinds() == first
        waiting.sandbox.say(EXITED)
        result = await execution.result()
    assert (result.outcome, result.dependency_stdout) == ("ok", "installing \u00e4\n")
    assert [sandbox.released for sandbox in waiting.used] == [[LeaseEnd.UNUSED]]
    assert waiting.sandbox.released == [LeaseEnd.CLEAN]


async def test_run_that_waits_for_packages_holds_no_container() -> None:
    """Others may need it; the run gets another one."""
    waiting = Waiting()
    async with waiting.execution as execution:
        waiting.refuse()
        assert waiting.sandbox.released == [LeaseEnd.UNUSED]
        await waiting.installed()
        assert waiting.sandbox.released == []
        waiting.sandbox.say(EXITED)
        await execution.result()


async def test_failed_installation_gives_the_container_back() -> None:
    """In doubt, as it was told about a run that never came."""
    waiting = Waiting()
    async with waiting.execution as execution:
        waiting.refuse()
        await waiting.installed(Installed(exit_code=3))
        result = await execution.result()
    assert (result.outcome, result.exit_code) == ("dependency_error", 3)
    assert waiting.sandbox.released == [LeaseEnd.UNUSED]


async def test_failure_of_the_machine_is_an_error() -> None:
    """No result is made up."""
    waiting = Waiting()
    async with waiting.execution as execution:
        waiting.refuse()
        await waiting.installed(StoreFailed("full"))
        with pytest.raises(StoreFailed, match="full"):
            await execution.result()
    assert waiting.sandbox.released == [LeaseEnd.UNUSED]


async def test_entry_that_is_evicted_again_and_again_is_given_up() -> None:
    """After three installations something else is wrong."""
    waiting = Waiting()
    async with waiting.execution as execution:
        for _ in range(3):
            waiting.refuse()
            await waiting.installed()
        waiting.refuse()
        with pytest.raises(StoreFailed, match="are not in the dependency store"):
            await execution.result()
    assert len(waiting.installs.keys) == 3


@pytest.mark.parametrize("how", ["leave", "kill", "end"])
async def test_waiting_ends_with_the_run(how: str) -> None:
    """However that ends; what the installation does after that is nobody's business."""
    waiting = Waiting()
    async with waiting.execution as execution:
        waiting.refuse()
        if how == "kill":
            await execution.kill()
            assert (await execution.result()).outcome == "killed"
        elif how == "end":
            assert waiting.placing.end is not None
            waiting.placing.end(SessionClosed("no"))
            with pytest.raises(SessionClosed):
                await execution.result()
    assert waiting.installs.left == 1
    waiting.installs.waiters[0].installer_wrote("dependency_stdout", b"late")
    await waiting.installed()
    assert waiting.sandbox.released == [LeaseEnd.UNUSED]


async def test_input_that_was_sent_too_early_is_sent_again() -> None:
    """The supervisor drops what comes for a run that it has refused."""
    waiting = Waiting(stdin=None)
    async with waiting.execution as execution:
        await execution.send_stdin(b"one")
        waiting.refuse()
        later = asyncio.create_task(execution.send_stdin(b"two"))
        await settle()
        assert not later.done()
        waiting.sandbox.heard()
        await waiting.installed()
        await later
        await execution.close_stdin()
        said = [each[1] for each in waiting.sandbox.heard() if each[0] == Frame.STDIN]
        assert said == [b"one", b"two", b""]
        waiting.sandbox.say(EXITED)
        await execution.result()


async def test_input_of_a_run_that_never_begins_is_refused() -> None:
    """Who waits to send is told."""
    waiting = Waiting(stdin=None)
    async with waiting.execution as execution:
        waiting.refuse()
        later = asyncio.create_task(execution.send_stdin(b"x"))
        await settle()
        await waiting.installed(Installed(exit_code=1))
        with pytest.raises(ExecutionClosed):
            await later
        assert (await execution.result()).outcome == "dependency_error"


async def test_place_that_must_be_made_first() -> None:
    """System packages: the run has no container before they are there."""
    installs, sandbox = Installs(), Sandbox()
    answers = [installs.missing, Placed((await Waiting().acquire()).job, sandbox)]

    async def acquire() -> Placed | Missing:
        return answers.pop(0)

    async with Execution(Placing(acquire), stdin=b"", capture=True) as execution:
        assert installs.keys == [KEY]
        installs.waiters[0].installed(Installed())
        await settle()
        assert sandbox.heard()[-1][0] == Frame.START
        sandbox.say(EXITED)
        assert (await execution.result()).outcome == "ok"
    assert sandbox.released == [LeaseEnd.CLEAN]


async def test_leaving_while_a_place_is_looked_for() -> None:
    """Nothing is started for somebody who is gone."""
    installs = Installs()
    began = asyncio.Event()

    async def acquire() -> Placed | Missing:
        if not installs.keys:
            return installs.missing
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with Execution(Placing(acquire), stdin=b"", capture=True):
        installs.waiters[0].installed(Installed())
        await began.wait()
    await settle()


def test_system_packages_need_no_command() -> None:
    """They are built into an image."""
    assert SYSTEM.install == ()
