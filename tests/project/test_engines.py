"""The registry of engines: every class that it names is there, and has what its flags promise."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections
from django.utils.module_loading import import_string

from synchro.backends import Backend, backend_for
from synchro.backends.abilities import RawRows, ReservedKeys, raw_rows, reserved_keys
from synchro.backends.engines import ENGINES
from synchro.exceptions import NotReady
from synchro.triggers import Triggers, triggers_for

ABILITIES = {"supports_raw_rows": RawRows, "supports_reserved_keys": ReservedKeys}


@pytest.mark.parametrize("name", ENGINES)
def test_each_engine_has_both_parts_and_the_methods_that_its_flags_promise(name: str) -> None:
    backend = import_string(ENGINES[name].backend)
    assert issubclass(backend, Backend)
    assert issubclass(import_string(ENGINES[name].triggers), Triggers)
    assert not backend.__abstractmethods__
    for flag, ability in ABILITIES.items():
        has = {method for method in ability.__abstractmethods__ if hasattr(backend, method)}
        assert has == (ability.__abstractmethods__ if getattr(backend, flag) else set())


@pytest.mark.django_db
def test_parts_are_bound_to_their_connection_and_made_once() -> None:
    connection = connections["default"]
    backend, triggers = backend_for(connection), triggers_for(connection)
    assert backend.connection is connection
    assert triggers.connection is connection
    assert backend_for(connection) is backend
    assert triggers_for(connection) is triggers
    assert raw_rows(backend) is (backend if backend.supports_raw_rows else None)
    assert reserved_keys(backend) is (backend if backend.supports_reserved_keys else None)


@pytest.mark.django_db
def test_an_engine_without_triggers_is_used_with_signals(monkeypatch: Any) -> None:
    connection = type(connections["default"])(connections["default"].settings_dict, "default")
    engine = ENGINES["sqlite"]
    monkeypatch.setattr(connection, "vendor", "sqlite")
    monkeypatch.setattr(
        "synchro.backends.engines.ENGINES", {"sqlite": type(engine)(engine.vendor, engine.backend)}
    )
    assert isinstance(backend_for(connection), Backend)
    with pytest.raises(NotReady, match="use SYNCHRO_CAPTURE = 'signals'"):
        triggers_for(connection)
