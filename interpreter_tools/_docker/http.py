"""Requests to one Docker engine: one deadline, one kind of retry and one mapping of errors for all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from interpreter_tools._deadline import awake_timeout
from interpreter_tools._docker import plain
from interpreter_tools._docker.errors import CONNECTION_FAILED, GARBLED, Refusal, map_docker_errors

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from interpreter_tools._docker.endpoint import Endpoint
    from interpreter_tools._docker.library import Library
    from interpreter_tools._docker.plain import Answer

_T = TypeVar("_T")

_ATTEMPTS = 4
_AT_ONCE = 100  # connections of plain requests, as many as aiohttp has; the engine's socket queues a little more
_EXCERPT = 500  # characters of an error
_FIRST_WAIT = 0.05
_LONGEST_WAIT = 1.0


def _load_library() -> type[Library]:
    """Import aiodocker, if need be, and return what uses it. Takes a tenth of a second the first time."""
    from interpreter_tools._docker.library import Library  # noqa: PLC0415 - it takes longer than all else together

    return Library


def _is_transient(error: BaseException) -> bool:
    """Return True when the same request may succeed a moment later."""
    return isinstance(error, Refusal) and (error.status >= 500 or error.status == CONNECTION_FAILED)


async def _repeat(call: Callable[[], Awaitable[_T]]) -> _T:
    """Make a call, and make it again, a few times, while it fails and the same call may succeed a moment later."""
    try:
        return await call()
    except Refusal as error:
        if not _is_transient(error):
            raise
    import tenacity  # noqa: PLC0415 - few calls fail

    await asyncio.sleep(_FIRST_WAIT)
    return await tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(_is_transient),
        stop=tenacity.stop_after_attempt(_ATTEMPTS - 1),
        wait=tenacity.wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
        reraise=True,
    )(call)


class HttpConnection:
    """Requests to the engine at one endpoint: by aiodocker, over a pool of HTTP connections.

    A brief connection imports aiodocker only for what is more than a plain request over a Unix socket. All other
    requests of such a connection go the way of ``plain``.

    Attributes:
        endpoint: the address of the engine.
        tls: the context for TLS; None means plain.
        version: the version of the API, such as ``"v1.41"``; None before the engine has told it.
        deadline: seconds that a request may take, its repetitions included.
    """

    def __init__(self, endpoint: Endpoint, tls: ssl.SSLContext | None, *, deadline: float) -> None:
        self.endpoint = endpoint
        self.tls = tls
        self.version: str | None = None
        self.deadline = deadline
        self._loading = asyncio.Lock()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._library: Library | None = None
        self._closed = False

    @classmethod
    async def open(cls, endpoint: Endpoint, *, deadline: float, brief: bool = False) -> Self:
        """Return a connection to an endpoint; no request is sent yet.

        Args:
            endpoint: the address of the engine.
            deadline: seconds that a request may take.
            brief: True for a process of our own that makes a few requests and ends.

        Raises:
            OSError: a file for TLS cannot be used.
        """
        tls = None if endpoint.tls is None else await asyncio.to_thread(endpoint.tls.context)
        connection = cls(endpoint, tls, deadline=deadline)
        if not brief or endpoint.socket_path is None:
            await connection.library()
        return connection

    async def library(self) -> Library:
        """Return aiodocker's client, for what is more than a plain request; import it if need be."""
        async with self._loading:
            if self._library is None:
                library = await asyncio.to_thread(_load_library)
                self._check_open()
                self._library = library(self.endpoint, self.tls, self.version)
        return self._library

    async def aclose(self) -> None:
        """Close the connections."""
        self._closed = True
        if self._library is not None:
            await self._library.aclose()

    def use_version(self, version: str) -> None:
        """Ask in a version of the API from now on.

        Args:
            version: such as ``"v1.41"``.
        """
        self.version = version
        if self._library is not None:
            self._library.docker.api_version = version

    async def ask_version(self) -> bytes:
        """Return the answer to ``GET /version``, which every version of the API understands."""
        return (await self.send("GET", "version")).body

    async def send(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, data: bytes | None = None
    ) -> Answer:
        """Send one request, and return the whole answer.

        Args:
            method: of HTTP.
            path: below the API's version.
            params: of the query.
            data: JSON.

        Raises:
            Refusal: the engine refused, or the connection broke.
            OSError: the connection broke in the middle of the answer.
        """
        self._check_open()
        if self._library is not None:
            return await self._library.send(method, path, version=self.version, params=params, data=data)
        assert self.endpoint.socket_path is not None  # else `open` has imported aiodocker
        async with self._turns:
            return await plain.send(
                self.endpoint.socket_path, method, path, version=self.version, params=params, data=data
            )

    def _check_open(self) -> None:
        if self._closed:
            raise Refusal(CONNECTION_FAILED, "the connection to the Docker engine was closed")

    async def ask(
        self,
        operation: str,
        call: Callable[[], Awaitable[_T]],
        *,
        again: bool = False,
        image: str | None = None,
        deadline: float | None = None,
    ) -> _T:
        """Call the engine, and return the result of the call.

        Args:
            operation: a name of the call, for error messages.
            call: makes the call.
            again: True for an idempotent call, which is repeated when the engine failed or the connection broke.
            image: the image that a 404 may be about.
            deadline: seconds; None means the connection's.
        """
        deadline = self.deadline if deadline is None else deadline
        with map_docker_errors(operation, image=image, deadline=deadline):
            async with awake_timeout(deadline):
                return await (_repeat(call) if again else call())

    async def request(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        again: bool | None = None,
        image: str | None = None,
        deadline: float | None = None,
        read: Callable[[Any], _T],
    ) -> _T:
        """Send one request, and return the engine's answer to it.

        Args:
            operation: a name of the request, for error messages.
            method: of HTTP.
            path: below the API's version.
            params: of the query.
            body: sent as JSON.
            again: True when the request may be repeated; None means that GET and DELETE may be.
            image: the image that a 404 may be about.
            deadline: seconds; None means the connection's.
            read: is given the answer, decoded from JSON; an empty one is None. It raises ``ValueError``, ``TypeError``
                or ``KeyError`` where the answer makes no sense.
        """
        data = None if body is None else msgspec.json.encode(body)

        async def send() -> _T:
            answer = (await self.send(method, path, params=params, data=data)).body
            try:
                return read(msgspec.json.decode(answer) if answer else None)
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                text = f"an answer that makes no sense: {answer[:_EXCERPT]!r} ({error})"
                raise Refusal(GARBLED, text) from error

        idempotent = method in {"GET", "DELETE"} if again is None else again
        return await self.ask(operation, send, again=idempotent, image=image, deadline=deadline)
