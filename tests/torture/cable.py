"""A network between terminals and service that loses, cuts and repeats what it carries.

Guarantee: the n-th exchange meets the same fault for the same seed; which terminal's it is, the
moment decides.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread

KEPT = 64
SERVICE_TIMEOUT_S = 15.0
FAULTS = (
    "request lost",
    "answer lost",
    "answer cut",
    "answer twice",
    "request twice",
    "old request again",
)
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


@dataclass
class Cable:
    """``share`` of the exchanges meet a fault; ``statuses`` are those of the service."""

    target: int
    seed: int
    share: float
    port: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    _carried: int = 0
    _old: deque[bytes] = field(default_factory=lambda: deque(maxlen=KEPT))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def carry(self, reader: Reader, writer: Writer) -> None:
        """One terminal's connection."""
        with suppress(OSError, EOFError, TimeoutError, asyncio.CancelledError):
            while request := await read_message(reader):
                if not await self._exchange(request, writer):
                    break
        writer.close()

    async def _exchange(self, request: bytes, writer: Writer) -> bool:
        """False where the connection is to be cut."""
        self._carried += 1
        drawn = random.Random(f"{self.seed}/{self._carried}")
        fault = drawn.choice(FAULTS) if drawn.random() < self.share else "none"
        self.faults[fault] += 1
        if fault == "request lost":
            return False
        if fault == "old request again" and self._old:
            await self._ask(drawn.choice(self._old))
        self._old.append(request)
        if fault == "request twice":
            answer, _ = await asyncio.gather(self._ask(request), self._ask(request))
        else:
            answer = await self._ask(request)
        if fault == "answer lost" or not answer:
            return False
        if fault == "answer cut":
            answer = answer[: drawn.randrange(1, len(answer))]
        writer.write(answer * 2 if fault == "answer twice" else answer)
        await writer.drain()
        return fault != "answer cut"

    async def _ask(self, request: bytes) -> bytes:
        """The service's answer; empty where there is none."""
        with suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(SERVICE_TIMEOUT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
                try:
                    writer.write(request)
                    answer = await read_message(reader)
                finally:
                    writer.close()
            self.statuses[int(answer[9:12] or 0)] += 1
            return answer
        return b""


async def read_message(reader: Reader) -> bytes:
    """Head and body of a request or an answer that has a Content-Length; empty at the end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return b""
    lines = head.lower().split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    return head + await reader.readexactly(length)


@contextmanager
def lay_cable(target: int, *, seed: int, share: float) -> Iterator[Cable]:
    cable, loop = Cable(target, seed, share), asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(cable.carry, "127.0.0.1", 0))
    cable.port = server.sockets[0].getsockname()[1]
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        yield cable
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(SERVICE_TIMEOUT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
