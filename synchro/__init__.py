"""Captures every change of the watched models and replays it into another database."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    #: The version of the distribution ``django-synchro``.
    __version__ = version("django-synchro")
except PackageNotFoundError:  # the folder was copied into a project, and nothing was installed
    __version__ = "unknown"
