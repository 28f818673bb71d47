"""The one error of this package."""

from __future__ import annotations


class BackendError(Exception):
    """A server, or a way to get one, is not to be had; the message says why and what to do."""
