"""Synchro's own tables take every text, and tell any two apart, whatever the database's default is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection

from synchro.core import DisableSynchroLog
from synchro.models import CHANGE, ChangeLog, Reference
from tests.capture.models import Tag, Unique
from tests.fewer_apps import only
from tests.replay.deployments import captured_by_triggers

pytestmark = pytest.mark.django_db(transaction=True)

#: Two of them are equal for some collations: by case, accents, trailing blanks, width, or since nobody knows them.
TEXTS = ("a", "A", "á", "a ", "a  ", "\uff41", "\U0001f600", "\U0001f601", "ß", "ss", "Ω")


def test_texts_that_a_collation_takes_for_equal_are_kept_apart() -> None:
    content_type = ContentType.objects.get_for_model(Unique)
    for text in TEXTS:
        ChangeLog.objects.create(content_type=content_type, object_id=text, action=CHANGE, fields=(text,))
    for text in TEXTS:
        assert ChangeLog.objects.get(object_id=text).fields == (text,)


@pytest.fixture
def old_tables() -> Iterator[None]:
    with connection.cursor() as cursor:
        for model in (ChangeLog, Reference):
            cursor.execute(f"ALTER TABLE {model._meta.db_table} CONVERT TO CHARACTER SET latin1")
    try:
        yield
    finally:
        with only("tests.capture"):
            call_command("migrate", verbosity=0)


@pytest.mark.skipif(connection.vendor != "mysql", reason="the others know one character set")
def test_migrate_converts_tables_of_another_character_set(old_tables: None) -> None:
    with captured_by_triggers("capture"), only("tests.capture", watched=["capture"]):
        with DisableSynchroLog():
            tag = Tag.objects.create(slug="Ω\U0001f600")
        call_command("migrate", verbosity=0)
        tag.delete()
        Unique.objects.create(code="x", name="\U0001f600")
    assert "\U0001f600" in str(ChangeLog.objects.exclude(natural_key=None).get().natural_key)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT character_set_name FROM information_schema.columns WHERE table_schema = DATABASE() "
            "AND table_name LIKE 'synchro%%' AND character_set_name IS NOT NULL"
        )
        assert cursor.fetchall() == (("utf8mb4",),)
