"""Database URLs of the environment, as entries of Django's ``DATABASES``."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

ENGINES = {
    "sqlite": "django.db.backends.sqlite3",
    "postgresql": "django.db.backends.postgresql",
    "mysql": "django.db.backends.mysql",
    "mariadb": "django.db.backends.mysql",
}


def database_from_url(url: str, name_suffix: str) -> dict[str, Any]:
    """
    The ``DATABASES`` entry for a URL such as ``mysql://root:secret@127.0.0.1:3307/synchro``.

    ``sqlite:////folder/file`` names a file. `name_suffix` keeps the test databases of the two sides apart
    where both live on one server.
    """
    parts = urlsplit(url)
    if parts.scheme not in ENGINES:
        raise ValueError(f"{parts.scheme!r} is none of {', '.join(ENGINES)}")
    path = unquote(parts.path[1:])
    settings: dict[str, Any] = {"ENGINE": ENGINES[parts.scheme], "NAME": path}
    if parts.scheme == "sqlite":
        name = f"{path}_{name_suffix}.sqlite3"
        settings["OPTIONS"] = {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
        settings["TEST"] = {"NAME": name}
    else:
        settings |= {
            "HOST": parts.hostname,
            "PORT": str(parts.port or ""),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "TEST": {"NAME": f"{path}_{name_suffix}"},
        }
    if settings["ENGINE"].endswith("mysql"):
        settings["OPTIONS"] = {"charset": "utf8mb4"}
        settings["TEST"] |= {"CHARSET": "utf8mb4"}
    return settings
