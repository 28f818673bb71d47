"""A TCP proxy in front of a server, on this machine only, whose link can be cut in several ways."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

CHUNK = 65536
#: Closing with it sends a reset instead of an orderly end.
AT_ONCE = struct.pack("ii", 1, 0)


class Link:
    """One connection through the proxy: what either end sends is passed on to the other."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._ends = proxy, (client, server)
        self._may_pass = threading.Event()
        self._may_pass.set()
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                place = self._proxy.count(len(data))
                target.sendall(data[:place])
                if place < len(data):
                    self._proxy.strike(self)
                self._may_pass.wait()
                target.sendall(data[place:])
        self._may_pass.wait()  # a link that stalls does not tell that one end has gone, either
        self.close()

    def stall(self) -> None:
        """Nothing passes any more, and neither end is told."""
        self._may_pass.clear()

    def go_on(self) -> None:
        self._may_pass.set()

    def reset(self) -> None:
        """Both ends are told that the other refuses to go on."""
        for end in self._ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self._close(socket.SHUT_RD)  # wakes who reads, and says nothing to the other end

    def close(self) -> None:
        """An orderly end; the rest of what was on its way is dropped."""
        self._close(socket.SHUT_RDWR)

    def _close(self, how: int) -> None:
        self._may_pass.set()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(how)
            end.close()


class Proxy:
    """Listens on a port of its own; leaving the ``with`` block ends all connections."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._links: list[Link] = []
        self._lock = threading.Lock()
        #: How many bytes have passed, in both directions together.
        self.passed = 0
        self._limit: int | None = None
        self._fault: Callable[[Link], None] | None = None
        #: Set once the fault that was asked for has happened.
        self.happened = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for link in self._links:
            link.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                try:
                    server = socket.create_connection(self._address)
                except OSError:  # a server that is down: let the client know
                    client.close()
                    continue
                self._links.append(Link(self, client, server))

    def count(self, size: int) -> int:
        """How many of `size` bytes that have arrived may pass before the fault is due."""
        with self._lock:
            self.passed += size
            if self._limit is None or self.passed < self._limit:
                return size
            place = size - 1 - (self.passed - self._limit)
            self._limit = None
            return place

    def strike(self, link: Link) -> None:
        assert self._fault is not None
        self._fault(link)
        self.happened.set()

    def after(self, count: int, fault: Callable[[Link], None]) -> None:
        """Once `count` more bytes have passed, let `fault` happen to the connection that they passed through."""
        with self._lock:
            self.happened.clear()
            self._limit, self._fault = self.passed + max(1, count), fault

    def stall(self) -> None:
        """Stall all connections that there are; new ones pass."""
        for link in self._links:
            link.stall()
