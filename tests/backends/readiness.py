"""Whether a server answers, found out by speaking the first words of its protocol."""

from __future__ import annotations

import socket
import struct

from tests.backends.server import Server

PROTOCOL_3 = 196_608
FIRST_BYTES = 4


def answers(server: Server) -> bool:
    """Whether `server` takes connections now. (It may be listening and refuse them, while it starts.)"""
    try:
        with socket.create_connection((server.host, server.port), timeout=5) as connection:
            if server.kind == "postgresql":
                return _greets_as_postgresql(connection, server)
            return _greets_as_mysql(connection)
    except OSError:
        return False


def _greets_as_postgresql(connection: socket.socket, server: Server) -> bool:
    """PostgreSQL says R (authenticate) to a user's first message, or E (an error) until it is ready."""
    names = f"user\0{server.user}\0database\0postgres\0\0".encode()
    connection.sendall(struct.pack("!ii", 8 + len(names), PROTOCOL_3) + names)
    return connection.recv(1) == b"R"


def _greets_as_mysql(connection: socket.socket) -> bool:
    """They speak first: a header of four bytes, then the version of their protocol, or 255 for an error."""
    greeting = b""
    while len(greeting) <= FIRST_BYTES:
        received = connection.recv(64)
        if not received:
            return False
        greeting += received
    return greeting[FIRST_BYTES] == 10
