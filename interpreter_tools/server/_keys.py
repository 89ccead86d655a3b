"""Keys: who may use the server, and how much of it."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from interpreter_tools._config.checks import parse_size
from interpreter_tools._exceptions import ConfigurationError
from interpreter_tools.server._errors import Refused, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

_HOUR = 3600.0
_MOST_WEBSOCKETS = 256
_PREFIX = "it_"
_SHORTEST = 16  # characters of a key
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Quota(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of a key; None means no limit of its own.

    Attributes:
        sandboxes: sandboxes at once.
        runs: runs and cells at once; more wait for their turn. As many commands at once, too; more are refused.
        cpu_seconds: seconds of processor time in an hour.
        bytes: bytes to and from workspaces in an hour.
    """

    sandboxes: int | None = None
    runs: int | None = None
    cpu_seconds: float | None = None
    bytes: int | None = None

    def __post_init__(self) -> None:
        for field in ("sandboxes", "runs", "cpu_seconds", "bytes"):
            value = getattr(self, field)
            if value is not None and value <= 0:
                raise ConfigurationError(f"quota.{field}", value, "is not above 0")


class _Allowance:
    """An amount that fills up evenly within an hour, and is used in pieces of any size."""

    def __init__(self, most: float | None, *, reason: str, clock: Callable[[], float]) -> None:
        self._most = most
        self._reason = reason
        self._clock = clock
        self._left = most or 0.0
        self._seen = clock()

    def check(self) -> None:
        """Refuse the owner who has used more than there was."""
        if self._most is None:
            return
        self._fill()
        if self._left <= 0:
            seconds = (1 - self._left) * _HOUR / self._most
            message = f"the key has used its {self._reason} of this hour: {self._most:.15g}"
            raise Refused(message, reason=f"quota_{self._reason}", retry_after=min(seconds, _HOUR))

    def use(self, amount: float) -> None:
        """Take an amount, also one that is not there any more: it is missing later."""
        if self._most is not None:
            self._fill()
            self._left -= amount

    def _fill(self) -> None:
        assert self._most is not None
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._seen) * self._most / _HOUR)
        self._seen = now


def _check_count(count: int, most: int | None, *, of: str, reason: str) -> None:
    """Refuse one more of what an owner has at once than its quota allows; None allows any number."""
    if most is not None and count >= most:
        message = f"the key has {most} {of}, as many as it may"
        raise Refused(message, reason=reason, retry_after=5, hint="end one of them")


class Owner:
    """The name and the limits that a key stands for, and the amounts used of them. Sandboxes belong to an owner.

    Attributes:
        id: the name of the owner; it is no secret.
        quota: the limits.
        is_admin: True when the owner may read the metrics and see everybody's sandboxes on the status page.
        tenant: the tenant of the owner's runs, see ``ContainerConfig``; None where the server has one owner only.
        sandboxes: sandboxes now.
        running: runs and cells now.
        commands: programs that commands and terminals have started, and that run.
        websockets: websockets of kernels now.
    """

    def __init__(
        self,
        owner_id: str,
        quota: Quota | None = None,
        *,
        is_admin: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = owner_id
        self.quota = quota or Quota()
        self.is_admin = is_admin
        self.tenant: str | None = None
        self.sandboxes = 0
        self.running = 0
        self.commands = 0
        self.websockets = 0
        self._cpu = _Allowance(self.quota.cpu_seconds, reason="cpu_seconds", clock=clock)
        self._bytes = _Allowance(self.quota.bytes, reason="bytes", clock=clock)

    def __repr__(self) -> str:
        return f"<Owner {self.id} [{self.sandboxes} sandboxes, {self.running} running]>"

    def check_sandboxes(self) -> None:
        """Refuse one more sandbox than the quota allows.

        Raises:
            Refused: the owner has as many as it may.
        """
        _check_count(self.sandboxes, self.quota.sandboxes, of="sandboxes", reason="quota_sandboxes")

    def check_commands(self) -> None:
        """Refuse one more command than the quota allows, and one when the processor time of this hour is used up.

        Raises:
            Refused: the owner has as many as it may, or no processor time.
        """
        self.check_cpu()
        _check_count(self.commands, self.quota.runs, of="commands that run", reason="quota_runs")

    @contextlib.contextmanager
    def websocket(self) -> Generator[None]:
        """Count a websocket of a kernel while the block runs.

        Raises:
            Refused: the owner has as many as a key may have.
        """
        _check_count(self.websockets, _MOST_WEBSOCKETS, of="websockets", reason="websockets")
        self.websockets += 1
        try:
            yield
        finally:
            self.websockets -= 1

    def check_cpu(self) -> None:
        """Refuse a run when the processor time of this hour is used up.

        Raises:
            Refused: it is used up.
        """
        self._cpu.check()

    @property
    def is_metered(self) -> bool:
        """True when the processor time of the owner is limited."""
        return self.quota.cpu_seconds is not None

    def use_cpu(self, seconds: float) -> None:
        """Take processor time, which is known only after it was used."""
        self._cpu.use(seconds)

    def use_bytes(self, count: int) -> None:
        """Take bytes that went to or from a workspace; none are always there.

        Raises:
            Refused: the bytes of this hour were used up before.
        """
        if count:
            self._bytes.check()
            self._bytes.use(count)

    @property
    def may_run(self) -> bool:
        """False while the owner has as many runs as it may."""
        return self.quota.runs is None or self.running < self.quota.runs


class Keys:
    """The keys that a server knows, of which it keeps the hashes only.

    Make one with ``generate``, ``load``, ``of`` or ``open``.
    """

    def __init__(self, owners: Iterable[tuple[bytes, Owner]], *, anyone: Owner | None = None) -> None:
        self._owners = tuple(owners)
        self._anyone = anyone
        if len(self.owners) > 1:
            for owner in self.owners:
                owner.tenant = owner.id

    def __repr__(self) -> str:
        return "<Keys [open]>" if self._anyone is not None else f"<Keys [{len(self._owners)}]>"

    @classmethod
    def generate(cls, name: str = "local") -> tuple[Self, str]:
        """Return keys with a single new one, and that key, which is told nowhere else."""
        key = new_key()
        return cls([(_digest(key), Owner(name, is_admin=True))]), key

    @classmethod
    def of(cls, *keys: str, quota: Quota | None = None) -> Self:
        """Return keys from texts, named ``key-1``, ``key-2`` and so on; each has the same quota.

        Raises:
            ConfigurationError: a key is shorter than 16 characters.
        """
        lines = (_Line(number, key) for number, key in enumerate(keys, 1))
        return cls([(line.digest, Owner(line.name, quota, is_admin=line.is_admin)) for line in lines])

    @classmethod
    def open(cls) -> Self:
        """Return keys that let everybody in, as one owner: for loopback, or behind what asks for a password itself."""
        return cls((), anyone=Owner("anyone", is_admin=True))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file of keys: one a line, or ``sha256:`` and its hash; then, where wanted, words such as these.

        ``name=alice sandboxes=10 runs=4 cpu_seconds=3600 bytes=10g admin``. What follows ``#`` is a comment. The call
        reads a file, so it blocks.

        Raises:
            ConfigurationError: the file cannot be read, has no key, or a line cannot work.
        """
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigurationError("--api-key-file", str(path), f"cannot be read: {reason}") from None
        numbered = ((number, line.partition("#")[0].strip()) for number, line in enumerate(text.splitlines(), 1))
        lines = [_Line(number, words) for number, words in numbered if words]
        if not lines:
            raise ConfigurationError("--api-key-file", str(path), "has no key", hint="write one key a line")
        owners = {line.name: Owner(line.name, line.quota, is_admin=line.is_admin) for line in lines}
        return cls([(line.digest, owners[line.name]) for line in lines])

    @property
    def is_open(self) -> bool:
        """True when everybody is let in."""
        return self._anyone is not None

    @property
    def owners(self) -> tuple[Owner, ...]:
        """The owners, each once."""
        found = {owner.id: owner for _, owner in self._owners}
        return (self._anyone,) if self._anyone is not None else tuple(found.values())

    def owner(self, presented: str | None) -> Owner:
        """Return the owner of a key. Every key is compared, in constant time.

        Args:
            presented: the key as the client sent it; None when it sent none.

        Raises:
            Unauthorized: there is no key, or the server does not know it.
        """
        if self._anyone is not None:
            return self._anyone
        if not presented:
            raise Unauthorized("there is no API key", hint="the server printed one, or has a file of them")
        digest = _digest(presented)
        found: Owner | None = None
        for known, owner in self._owners:
            if hmac.compare_digest(known, digest):
                found = owner
        if found is None:
            raise Unauthorized("the API key is not known")
        return found


def new_key() -> str:
    """Return a key that nobody can guess."""
    return _PREFIX + secrets.token_hex(20)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


class _Line:
    """A line of a file of keys."""

    def __init__(self, number: int, text: str) -> None:
        key, *words = text.split()
        self._number = number
        self.name = f"key-{number}"
        self.is_admin = False
        if key.startswith("sha256:"):
            if not _DIGEST.fullmatch(key):
                raise self._wrong(key[:20], "is not sha256: and 64 hexadecimal digits")
            self.digest = bytes.fromhex(key.removeprefix("sha256:"))
        elif len(key) < _SHORTEST:
            raise self._wrong("...", f"is shorter than {_SHORTEST} characters, so it can be guessed")
        else:
            self.digest = _digest(key)
        limits: dict[str, float | int] = {}
        for word in words:
            name, _, value = word.partition("=")
            if name == "name" and _NAME.fullmatch(value):
                self.name = value
            elif word == "admin":
                self.is_admin = True
            else:
                limits[name] = self._limit(name, value)
        self.quota = msgspec.convert(limits, Quota)

    def _limit(self, name: str, value: str) -> float | int:
        try:
            if name in {"sandboxes", "runs"}:
                limit: float | int = int(value)
            elif name == "cpu_seconds":
                limit = float(value)
            elif name == "bytes":
                limit = parse_size(value, field=name)
            else:
                raise self._wrong(name, "is not name, admin, sandboxes, runs, cpu_seconds or bytes")
        except ValueError as error:
            if isinstance(error, ConfigurationError):
                raise
            raise self._wrong(f"{name}={value}", "is not a number") from None
        if not limit > 0:
            raise self._wrong(f"{name}={value}", "is not above 0")
        return limit

    def _wrong(self, value: str, reason: str) -> ConfigurationError:
        return ConfigurationError(f"line {self._number} of the keys", value, reason)
