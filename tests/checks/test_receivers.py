"""System checks of SYNCHRO_RECEIVERS: names that are nobody's, and code of other packages that would run on REMOTE."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_save
from django.test import override_settings
from rest_framework.reverse import reverse

from synchro.checks import check_receivers
from tests.people.models import City, Club, Person

pytestmark = pytest.mark.once


def found(**settings: Any) -> list[CheckMessage]:
    with override_settings(**{"SYNCHRO_MODELS": ["people"], "SYNCHRO_CAPTURE": "signals", **settings}):
        return check_receivers()


@contextmanager
def listening(receiver: Callable[..., Any], *senders: type[Model], signal: Any = post_save) -> Iterator[None]:
    with ExitStack() as stack:
        for sender in senders:
            signal.connect(receiver, sender=sender)
            stack.callback(signal.disconnect, receiver, sender=sender)
        yield


def of_the_project(**kwargs: Any) -> None:
    """A receiver that nobody has installed."""


def test_project_whose_code_is_its_own_passes() -> None:
    with listening(of_the_project, Person):
        assert found() == []


@pytest.mark.parametrize(
    "names",
    [
        "all",
        "none",
        "raw",
        ["people"],
        ["tests.people"],
        ["PEOPLE.person"],
        ["all", "-tests.checks.test_receivers.of_the_project"],
        ["tests.checks.test_receivers"],
    ],
)
def test_names_of_what_there_is_pass(names: Any) -> None:
    with listening(of_the_project, Person):
        assert found(SYNCHRO_RECEIVERS=names) == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("peple", "'people'"),
        ("people.Persn", "'people.Person'"),
        ("tests.checks.test_receivers.of_the_projekt", "'tests.checks.test_receivers.of_the_project'"),
        ("-tests.checks.test_receivers.of_the_projekt", "'tests.checks.test_receivers.of_the_project'"),
        ("xyzzy.nothing.at.all", "shop.receivers.update_index"),
    ],
)
def test_name_that_is_nobodys_is_named_with_what_it_resembles(name: str, hint: str) -> None:
    with listening(of_the_project, Person):
        (message,) = found(SYNCHRO_RECEIVERS=["all", name])

    assert message.id == "synchro.W040"
    assert name.removeprefix("-") in message.msg
    assert hint in str(message.hint)


def test_name_in_a_models_own_choice_is_named_with_the_model(monkeypatch: Any) -> None:
    monkeypatch.setattr(City, "SYNCHRO_RECEIVERS", ["citty"], raising=False)

    (message,) = found()

    assert (message.id, message.obj) == ("synchro.W040", City)


def test_wrong_choice_of_a_model_is_named(monkeypatch: Any) -> None:
    monkeypatch.setattr(City, "SYNCHRO_RECEIVERS", True, raising=False)

    (message,) = found()

    assert (message.id, message.obj) == ("synchro.E040", City)


@pytest.mark.parametrize("capture", ["signals", "triggers"])
def test_code_of_other_packages_is_named_once_with_the_setting_that_leaves_it_out(capture: str) -> None:
    with listening(reverse, Person, City), listening(reverse, Person.friends.through, signal=m2m_changed):
        messages = found(SYNCHRO_CAPTURE=capture, SYNCHRO_RECEIVERS="all")

    (message,) = messages
    assert message.id == "synchro.W042"
    assert "rest_framework" in message.msg
    assert "people.Person, " in message.msg
    assert "people.City" in message.msg
    assert "SYNCHRO_RECEIVERS = ['all', '-rest_framework']" in str(message.hint)


def test_method_that_another_package_overrides_is_named(monkeypatch: Any) -> None:
    monkeypatch.setattr(Club, "save", reverse)

    (message,) = found()

    assert (message.id, "rest_framework (people.Club)" in message.msg) == ("synchro.W042", True)


@pytest.mark.parametrize(
    "settings",
    [
        {"SYNCHRO_RECEIVERS": ["all", "-rest_framework"]},
        {"SYNCHRO_RECEIVERS": ["people"]},
        {"SYNCHRO_RECEIVERS": "none"},
        {"SYNCHRO_CAPTURE": "triggers"},
        {"SYNCHRO_MODELS": [("people", "City")]},
    ],
)
def test_nothing_is_said_of_code_that_does_not_run(settings: dict[str, Any]) -> None:
    with listening(reverse, Person):
        assert found(**settings) == []


@pytest.fixture
def history(monkeypatch: Any) -> Callable[..., None]:
    """A receiver as django-simple-history has them."""
    module = ModuleType("simple_history.models")
    module.__file__ = "/usr/lib/python3/site-packages/simple_history/models.py"
    monkeypatch.setitem(sys.modules, "simple_history.models", module)

    class HistoricalRecords:
        def post_save(self, **kwargs: Any) -> None:
            """Writes to LOCAL."""

    HistoricalRecords.__module__ = HistoricalRecords.post_save.__module__ = "simple_history.models"
    HistoricalRecords.post_save.__qualname__ = "HistoricalRecords.post_save"
    records = HistoricalRecords()
    return records.post_save


def test_receivers_that_write_histories_are_known(history: Callable[..., None]) -> None:
    with listening(history, Person), listening(reverse, City):
        histories, others = found()

    assert (histories.id, others.id) == ("synchro.W041", "synchro.W042")
    assert "simple_history (people.Person)" in histories.msg
    assert "SYNCHRO_RECEIVERS = ['all', '-simple_history']" in str(histories.hint)
    with listening(history, Person):
        assert found(SYNCHRO_RECEIVERS=["all", "-simple_history"]) == []


@pytest.mark.parametrize(
    "value", [True, "some", "shop", 5, [5], ["all", ""], ["-"], ["none", "shop"], {"shop": "all"}]
)
def test_setting_that_cannot_be_is_named(value: Any) -> None:
    from synchro.registry import wrong_settings

    with override_settings(SYNCHRO_RECEIVERS=value):
        assert [str(error).startswith("SYNCHRO_RECEIVERS is ") for error in wrong_settings()] == [True]


@pytest.mark.parametrize(("capture", "expected"), [("signals", ["synchro.W043"]), ("triggers", [])])
def test_trees_that_number_rows_by_sql_are_named_where_signals_capture(
    capture: str, expected: list[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr("synchro.checks.receivers.TREES", ("tests",))  # which these models come from

    messages = found(SYNCHRO_CAPTURE=capture)

    assert [message.id for message in messages] == expected
    assert all("tests (people." in message.msg for message in messages)
