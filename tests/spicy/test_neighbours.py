"""How packages of others are told about the fields: see tests/neighbours for the packages themselves."""

from __future__ import annotations

import copy
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import CharField, F, IntegerField, Value

from django_spicy_id import SpicyBigAutoField, SpicyBigIntegerField, neighbours
from django_spicy_id.checks import check_neighbours
from django_spicy_id.neighbours.casts import IdCast
from tests.spicy.models import Invoice, Note, Tag, User

MODELS = """
class _Cast: pass
def transform_field(field):
    return field
"""


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that has the name of simple_history, and is none."""
    package = tmp_path / "simple_history"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    neighbours.problems.clear()
    for name in [name for name in sys.modules if name.startswith("simple_history")]:
        del sys.modules[name]


def imported() -> ModuleType:
    import simple_history.models

    return simple_history.models


@pytest.mark.once
def test_a_package_is_told_as_soon_as_it_is_imported(history: Path) -> None:
    field = SpicyBigAutoField(primary_key=True, prefix="usr", randomize=True)
    module = imported()
    assert module.__file__ == str(history / "models.py")
    assert type(module.__spec__.loader).__module__ == "_frozen_importlib_external"
    assert type(module.transform_field(field)) is SpicyBigIntegerField
    assert not field.has_default()
    assert check_neighbours() == []


@pytest.mark.once
def test_a_package_that_is_not_as_it_is_known_goes_on_and_is_named(history: Path) -> None:
    (history / "models.py").write_text("transform = None")
    assert imported().transform is None
    (message,) = check_neighbours()
    assert (message.id, "simple_history.models" in message.msg) == ("spicy_id.W002", True)


@pytest.mark.once
def test_a_package_that_cannot_be_imported_fails_as_without_us(history: Path) -> None:
    (history / "models.py").write_text("1 / 0")
    with pytest.raises(ZeroDivisionError):
        imported()
    assert "simple_history.models" not in sys.modules


@pytest.mark.once
def test_a_package_that_is_only_looked_for_answers_as_without_us(history: Path) -> None:
    spec = importlib.util.find_spec("simple_history.models")
    assert spec is not None
    loader: Any = spec.loader
    assert loader.get_source("simple_history.models") == MODELS
    assert loader.is_package("simple_history.models") is False
    copy.copy(loader)


@pytest.mark.once
def test_a_package_is_told_again_when_it_is_reloaded(history: Path) -> None:
    (history / "models.py").write_text("transform = None")
    module = imported()
    assert len(check_neighbours()) == 1
    (history / "models.py").write_text(MODELS + "# another length")
    importlib.reload(module)
    assert check_neighbours() == []
    assert module.transform_field.__wrapped__.__name__ == "transform_field"
    assert not hasattr(module.transform_field.__wrapped__, "__wrapped__")


@pytest.mark.once
def test_a_package_that_imports_the_fields_itself_is_told_when_it_is_complete(history: Path) -> None:
    (history / "models.py").write_text("import django_spicy_id\n" + MODELS)
    program = (
        "import simple_history.models as models, django; from django.conf import settings; "
        "settings.configure(INSTALLED_APPS=['django_spicy_id']); django.setup(); "
        "from django_spicy_id.neighbours import problems; "
        "assert not problems and models.transform_field.__wrapped__, problems"
    )
    path = os.pathsep.join([str(history.parent), *sys.path])
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.once
def test_importing_the_fields_imports_none_of_the_packages() -> None:
    program = (
        "import sys, django_spicy_id; from django_spicy_id.neighbours import NEIGHBOURS; "
        "sys.exit(any(name.partition('.')[0] in sys.modules for name in NEIGHBOURS))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.fixture
def notes(db: None) -> None:
    """Texts, of which some are ids of users."""
    ada = User.objects.create(id=123456789, name="Ada")
    target = Note._meta.get_field("target_type").related_model.objects.get_for_model(User)
    for text in (
        *("usr_8M0kX", "usr_0", "usr_z", "usr_10", "usr_AzL8n0Y58m7", "usr_Z"),
        *("usr_AzL8n0Y58m8", "usr_00", "usr_", "usr_8m0kx", "USR_8M0kX", "123456789", "", "usr_zzzzzzzzzzz"),
    ):
        Note.objects.create(target_type=target, target_id=text, text=ada.name)


@pytest.mark.django_db
def test_a_text_is_cast_to_the_key_of_its_id(notes: None) -> None:
    key = IdCast("target_id", User._meta.pk)
    found = dict(Note.objects.annotate(key=key).values_list("target_id", "key"))
    ids = ("usr_8M0kX", "usr_8m0kx", "usr_0", "usr_z", "usr_10", "usr_AzL8n0Y58m7", "usr_Z")
    assert {text: spelled for text, spelled in found.items() if spelled is not None} == {id: id for id in ids}
    assert User.objects.filter(pk__in=Note.objects.annotate(key=key).values("key")).count() == 1
    assert Note.objects.annotate(key=key).filter(key=123456789).get().target_id == "usr_8M0kX"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("model", "number"), [(Invoice, 2**31 - 1), (Invoice, 0xABCDEF), (Tag, 2**15 - 1), (Tag, 57)]
)
def test_texts_of_each_encoding_are_cast(notes: None, model: type, number: int) -> None:
    field = model._meta.pk
    spelled = field.codec.encode(number)
    text = Value(spelled, output_field=CharField())
    rows = Note.objects.annotate(key=IdCast(text, field)).values_list("key", flat=True)
    assert set(rows) == {spelled}


@pytest.mark.django_db
def test_what_is_no_text_is_cast_as_ever(notes: None) -> None:
    keys = User.objects.values_list(
        IdCast("pk", User._meta.pk), IdCast("pk", IntegerField()), IdCast(F("pk"), CharField())
    )
    assert keys.get() == ("usr_8M0kX", 123456789, "123456789")


@pytest.mark.once
def test_the_command_takes_what_resolve_takes(capsys: pytest.CaptureFixture[str], db: None) -> None:
    call_command("spicy_id", "usr_8M0kX")
    assert "key: 123456789" in capsys.readouterr().out
