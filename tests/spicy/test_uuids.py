"""UUIDs as ids, on the database's own kind of column."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.apps.registry import Apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, models, transaction

from django_spicy_id import MalformedSpicyIdError, SpicyIdQueryError, SpicyUUIDField
from django_spicy_id.uuids import SpicyUUID

NUMBER = uuid.UUID("12345678-1234-5678-1234-567812345678")
SPELLED = "ses_YLmNWW2NwaipfRR50HIPA"
Make = Callable[..., Any]


@pytest.fixture
def sessions(registry: Apps, tables: Make) -> tuple[Any, Any]:
    """A model with such a key and a public id beside it, and one that refers to it."""

    class Session(models.Model):
        id = SpicyUUIDField("ses", primary_key=True)
        token = SpicyUUIDField("tok", encoding="hex", unique=True)

        class Meta:
            apps = registry
            app_label = "spicy"

    class Visit(models.Model):
        session = models.ForeignKey(Session, models.CASCADE, null=True, related_name="visits")
        page = models.CharField(max_length=10)

        class Meta:
            apps = registry
            app_label = "spicy"

    tables(Session, Visit)
    return Session, Visit


def test_a_new_instance_has_its_id_before_it_is_saved(sessions: Any) -> None:
    session = sessions[0]()
    before = session.id
    assert before.startswith("ses_")
    session.save()
    assert sessions[0].objects.get(pk=before).token == session.token
    assert sessions[0].objects.values_list("id", flat=True).get() == before


@pytest.mark.parametrize("given", [NUMBER, SPELLED, str(NUMBER), NUMBER.hex])
def test_uuids_are_taken_wherever_ids_are(sessions: Any, given: Any) -> None:
    session_class, visit_class = sessions
    session = session_class(id=NUMBER, token=NUMBER)
    assert session.id == SPELLED
    session.save()
    visit = visit_class.objects.create(session_id=NUMBER, page="home")
    assert visit.session_id == SPELLED
    assert session_class.objects.get(pk=given) == session
    assert session_class.objects.filter(id__in=[given]).get() == session
    assert visit_class.objects.filter(session=given).get() == visit
    assert visit_class.objects.get(session__id=given).session == session


def test_the_column_is_the_one_of_a_uuid(sessions: Any) -> None:
    plain = models.UUIDField().db_type(connection)
    assert sessions[0]._meta.pk.db_type(connection) == plain
    sessions[0].objects.create(id=NUMBER)
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM spicy_session")
        stored = cursor.fetchone()[0]
    assert uuid.UUID(str(stored)) == NUMBER


def test_rows_are_read_alike_in_the_short_way_and_in_djangos(
    sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_class, visit_class = sessions
    for number in (0, 1, 2**128 - 1, NUMBER.int):
        session = session_class.objects.create(id=uuid.UUID(int=number))
        visit_class.objects.create(session=session)
    visit_class.objects.create(session=None)
    queries = [
        lambda: session_class.objects.order_by("id").values_list("id"),
        lambda: session_class.objects.order_by("id").values_list("id", "token"),
        lambda: visit_class.objects.order_by("id").values_list("session", "page", "session__token"),
        lambda: visit_class.objects.order_by("id").values_list("session", flat=True),
    ]
    short = [list(query()) for query in queries]
    monkeypatch.setattr(SpicyUUID, "column_reader", lambda *_args: None)
    assert [list(query()) for query in queries] == short
    assert short[0][0] == ("ses_0",)


@pytest.mark.parametrize("garbage", ["", "5", "ses_", "tok_5", "ses_0005", f"ses_{'z' * 22}", 5, b"ses_5"])
def test_what_is_no_id_is_refused(sessions: Any, garbage: Any) -> None:
    session_class, visit_class = sessions
    field = session_class._meta.pk
    with pytest.raises(SpicyIdQueryError):
        session_class.objects.filter(pk=garbage).exists()
    with pytest.raises(ValidationError):
        field.to_python(garbage)
    with pytest.raises(MalformedSpicyIdError):
        field.validate_string(garbage)
    with pytest.raises(SpicyIdQueryError):
        visit_class(session_id=garbage).save()
    assert not visit_class.objects.exists()


def test_text_lookups_and_forms_know_ids_only(sessions: Any) -> None:
    session_class = sessions[0]
    session = session_class.objects.create(id=NUMBER)
    assert session_class.objects.get(id__icontains=SPELLED) == session
    assert not session_class.objects.filter(id__icontains="1234").exists()
    form = session_class._meta.get_field("token").formfield()
    assert form.clean(session.token) == session.token
    with pytest.raises(ValidationError):
        form.clean("tok_x")


def test_a_uuid_that_is_there_does_not_overwrite_its_row(sessions: Any) -> None:
    sessions[0].objects.create(id=NUMBER)
    with pytest.raises(IntegrityError), transaction.atomic():
        sessions[0].objects.create(id=NUMBER)


@pytest.mark.once
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sep": "-", "encoding": "hex"},
        {"pad": True, "randomize": "time"},
        {"default": uuid.uuid1},
        {"default": uuid.uuid4, "null": True},
        {"randomize": False},
    ],
)
def test_a_deconstructed_field_is_declared_again_alike(options: dict[str, Any]) -> None:
    field = SpicyUUIDField("ses", **options)
    name, path, args, kwargs = field.deconstruct()
    assert path == "django_spicy_id.fields.SpicyUUIDField"
    again = SpicyUUIDField(*args, **kwargs)
    assert again.deconstruct() == (name, path, args, kwargs)
    assert again.default is field.default


@pytest.mark.once
def test_a_migration_of_1_1_is_deconstructed_to_what_it_says() -> None:
    # What that version writes down.
    written = {"encoding": "b62", "prefix": "ses", "primary_key": True, "sep": "_", "serialize": False}
    assert SpicyUUIDField(**written).deconstruct()[3] == written
