"""aiodocker's client, and its exceptions in terms of ours.

Only ``HttpConnection.library`` imports this module: aiodocker and aiohttp take longer than the rest of the package.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

import aiodocker
import aiohttp

from interpreter_tools._docker.errors import Refusal
from interpreter_tools._docker.plain import Answer

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, AsyncIterable, Generator, Mapping

    from interpreter_tools._docker.endpoint import Endpoint

_EXCERPT = 500  # characters of an error


@contextlib.contextmanager
def translated() -> Generator[None]:
    """Raise ``Refusal`` and ``OSError`` in place of the exceptions of aiodocker and aiohttp."""
    try:
        yield
    except aiodocker.DockerError as error:
        raise Refusal(error.status, error.message) from error
    except aiohttp.ClientError as error:
        raise ConnectionError(str(error) or type(error).__name__) from error


class Library:
    """aiodocker's client of one engine, over a pool of HTTP connections.

    Attributes:
        docker: the client.
    """

    def __init__(self, endpoint: Endpoint, tls: ssl.SSLContext | None, version: str | None) -> None:
        self._url = endpoint.base_url
        if endpoint.socket_path is not None:
            connector: aiohttp.BaseConnector = aiohttp.UnixConnector(endpoint.socket_path)
        else:
            connector = aiohttp.TCPConnector(ssl=True if tls is None else tls)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout())
        # With a connector of ours aiodocker looks for no configuration by itself: endpoint.py has done that
        self.docker = aiodocker.Docker(
            url=self._url, connector=connector, session=self._session, api_version=version or "auto"
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self.docker.close()
        await self._session.close()

    @contextlib.asynccontextmanager
    async def query(
        self,
        path: str,
        method: str,
        *,
        params: Mapping[str, str] | None = None,
        data: AsyncIterable[bytes] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Send a request, and yield the answer once its head has come.

        Raises:
            Refusal: the engine refused, or the connection broke.
            OSError: the connection broke in the middle of the answer.
        """
        with translated():
            # The method that every call of aiodocker uses
            async with self.docker._query(  # noqa: SLF001
                path, method, params=params, data=data, headers=headers
            ) as response:
                yield response

    async def pull(self, image: str) -> AsyncGenerator[object]:
        """Fetch an image, and yield each line of what the engine tells of it."""
        with translated():
            lines = cast("AsyncGenerator[object]", self.docker.images.pull(image, stream=True))
            async with contextlib.aclosing(lines):
                async for line in lines:
                    yield line

    async def send(
        self, method: str, path: str, *, version: str | None, params: Mapping[str, str] | None, data: bytes | None
    ) -> Answer:
        """Send a request and return the whole answer; as ``plain.send``."""
        if version is not None and method != "HEAD":
            async with self.query(path, method, params=params, data=data) as response:
                return Answer(body=await response.read())
        # `_query` asks for the version first, and reads an error from the body, which an answer to HEAD does not have
        url = "/".join(part for part in (self._url, version, path) if part)
        with translated():
            async with self._session.request(method, url, params=params) as response:
                answer = await response.read()
                if response.status >= 400:
                    raise Refusal(response.status, answer.decode(errors="replace")[:_EXCERPT] or response.reason or "")
                return Answer(body=answer, stat=response.headers.get("X-Docker-Container-Path-Stat", ""))
