"""From the tables of django-synchro 0.7 to today's: pending stays pending, and nothing is evaluated."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.test import override_settings

from synchro.models import ADDITION, CHANGE, DELETION, ChangeLog, Peer, Reference, options
from tests.fewer_apps import only
from tests.people.models import City, Club

pytestmark = pytest.mark.django_db(transaction=True)

OLD = ("synchro", "0001_initial")
MOMENT = datetime(2017, 11, 12, 10, 0, 0, 123456, UTC)

#: The text that 0.7 kept of a natural key, and the values that it stands for (None: not readable).
KEYS = [
    ("(u'x',)", ["x"]),
    ("('x', 5L, None, True)", ["x", 5, None, True]),
    ("(Decimal('1.50'),)", ["1.50"]),
    ("(datetime.date(2020, 1, 2), datetime.time(3, 4))", ["2020-01-02", "03:04:00"]),
    ("(datetime.datetime(2020, 1, 2, 3, 4, 5, 6),)", ["2020-01-02T03:04:05.000006"]),
    ("(datetime.datetime(2020, 1, 2, 3, 4, tzinfo=<UTC>),)", ["2020-01-02T03:04:00+00:00"]),
    ("(UUID('123e4567-e89b-12d3-a456-426614174000'),)", ["123e4567-e89b-12d3-a456-426614174000"]),
    ("(u'\\u0141\\xf3d\\u017a', '\\xc5\\x81', u'it\\'s 5L')", ["Łódź", "Ł", "it's 5L"]),
    ("'x'", ["x"]),
    ("((u'x', u'y'), -1.5)", [["x", "y"], -1.5]),
    ("__import__('os').system('touch {victim}')", None),
    ("open('{victim}', 'w')", None),
    ("[open('{victim}', 'w') for _ in (1,)]", None),
    ("(Decimal(open('{victim}', 'w')),)", None),
    ("(Decimal('1', *[open('{victim}', 'w')]),)", None),
    ("(9 ** 9 ** 9,)", None),
    ("('x', ", None),
    ("(<City: x>,)", None),
    ("(" * 150, None),
    ("(1e999,)", None),
    ("(datetime.date(2020, 13, 40),)", None),
]


def migrate(target: tuple[str, str | None]) -> Any:
    return MigrationExecutor(connection).migrate([target]).apps


@pytest.fixture
def old() -> Iterator[Any]:
    """The apps as 0.7 had them, with its tables."""
    with only("tests.people", watched=["people"]):
        migrate(("synchro", None))
        try:
            yield migrate(OLD)
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE IF EXISTS dbsettings_setting")
            call_command("migrate", "synchro", verbosity=0)


def upgrade() -> None:
    call_command("migrate", "synchro", verbosity=0)


def entry(apps: Any, action: int, key: str = "1", model: Any = Club, moment: datetime = MOMENT) -> Any:
    log = apps.get_model("synchro", "ChangeLog").objects
    content_type = ContentType.objects.get_for_model(model)
    made = log.create(content_type_id=content_type.pk, object_id=key, action=action)
    log.filter(pk=made.pk).update(date=moment)
    return made


def set_checkpoint(text: str) -> None:
    """As django-dbsettings kept it."""
    columns = (
        "module_name varchar(255), class_name varchar(255), attribute_name varchar(255), value varchar(255)"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE dbsettings_setting (id integer, {columns})")
        cursor.execute(
            "INSERT INTO dbsettings_setting VALUES (1, 'synchro.models', '', 'last_check', %s)", [text]
        )


def test_what_is_pending_stays_and_new_entries_go_on_from_there(old: Any) -> None:
    entries = [entry(old, ADDITION, "7"), entry(old, CHANGE, "7"), entry(old, DELETION, "8", City)]
    content_type = ContentType.objects.get_for_model(Club)
    old.get_model("synchro", "Reference").objects.create(
        content_type_id=content_type.pk, local_object_id="1", remote_object_id="2"
    )
    upgrade()
    assert [(e.pk, e.content_type.model_class(), e.object_id, e.action, e.date) for e in entry_rows()] == [
        (entries[0].pk, Club, "7", ADDITION, MOMENT),
        (entries[1].pk, Club, "7", CHANGE, MOMENT),
        (entries[2].pk, City, "8", DELETION, MOMENT),
    ]
    assert {e.fields for e in entry_rows()} == {None}
    kept = Reference.objects.get()
    assert (kept.content_type, kept.local_object_id, kept.remote_object_id) == (content_type, "1", "2")
    assert kept.peer is None
    new = ChangeLog.objects.create(content_type=content_type, object_id="x" * 1000, action=ADDITION)
    assert new.pk > entries[2].pk


def entry_rows() -> list[ChangeLog]:
    return list(ChangeLog.objects.order_by("id"))


@pytest.mark.once
@pytest.mark.parametrize("text", ["2017-11-12 10:00:00", "2017-11-12 10:00:00.5", "2017-11-12T10:00:00"])
def test_replayed_entries_are_dropped(old: Any, text: str) -> None:
    early = entry(old, DELETION, moment=datetime(2017, 11, 12, 9, 59, 59, tzinfo=UTC))
    old.get_model("synchro", "DeleteKey").objects.create(changelog_id=early.pk, key="(u'x',)")
    late = entry(old, CHANGE, moment=datetime(2017, 11, 12, 10, 0, 1, tzinfo=UTC))
    set_checkpoint(text)
    upgrade()
    assert [e.pk for e in entry_rows()] == [late.pk]
    assert options.last_check is not None
    assert options.last_check.replace(microsecond=0) == MOMENT.replace(microsecond=0)


@pytest.mark.once
@override_settings(LANGUAGE_CODE="de")
def test_checkpoint_is_read_in_the_format_of_the_projects_language(old: Any) -> None:
    entry(old, CHANGE, moment=datetime(2017, 11, 12, 9, tzinfo=UTC))
    set_checkpoint("12.11.2017 10:00:00")
    upgrade()
    assert not ChangeLog.objects.exists()


@pytest.mark.once
def test_unreadable_checkpoint_keeps_all_and_says_so(old: Any, capsys: Any) -> None:
    entry(old, CHANGE)
    set_checkpoint("yesterday")
    upgrade()
    assert ChangeLog.objects.count() == 1
    assert "'yesterday' is not readable" in capsys.readouterr().out


@pytest.mark.once
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_checkpoint_without_a_zone_drops_only_what_it_covers_in_any_zone(old: Any, zone: str) -> None:
    entry(old, CHANGE, moment=datetime(2017, 11, 11, 20, 0, tzinfo=UTC))
    between = entry(old, CHANGE, moment=datetime(2017, 11, 12, 10, 30, tzinfo=UTC))
    set_checkpoint("2017-11-12 10:00:00")
    with override_settings(TIME_ZONE=zone):
        upgrade()
    assert [e.pk for e in entry_rows()] == [between.pk]


def test_natural_keys_of_deletions_are_read_and_never_run(old: Any, tmp_path: Path, capsys: Any) -> None:
    victim = tmp_path / "v"
    for number, (text, _) in enumerate(KEYS):
        deleted = entry(old, DELETION, f"{number}", City)
        key = text.replace("{victim}", str(victim))
        assert len(key) <= 200
        old.get_model("synchro", "DeleteKey").objects.create(changelog_id=deleted.pk, key=key)

    upgrade()

    kept = [entry.natural_key for entry in entry_rows()]
    assert [None if key is None else json.loads(key) for key in kept] == [values for _, values in KEYS]
    assert not victim.exists()
    told = capsys.readouterr().out
    assert told.count("is not readable") == sum(values is None for _, values in KEYS)


def test_upgrade_can_be_undone(old: Any) -> None:
    entry(old, CHANGE)
    upgrade()
    apps = migrate(OLD)
    assert apps.get_model("synchro", "ChangeLog").objects.count() == 1


#: As Django 1.11 made them, with the types of each engine.
TABLES = """
CREATE TABLE synchro_changelog (id {auto}, object_id varchar(20) NOT NULL, date {moment} NOT NULL,
    action {small} NOT NULL, content_type_id integer NOT NULL {to_type});
CREATE INDEX synchro_changelog_417f1b1c ON synchro_changelog (content_type_id);
CREATE TABLE synchro_deletekey (id {auto}, {key} varchar(200) NOT NULL,
    changelog_id integer NOT NULL UNIQUE {to_entry});
CREATE TABLE synchro_reference (id {auto}, local_object_id varchar(20) NOT NULL,
    remote_object_id varchar(20) NOT NULL, content_type_id integer NOT NULL {to_type}{inline});
"""
UNIQUE = {
    "inline": {"inline": ", UNIQUE (content_type_id, local_object_id)", "after": ""},
    "named": {
        "inline": "",
        "after": "CREATE UNIQUE INDEX synchro_reference_content_type_id_b62c2d_uniq "
        "ON synchro_reference (content_type_id, local_object_id);",
    },
}
TYPES = {
    "postgresql": {
        "auto": "serial NOT NULL PRIMARY KEY",
        "moment": "timestamp with time zone",
        "small": 'smallint CHECK ("action" >= 0)',
        "to_type": "REFERENCES django_content_type (id) DEFERRABLE INITIALLY DEFERRED",
        "to_entry": "REFERENCES synchro_changelog (id) DEFERRABLE INITIALLY DEFERRED",
        "key": '"key"',
    },
    "mysql": {
        "auto": "integer AUTO_INCREMENT NOT NULL PRIMARY KEY",
        "moment": "datetime(6)",
        "small": "smallint UNSIGNED",
        "to_type": ", FOREIGN KEY (content_type_id) REFERENCES django_content_type (id)",
        "to_entry": ", FOREIGN KEY (changelog_id) REFERENCES synchro_changelog (id)",
        "key": "`key`",
    },
    "sqlite": {
        "auto": "integer NOT NULL PRIMARY KEY AUTOINCREMENT",
        "moment": "datetime",
        "small": "smallint unsigned",
        "to_type": "REFERENCES django_content_type (id)",
        "to_entry": "REFERENCES synchro_changelog (id)",
        "key": '"key"',
    },
}


@pytest.mark.parametrize("unique", ["inline", "named"])
def test_tables_that_07_made_are_taken_over_by_fake_initial(old: Any, unique: str) -> None:
    if unique == "named" and connection.vendor == "postgresql":
        pytest.skip("Django made constraints there, in every version")
    migrate(("synchro", None))
    with connection.cursor() as cursor:
        for statement in (TABLES + "{after}").format(**TYPES[connection.vendor], **UNIQUE[unique]).split(";"):
            if statement.strip():
                cursor.execute(statement)
    replayed = entry(old, CHANGE, moment=datetime(2016, 1, 1, tzinfo=UTC))
    old.get_model("synchro", "DeleteKey").objects.create(changelog_id=replayed.pk, key="(u'y',)")
    deleted = entry(old, DELETION, "8", City)
    old.get_model("synchro", "DeleteKey").objects.create(changelog_id=deleted.pk, key="(u'x',)")
    set_checkpoint("2017-01-01 00:00:00")

    out = io.StringIO()
    call_command("migrate", "synchro", fake_initial=True, stdout=out, no_color=True)

    assert "synchro.0001_initial... FAKED" in out.getvalue()
    kept = ChangeLog.objects.get()
    assert (kept.pk, kept.natural_key, kept.date) == (deleted.pk, '["x"]', MOMENT)
    new = ChangeLog.objects.create(content_type=kept.content_type, object_id="x" * 1000, action=CHANGE)
    assert new.pk > deleted.pk
    assert indexes("synchro_changelog") == [["id"]]
    with connection.cursor() as cursor:
        assert "synchro_deletekey" not in connection.introspection.table_names(cursor)


def test_references_become_ranges_and_ranges_become_references_again(old: Any) -> None:
    club, city = (ContentType.objects.get_for_model(model).pk for model in (Club, City))
    former = migrate(("synchro", "0018_jobs")).get_model("synchro", "Reference")
    peers = [Peer(alias=f"x{number}") for number in range(2)]
    Peer.objects.bulk_create(peers)
    first, second = Peer.objects.order_by("pk").values_list("pk", flat=True)
    chance = random.Random(1)
    kept = {
        (peer, kind, own): (own + offset, batch)
        for peer, kind, offset, batch in (
            (first, club, 7, 1),
            (first, city, 0, 2),
            (second, club, -3, 1),
            (None, club, 1, 0),
        )
        for own in range(-3, 1200)
        if chance.random() < 0.98
    }
    kept |= {(first, club, own): (9000 - own, 3) for own in range(2000, 2020)}
    kept |= {(first, club, 2**63 - 1): (2**63 - 2, 4), (second, city, -(2**63)): (1805322158920433665, 4)}
    several = [
        former(
            peer_id=peer,
            content_type_id=kind,
            local_object_id=str(own),
            remote_object_id=str(other),
            batch=batch,
        )
        for (peer, kind, own), (other, batch) in kept.items()
    ]
    others = [("ab-1", "1"), ("7000", "x"), ("", ""), ("07001", "5"), ("9" * 19, "1"), ("7003", "9" * 30)]
    several += [
        former(peer_id=first, content_type_id=city, local_object_id=own, remote_object_id=other)
        for own, other in others
    ]
    former.objects.bulk_create(chance.sample(several, len(several)), batch_size=500)

    upgrade()

    rows = list(Reference.objects.order_by("id"))
    assert len(rows) < len(kept) / 6
    found = [
        (
            (row.peer_id, row.content_type_id, int(row.local_object_id) + n),
            (int(row.remote_object_id) + n, row.batch),
        )
        for row in rows
        for n in range(row.length)
    ]
    assert dict(found) == kept
    assert len(found) == len(kept)
    assert all(row.length == 1 or row.block == int(row.local_object_id) // 512 * 512 for row in rows)
    Reference.objects.create(
        peer_id=first, content_type_id=club, local_object_id="9999", remote_object_id="1"
    )

    former = migrate(("synchro", "0018_jobs")).get_model("synchro", "Reference")

    names = ("peer_id", "content_type_id", "local_object_id", "remote_object_id", "batch")
    assert {
        (peer, kind, int(own)): (int(other), batch)
        for peer, kind, own, other, batch in former.objects.values_list(*names)
    } == {**kept, (first, club, 9999): (1, 0)}


@pytest.mark.skipif(
    connection.features.can_rollback_ddl, reason="there nothing is left of a migration that fails"
)
@pytest.mark.parametrize("statement", ["ALTER TABLE", "CREATE TABLE", "INSERT INTO", "DROP TABLE"])
def test_interrupted_move_to_ranges_is_done_again(old: Any, statement: str) -> None:
    former = migrate(("synchro", "0018_jobs")).get_model("synchro", "Reference")
    for number in range(20):
        former.objects.create(
            content_type_id=1, local_object_id=str(number), remote_object_id=str(number + 5)
        )

    def fail(execute: Any, sql: str, *more: Any) -> Any:
        if str(sql).strip().startswith(statement) and "synchro_reference" in str(sql):
            raise OperationalError("the server is gone")
        return execute(sql, *more)

    with pytest.raises(OperationalError, match="is gone"), connection.execute_wrapper(fail):
        upgrade()
    upgrade()

    (row,) = Reference.objects.all()
    assert (row.local_object_id, row.remote_object_id, row.length) == ("0", "5", 20)


def indexes(table: str) -> list[list[str]]:
    """The columns of each index and constraint, which every writer pays for."""
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, table)
    return sorted(found["columns"] for found in constraints.values() if not found["check"])


@pytest.mark.django_db
def test_log_has_no_index_and_no_constraint_but_its_key() -> None:
    assert indexes("synchro_changelog") == [["id"]]
    unique = ["peer_id", "content_type_id", "block", "local_object_id"]
    assert indexes("synchro_reference") == [["id"], unique]
