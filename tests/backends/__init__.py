"""
The database servers of the suite.

``python -m tests.backends`` starts and stops them; see CONTRIBUTING.md. A test uses the names below: what is
known of a server, and ways to make it fail.
"""

from __future__ import annotations

from tests.backends.control import client_command, find, kill, restart
from tests.backends.control import start_again as start
from tests.backends.errors import BackendError
from tests.backends.server import Server

__all__ = ["BackendError", "Server", "client_command", "find", "kill", "restart", "start"]
