"""One connection at the destination: asks for batches, checks what comes, and puts it on the device."""

from __future__ import annotations

import time
from collections import Counter, deque
from contextlib import ExitStack

from ..copying.task import Task
from ..copying.writer import Asked, Writer
from ..disk.blocks import UNKNOWN, Bytes, aligned, digest, zero_digest
from ..errors import BlockCorrupted, SourceFailed, quotable
from . import protocol
from .compression import Decompressor
from .connections import Connection, fill, reader, send
from .protocol import Hello, Kind, Reply, Request

DEPTH = 2  # batches asked for and not yet here: the next one is on its way while this one is stored
ATTEMPTS = 4  # at a block that doesn't come as its hash says
RENEW = 256 << 30  # bytes after which a connection is replaced: an AES-GCM key is good for some 380 GB


class Receiver:
    """Works on a task over one connection, in one thread."""

    def __init__(self, connection: Connection, task: Task) -> None:
        self._connection, self._task = connection, task
        self._asked: deque[Asked] = deque()
        self._attempts: Counter[int] = Counter()
        self._buffer = aligned(task.copy.block_size)
        self._decompressor = Decompressor()
        self._compression = False
        self._received = 0
        self._waited, self._since = 0.0, time.monotonic()

    def run(self) -> bool:
        """Work until nothing is left or all shall end (False), or until another connection shall go on (True).

        What was asked for and didn't come is given back, however this ends.
        """
        with ExitStack() as stack:
            stack.callback(self._give_back)
            self._writer = stack.enter_context(Writer(self._task))
            self._greet()
            while not self._task.work.closed and self._ask():
                self._take_reply()
            return self._received >= RENEW and not self._task.work.closed

    def _greet(self) -> None:
        mine = Hello.of(self._task.copy, self._task.compression)
        send(self._connection, protocol.encode_hello(mine))
        self._compression = protocol.read_hello(reader(self._connection)).check(mine)

    def _give_back(self) -> None:
        for asked in self._asked:
            self._task.work.give_back(asked.rest())

    # asking

    def _ask(self) -> bool:
        """Ask ahead; False when nothing is under way and nothing is left."""
        while len(self._asked) < DEPTH and self._received < RENEW:
            blocks = self._task.work.take(wait=not self._asked)
            if blocks is None:
                break
            asked = Asked(blocks, blocks.start)
            self._asked.append(asked)
            self._writer.look(asked)
            self._request(Request(blocks.start, len(blocks), asked.known, self._percent_waited()))
        return bool(self._asked)

    def _ask_again(self, asked: Asked, block: int) -> None:
        """Without hashes: then the block itself has to come."""
        self._attempts[block] += 1
        if self._attempts[block] >= ATTEMPTS:
            raise BlockCorrupted(
                f"copy {self._task.copy.id}: block {block} at offset {self._task.copy.offset(block)} came "
                f"{ATTEMPTS} times, and never as its hash says; is the memory of one of the hosts at fault?"
            )
        self._task.tally.add("resent")
        again = Asked(range(block, block + 1), block, asked.known_at(block), asked.journaled_at(block))
        self._asked.append(again)
        self._request(Request(block, 1))

    def _request(self, request: Request) -> None:
        data = protocol.encode_request(request)
        self._task.tally.add("wire_sent", len(data))
        send(self._connection, data)

    def _percent_waited(self) -> int:
        now = time.monotonic()
        percent = min(100, int(100 * self._waited / max(now - self._since, 1e-9)))
        self._waited, self._since = 0.0, now
        return percent

    # taking

    def _take_reply(self) -> None:
        asked = self._asked[0]
        block, length = asked.at, self._task.copy.length(asked.at)
        began = time.monotonic()
        reply = protocol.read_reply(self._read, length, compression=self._compression)
        content = self._buffer[: reply.length]
        fill(self._connection, content)
        self._waited += time.monotonic() - began
        self._count(protocol.REPLY_HEAD + reply.length)
        asked.at += 1
        if not asked.rest():
            self._asked.popleft()
        self._settle(asked, block, reply, content)

    def _settle(self, asked: Asked, block: int, reply: Reply, content: Bytes) -> None:
        length = self._task.copy.length(block)
        if reply.kind is Kind.ERROR:
            raise SourceFailed(f"the source can't send: {quotable(bytes(content).decode(errors='replace'))}")
        if reply.kind is Kind.ZSTD:
            content = self._decompressor.block(bytes(content), length) or b""
        if not _is_true(reply, content, asked.known_at(block), length):
            self._ask_again(asked, block)
            return
        if reply.kind is not Kind.SAME:
            self._writer.store(asked, block, None if reply.kind is Kind.ZERO else content, reply.digest)
        self._writer.record(asked, block, reply.digest, written=reply.kind is not Kind.SAME)
        self._task.tally.done(reply.kind.name.lower(), 1, length)
        self._task.work.settle()

    def _read(self, size: int) -> bytes:
        return reader(self._connection)(size)

    def _count(self, size: int) -> None:
        self._received += size
        self._task.tally.add("wire_received", size)


def _is_true(reply: Reply, content: Bytes, known: bytes, length: int) -> bool:
    """Whether a reply's hash is that of the block that it says."""
    if reply.kind is Kind.SAME:
        return reply.digest == known != UNKNOWN
    if reply.kind is Kind.ZERO:
        return reply.digest == zero_digest(length)
    return len(content) == length and digest(content) == reply.digest
