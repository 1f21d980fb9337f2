"""A TCP proxy on loopback that can cut, hold back and delay what goes through it, at a moment of the test's choice."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

#: What becomes of one chunk from the client: ``None`` goes on; ``before``: the connection is cut instead of sending it;
#: ``after``: it is sent, and the connection is cut before any answer comes back.
Nemesis = Callable[[bytes], str | None]


class Proxies:
    """The thread and the event loop of a suite's proxies."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxies", daemon=True)
        self._thread.start()
        self._all: list[Proxy] = []

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def call(self, work: Any) -> Any:
        """Run a coroutine there; its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def to(self, port: int) -> Proxy:
        """A new proxy to a port of this machine."""
        proxy = Proxy(self, port)
        self._all.append(proxy)
        return proxy

    def close(self) -> None:
        """Cut everything and end the thread."""
        for proxy in self._all:
            proxy.close()
        self.call(_cancel_others())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


class Proxy:
    """One way in. ``port`` is where clients connect to."""

    def __init__(self, proxies: Proxies, target: int) -> None:
        self._proxies, self._target = proxies, target
        #: Seconds by which each chunk from a client is late.
        self.delay = 0.0
        self.nemesis: Nemesis | None = None
        self.chunks = 0
        self._links: set[_Link] = set()
        self._open: asyncio.Event = proxies.call(_new_event())
        self._server: asyncio.Server = proxies.call(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    def blackhole(self) -> None:
        """From now on nothing goes through, in either direction, and nobody is told."""
        self._proxies.call(self._set(on=False))

    def heal(self) -> None:
        """Let everything through again, at once; what was held back is delivered."""
        self.delay, self.nemesis = 0.0, None
        self._proxies.call(self._set(on=True))

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        return self._proxies.call(self._cut())  # type: ignore[no-any-return]

    def close(self) -> None:
        """No more connections."""
        self._proxies.call(self._close())

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _set(self, *, on: bool) -> None:
        self._open.set() if on else self._open.clear()

    async def _cut(self) -> int:
        links = list(self._links)
        for link in links:
            link.cut()
        return len(links)

    async def _close(self) -> None:
        self._server.close()
        await self._cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        self._links.add(link)
        try:
            await self._open.wait()
            server, link.upstream = await asyncio.open_connection("127.0.0.1", self._target)
            down = asyncio.create_task(self._down(server, writer, link))
            try:
                await self._up(reader, link.upstream, link)
            finally:
                link.cut()
                await asyncio.wait([down])
        except OSError:
            pass
        finally:
            link.cut()
            self._links.discard(link)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                self.chunks += 1
                fate = self.nemesis(data) if self.nemesis else None
                if fate == "before":
                    return
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._open.wait()
                link.deaf = fate == "after"
                writer.write(data)
                await writer.drain()
                if link.deaf:
                    # Long enough for the server to do what it was told; its answer is thrown away.
                    await asyncio.sleep(0.05)
                    return

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._open.wait()
                if not link.deaf:
                    writer.write(data)
                    await writer.drain()
        # The server ended the connection: its client must see that.
        if not link.deaf:
            link.cut()


class _Link:
    """A client's connection and ours to the server."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self._client = client
        self.upstream: asyncio.StreamWriter | None = None
        self.deaf = False

    def cut(self) -> None:
        """Reset both."""
        for writer in (self._client, self.upstream):
            if writer is not None:
                writer.transport.abort()


async def _new_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def _cancel_others() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0.05)
