"""The system check for texts that a database compares without case: what it says is what the database does."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core import checks
from django.db import connection, models

from django_spicy_id.letter_case import check_letter_case
from tests.spicy.models import Note, User

#: Of an engine: a collation that tells ids apart.
COLLATIONS = {"mysql": "utf8mb4_bin", "sqlite": "BINARY", "postgresql": "C"}


def named() -> set[tuple[str | None, str]]:
    """Return the codes and the columns of all that the check says of the database."""
    return {(message.id, str(message.obj)) for message in check_letter_case(databases=["default"])}


def takes_one_id_for_another() -> bool:
    return Note.objects.filter(target_id="usr_8m0KX").exists()


@pytest.mark.django_db(transaction=True)
def test_a_column_that_takes_one_id_for_another_is_named() -> None:
    user = User.objects.create(id=123456789, name="Ada")
    Note.objects.create(target_type=ContentType.objects.get_for_model(User), target_id=user.pk)
    assert (("spicy_id.W003", "spicy.Note.target_id") in named()) == takes_one_id_for_another()
    assert bool(named()) == (connection.vendor == "mysql")
    as_text: Any = Note._meta.get_field("target_id")
    told_apart: Any = models.CharField(max_length=40, db_collation=COLLATIONS[connection.vendor])
    told_apart.set_attributes_from_name("target_id")
    told_apart.model = Note
    with connection.schema_editor() as editor:
        editor.alter_field(Note, as_text, told_apart)
    try:
        assert not takes_one_id_for_another()
        assert "spicy.Note.target_id" not in {column for _, column in named()}
    finally:
        with connection.schema_editor() as editor:
            editor.alter_field(Note, told_apart, as_text)


@pytest.mark.django_db
def test_the_check_is_one_of_the_projects() -> None:
    found = {message.id for message in checks.run_checks(databases=["default"])}
    assert ("spicy_id.W003" in found) == (connection.vendor == "mysql")


#: A project on MySQL whose server does not answer.
PROGRAM = """
import django
from django.conf import settings
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.mysql", "HOST": "127.0.0.1", "PORT": "1"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django_spicy_id"],
)
django.setup()
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django_spicy_id import ENCODING_BASE_32, SpicyBigAutoField
from django_spicy_id.letter_case import check_letter_case

class Base(models.Model):
    kind = models.ForeignKey(ContentType, models.CASCADE)
    target = GenericForeignKey("kind", "key")
    class Meta:
        abstract = True
        app_label = "contenttypes"

class Text(Base):
    key = models.CharField(max_length=40)
class Heir(Text):
    class Meta:
        app_label = "contenttypes"
class Exact(Base):
    key = models.CharField(max_length=40, db_collation="utf8mb4_bin")
class Loose(Base):
    key = models.TextField(db_collation="utf8mb4_unicode_ci")
class Number(Base):
    key = models.BigIntegerField()
class Safe(models.Model):
    id = SpicyBigAutoField(primary_key=True, prefix="saf", encoding=ENCODING_BASE_32)
    class Meta:
        app_label = "contenttypes"

def said(**arguments):
    return sorted(f"{one.id} {one.obj}" for one in check_letter_case(**arguments))

assert said() == said(databases=["default"]) == []

class Order(models.Model):
    id = SpicyBigAutoField(primary_key=True, prefix="ord")
    class Meta:
        app_label = "contenttypes"

expected = ["spicy_id.W003 contenttypes.Loose.key", "spicy_id.W004 contenttypes.Text.key"]
assert said() == expected, said()
assert said(databases=["default"]) == expected, said(databases=["default"])
(message,) = (one for one in check_letter_case() if one.id == "spicy_id.W004")
assert "'ord_A' and 'ord_a'" in message.msg and "check --database default" in message.hint, message
"""


@pytest.mark.once
def test_without_a_connection_what_is_declared_counts() -> None:
    pytest.importorskip("MySQLdb")
    ended = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
