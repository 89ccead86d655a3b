"""Requests to one Docker engine: one deadline, one kind of retry and one mapping of errors for all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiodocker
import aiohttp
import msgspec
import tenacity

from interpreter_tools._deadline import awake_timeout
from interpreter_tools._docker.errors import CONNECTION_FAILED, GARBLED, map_docker_errors

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from interpreter_tools._docker.endpoint import Endpoint

_T = TypeVar("_T")

_ATTEMPTS = 4
_EXCERPT = 500  # characters of an error
_FIRST_WAIT = 0.05
_LONGEST_WAIT = 1.0


def _is_transient(error: BaseException) -> bool:
    """Return True when the same request may succeed a moment later."""
    return isinstance(error, aiodocker.DockerError) and (error.status >= 500 or error.status == CONNECTION_FAILED)


class HttpConnection:
    """Requests to the engine at one endpoint, over a pool of HTTP connections.

    Attributes:
        endpoint: the address of the engine.
        tls: the context for TLS; None means plain.
        docker: aiodocker's client, for the calls that are more than a plain request.
        deadline: seconds that a request may take, its repetitions included.
    """

    def __init__(self, endpoint: Endpoint, tls: ssl.SSLContext | None, *, deadline: float) -> None:
        self.endpoint = endpoint
        self.tls = tls
        self.deadline = deadline
        if endpoint.socket_path is not None:
            self._connector: aiohttp.BaseConnector = aiohttp.UnixConnector(endpoint.socket_path)
        else:
            self._connector = aiohttp.TCPConnector(ssl=True if tls is None else tls)
        self._session = aiohttp.ClientSession(connector=self._connector, timeout=aiohttp.ClientTimeout())
        # With a connector of ours aiodocker looks for no configuration by itself: endpoint.py has done that
        self.docker = aiodocker.Docker(url=endpoint.base_url, connector=self._connector, session=self._session)

    @classmethod
    async def open(cls, endpoint: Endpoint, *, deadline: float) -> Self:
        """Return a connection to an endpoint; no request is sent yet.

        Raises:
            OSError: a file for TLS cannot be used.
        """
        tls = None if endpoint.tls is None else await asyncio.to_thread(endpoint.tls.context)
        return cls(endpoint, tls, deadline=deadline)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.docker.close()
        await self._session.close()

    async def ask_version(self) -> bytes:
        """Return the answer to ``GET /version``, which every version of the API understands."""
        async with self._session.get(f"{self.endpoint.base_url}/version") as response:
            answer = await response.read()
            if response.status >= 400:
                raise aiodocker.DockerError(response.status, answer.decode(errors="replace")[:_EXCERPT])
            return answer

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
                if not again:
                    return await call()
                return await tenacity.AsyncRetrying(
                    retry=tenacity.retry_if_exception(_is_transient),
                    stop=tenacity.stop_after_attempt(_ATTEMPTS),
                    wait=tenacity.wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
                    reraise=True,
                )(call)

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
            if self._session.closed:
                raise aiodocker.DockerError(CONNECTION_FAILED, "the connection to the Docker engine was closed")
            # The method that every call of aiodocker uses
            async with self.docker._query(path, method, params=params, data=data) as response:  # noqa: SLF001
                answer = await response.read()
            try:
                return read(msgspec.json.decode(answer) if answer else None)
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                text = f"an answer that makes no sense: {answer[:_EXCERPT]!r} ({error})"
                raise aiodocker.DockerError(GARBLED, text) from error

        idempotent = method in {"GET", "DELETE"} if again is None else again
        return await self.ask(operation, send, again=idempotent, image=image, deadline=deadline)
