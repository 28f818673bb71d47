"""One model with a spicy key, through all that the ORM does with keys."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal

import pytest
from django.db import connection, models, transaction
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Cast, Coalesce
from django.db.utils import ProgrammingError
from django.utils.functional import lazystr

from django_spicy_id import MalformedSpicyIdError, SpicyBigAutoField, SpicyIdError, SpicyIdQueryError
from tests.spicy.models import Invoice, User

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("chosen_keys")]

KEYS = [5, 61, 62, 3844, 123456789]
IDS = ["usr_5", "usr_z", "usr_10", "usr_100", "usr_8M0kX"]


@pytest.fixture
def users() -> list[User]:
    return [User.objects.create(id=key, name=f"user {key}") for key in KEYS]


def raw_keys(table: str = "spicy_user") -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {table} ORDER BY id")
        return [key for (key,) in cursor.fetchall()]


def test_the_database_hands_out_a_key_and_the_instance_has_the_id() -> None:
    user = User.objects.create(name="Ada")
    assert user.id.startswith("usr_")
    assert user.pk == user.id
    assert raw_keys() == [User._meta.get_field("id").get_prep_value(user.id)]
    assert User.objects.get(pk=user.id) == user


@pytest.mark.parametrize("given", [123456789, "usr_8M0kX"])
def test_an_integer_and_its_id_are_the_same_key(given: int | str) -> None:
    user = User.objects.create(id=given, name="Ada")
    assert user.id == "usr_8M0kX"
    assert raw_keys() == [123456789]
    assert User.objects.get(id=given).name == "Ada"
    assert User.objects.get(pk=given).id == "usr_8M0kX"


def test_save_inserts_and_then_updates() -> None:
    user = User(name="Ada")
    assert user.id is None
    user.save()
    before = user.id
    user.name = "Ada Lovelace"
    user.save()
    assert user.id == before
    assert list(User.objects.values_list("id", "name")) == [(before, "Ada Lovelace")]


def test_saving_under_another_id_makes_another_row(users: list[User]) -> None:
    user = User.objects.get(pk="usr_5")
    user.pk = 6
    assert user.id == "usr_6"
    user.save()
    assert raw_keys() == [5, 6, *KEYS[1:]]


def test_force_insert_and_update_fields(users: list[User]) -> None:
    user = User(id="usr_7", name="new")
    user.save(force_insert=True)
    user.name = "newer"
    user.save(update_fields=["name"])
    assert User.objects.get(pk=7).name == "newer"


def test_an_integer_that_is_set_reads_as_its_id_at_once() -> None:
    user = User(id=123456789)
    assert user.id == user.pk == "usr_8M0kX"
    user.pk = 5
    assert user.id == "usr_5"
    user.id = None
    assert user.pk is None


def test_get_or_create_and_update_or_create(users: list[User]) -> None:
    assert User.objects.get_or_create(id=5) == (users[0], False)
    made, created = User.objects.get_or_create(id="usr_6", defaults={"name": "six"})
    assert (made.id, created) == ("usr_6", True)
    changed, created = User.objects.update_or_create(id="usr_6", defaults={"name": "SIX"})
    assert (changed.id, changed.name, created) == ("usr_6", "SIX", False)
    made, created = User.objects.update_or_create(name="seven")
    assert created
    assert made.id.startswith("usr_")


def test_bulk_create_sets_ids_where_the_engine_tells_them() -> None:
    made = User.objects.bulk_create([User(name=str(number)) for number in range(3)])
    stored = list(User.objects.order_by("id").values_list("id", flat=True))
    assert len(stored) == 3
    if connection.features.can_return_rows_from_bulk_insert:
        assert [user.id for user in made] == stored
    else:
        assert [user.id for user in made] == [None, None, None]


def test_bulk_create_with_integers_leaves_ids_on_the_instances() -> None:
    made = User.objects.bulk_create([User(id=5, name="a"), User(id="usr_6", name="b"), User(name="c")])
    assert [user.id for user in made[:2]] == ["usr_5", "usr_6"]
    assert set(User.objects.values_list("id", flat=True)) >= {"usr_5", "usr_6"}


def test_bulk_create_over_conflicts(users: list[User]) -> None:
    User.objects.bulk_create([User(id=5, name="ignored"), User(id=6, name="six")], ignore_conflicts=True)
    assert User.objects.get(pk="usr_5").name == "user 5"
    target = {"unique_fields": ["id"]} if connection.features.supports_update_conflicts_with_target else {}
    made = User.objects.bulk_create(
        [User(id=5, name="updated"), User(id="usr_7", name="seven")],
        update_conflicts=True,
        update_fields=["name"],
        **target,
    )
    assert [user.id for user in made] == ["usr_5", "usr_7"]
    assert User.objects.get(pk="usr_5").name == "updated"
    assert User.objects.get(pk="usr_7").name == "seven"


def test_bulk_update(users: list[User]) -> None:
    for user in users:
        user.name = f"new {user.id}"
    assert User.objects.bulk_update(users, ["name"]) == len(users)
    assert User.objects.get(pk="usr_8M0kX").name == "new usr_8M0kX"


def test_in_bulk_has_ids_for_keys(users: list[User]) -> None:
    assert list(User.objects.in_bulk()) == IDS
    assert set(User.objects.in_bulk(["usr_5", 62])) == {"usr_5", "usr_10"}
    assert User.objects.in_bulk([]) == {}


def test_values_and_values_list(users: list[User]) -> None:
    ordered = User.objects.order_by("id")
    assert [row["id"] for row in ordered.values("id")] == IDS
    assert [row["pk"] for row in ordered.values("pk")] == IDS
    assert list(ordered.values_list("id", flat=True)) == IDS
    assert [row.id for row in ordered.values_list("id", named=True)] == IDS
    assert list(ordered.values_list("pk")) == [(text,) for text in IDS]


def test_only_and_defer(users: list[User], django_assert_num_queries) -> None:
    with django_assert_num_queries(2):
        assert [user.id for user in User.objects.order_by("pk").only("name")] == IDS
        assert [user.id for user in User.objects.order_by("pk").defer("name")] == IDS


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Q(id="usr_10"), [62]),
        (Q(id__exact=62), [62]),
        (Q(id=lazystr("usr_10")), [62]),
        (Q(id__in=["usr_5", 62, "usr_missing", None][:2]), [5, 62]),
        (Q(id__in=["usr_5", None]), [5]),
        (Q(id__in=[]), []),
        (Q(id__in=["usr_6"]), []),
        (Q(id__range=("usr_z", "usr_100")), [61, 62, 3844]),
        (Q(id__range=(61, 3844)), [61, 62, 3844]),
        (Q(id__gt="usr_z"), [62, 3844, 123456789]),
        (Q(id__gte="usr_z"), [61, 62, 3844, 123456789]),
        (Q(id__lt="usr_10"), [5, 61]),
        (Q(id__lte="usr_10"), [5, 61, 62]),
        (Q(id__gt=0), KEYS),
        (Q(id__lte=2**63 - 1), KEYS),
        (Q(id__isnull=True), []),
        (Q(id__isnull=False), KEYS),
        (Q(id=None), []),
        (~Q(id="usr_10"), [5, 61, 3844, 123456789]),
        (Q(id="usr_5") | Q(pk="usr_z"), [5, 61]),
        (Q(id=F("id")), KEYS),
        (Q(id=F("id") + 1), []),
        (Q(id=Value("usr_5", output_field=SpicyBigAutoField(prefix="usr"))), [5]),
        (Q(id=Cast(Value(5), output_field=SpicyBigAutoField(prefix="usr"))), [5]),
    ],
)
def test_filter(users: list[User], condition: Q, expected: list[int]) -> None:
    field = User._meta.get_field("id")
    found = User.objects.filter(condition).order_by("id").values_list("id", flat=True)
    assert [field.get_prep_value(text) for text in found] == expected


TEXT_LOOKUPS = ["iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith"]
TEXT_LOOKUPS += ["regex", "iregex"]


@pytest.mark.parametrize("lookup", TEXT_LOOKUPS)
def test_a_text_lookup_finds_the_row_with_just_this_id(users: list[User], lookup: str) -> None:
    assert User.objects.get(**{f"id__{lookup}": "usr_10"}).id == "usr_10"
    for text in ("usr_1", "usr_", "10", "62", "", "(", "garbage", "usr_10\n", b"usr_10", True, 2**70):
        assert not User.objects.filter(**{f"id__{lookup}": text}).exists()
    assert User.objects.exclude(**{f"id__{lookup}": "garbage"}).count() == len(KEYS)
    assert User.objects.filter(Q(**{f"id__{lookup}": "garbage"}) | Q(name="user 5")).get().id == "usr_5"


def test_order_is_numeric(users: list[User]) -> None:
    assert [user.id for user in User.objects.order_by("id")] == IDS
    assert [user.id for user in User.objects.order_by("-pk")] == IDS[::-1]
    assert User.objects.earliest("id").id == IDS[0]
    assert User.objects.latest("id").id == IDS[-1]
    assert User.objects.order_by("name").last().id


def test_aggregates(users: list[User]) -> None:
    assert User.objects.aggregate(Min("id"), Max("id"), Count("id")) == {
        "id__min": "usr_5",
        "id__max": "usr_8M0kX",
        "id__count": 5,
    }
    assert User.objects.none().aggregate(Max("id")) == {"id__max": None}


def test_a_sum_of_ids_does_not_break_the_query(users: list[User]) -> None:
    assert User.objects.filter(id__lt=100).aggregate(sum=Sum("id"))["sum"] == "usr_24"


def test_arithmetic_on_ids_gives_integers(users: list[User]) -> None:
    row = User.objects.annotate(next=F("id") + 1).get(pk="usr_10")
    assert row.next == 63


def test_cast(users: list[User]) -> None:
    casts = User.objects.annotate(
        number=Cast("id", models.BigIntegerField()),
        digits=Cast("id", models.CharField(max_length=30)),
        other=Cast("id", SpicyBigAutoField(prefix="other", encoding="hex")),
        grown=Cast(F("id") + 1, SpicyBigAutoField(prefix="usr")),
    ).get(pk="usr_8M0kX")
    assert (casts.number, casts.digits, casts.other, casts.grown) == (
        123456789,
        "123456789",
        "other_75bcd15",
        "usr_8M0kY",
    )


def test_annotations_and_group_by(users: list[User]) -> None:
    rows = User.objects.annotate(same=F("id"), either=Coalesce("id", "id")).order_by("id")
    assert [(row.same, row.either) for row in rows] == [(text, text) for text in IDS]
    assert User.objects.values("id").annotate(n=Count("name")).order_by("id")[0] == {"id": "usr_5", "n": 1}


def test_subqueries(users: list[User]) -> None:
    Invoice.objects.create(customer=users[1])
    Invoice.objects.create(customer=users[4])
    billed = Invoice.objects.filter(customer=OuterRef("pk"))
    assert set(User.objects.filter(Exists(billed))) == {users[1], users[4]}
    assert set(User.objects.filter(pk__in=Invoice.objects.values("customer"))) == {users[1], users[4]}
    assert set(User.objects.filter(pk__in=User.objects.filter(pk__gt=62))) == set(users[3:])
    newest = Subquery(billed.order_by("-pk").values("pk")[:1])
    firsts = dict(User.objects.annotate(invoice=newest).values_list("id", "invoice"))
    assert firsts["usr_5"] is None
    assert firsts["usr_z"] == Invoice.objects.get(customer="usr_z").id


def test_union(users: list[User]) -> None:
    low, high = User.objects.filter(pk__lt=62), User.objects.filter(pk__gt=62)
    assert [user.id for user in low.union(high).order_by("id")] == ["usr_5", "usr_z", "usr_100", "usr_8M0kX"]
    assert list(low.values_list("id", flat=True).union(high.values_list("id", flat=True)).order_by("id")) == [
        "usr_5",
        "usr_z",
        "usr_100",
        "usr_8M0kX",
    ]


def test_raw(users: list[User]) -> None:
    rows = User.objects.raw("SELECT id, name FROM spicy_user WHERE id = %s", [123456789])
    assert [(row.id, row.name) for row in rows] == [("usr_8M0kX", "user 123456789")]


def test_update_and_delete(users: list[User]) -> None:
    assert User.objects.filter(id="usr_5").update(name="five") == 1
    assert User.objects.filter(id__in=["usr_5", "usr_z"]).delete()[0] == 2
    users[4].delete()
    assert users[4].id is None
    assert raw_keys() == [62, 3844]


def test_refresh_from_db(users: list[User]) -> None:
    User.objects.filter(pk=5).update(name="five")
    users[0].refresh_from_db()
    assert (users[0].id, users[0].name) == ("usr_5", "five")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda row: pickle.loads(pickle.dumps(row))])
def test_copies_are_the_same_row(users: list[User], copied) -> None:
    again = copied(User.objects.get(pk=5))
    assert again.id == "usr_5"
    assert again == users[0]
    again.save()
    assert raw_keys() == KEYS


def test_equality_and_hash_do_not_depend_on_how_the_key_was_given(users: list[User]) -> None:
    assert User(id=5) == User(id="usr_5") == users[0] == User.objects.get(pk=5)
    assert len({User(id=5), User(id="usr_5"), users[0]}) == 1
    assert User(id=5) != User(id=6)


def test_a_queryset_and_its_query_can_be_pickled(users: list[User]) -> None:
    rows = User.objects.annotate(grown=Cast(F("id") + 1, SpicyBigAutoField(prefix="usr"))).filter(id="usr_5")
    again = User.objects.all()
    again.query = pickle.loads(pickle.dumps(rows.query))
    assert [(row.id, row.grown) for row in again] == [("usr_5", "usr_6")]


def test_iterator_and_slices(users: list[User]) -> None:
    assert [user.id for user in User.objects.order_by("id").iterator(chunk_size=2)] == IDS
    assert [user.id for user in User.objects.order_by("id")[1:3]] == IDS[1:3]


def test_contains_and_count(users: list[User]) -> None:
    assert User.objects.all().contains(users[0])
    assert User.objects.filter(id__gte="usr_10").count() == 3


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("has no representation")


UNSPEAKABLE = Unspeakable()

BAD_VALUES = [
    "acct_5",
    "usr-5",
    "garbage",
    "",
    "5",
    "usr_05",
    "usr_5 ",
    " usr_5",
    "usr_5\n",
    "usr_\u0665",
    "usr_AzL8n0Y58m8",
    "usr_" + "z" * 100_000,
    -1,
    2**63,
    10**5000,
    True,
    Decimal(5),
    b"usr_5",
    ("usr_5",),
    object(),
    [10**5000],
    UNSPEAKABLE,
]


@pytest.mark.parametrize("value", BAD_VALUES, ids=range(len(BAD_VALUES)))
@pytest.mark.parametrize("lookup", ["exact", "in", "range", "gt", "gte", "lt", "lte"])
def test_a_query_with_what_is_no_id_is_refused(value: object, lookup: str) -> None:
    argument = {"in": [value], "range": [value, value]}.get(lookup, value)
    with pytest.raises(ProgrammingError):
        User.objects.filter(**{f"id__{lookup}": argument}).exists()


@pytest.mark.parametrize("value", BAD_VALUES, ids=range(len(BAD_VALUES)))
def test_a_row_with_what_is_no_id_is_not_saved(value: object) -> None:
    user = User(id=value, name="Ada")
    with pytest.raises(ProgrammingError), transaction.atomic():
        user.save()
    with pytest.raises(ProgrammingError), transaction.atomic():
        User.objects.bulk_create([User(id=value, name="Ada")])
    with pytest.raises(ProgrammingError), transaction.atomic():
        User.objects.update(id=value)
    assert raw_keys() == []


@pytest.mark.parametrize("ends", ["", [], ["usr_5"], ["usr_5", "usr_6", "usr_7"]])
def test_a_range_without_two_ends_is_refused(ends: object) -> None:
    with pytest.raises(ProgrammingError, match="a range of ids has two ends"):
        User.objects.filter(id__range=ends)


@pytest.mark.parametrize("lookup", ["exact", "gt", "lte"])
def test_a_float_is_no_id(lookup: str) -> None:
    with pytest.raises(ProgrammingError):
        User.objects.filter(**{f"id__{lookup}": 5.0}).exists()


def test_a_refused_value_is_named_with_field_and_reason() -> None:
    with pytest.raises(SpicyIdQueryError) as caught:
        User.objects.get(id="acct_" + "x" * 500)
    message = str(caught.value)
    assert "spicy.User.id" in message
    assert "does not start with 'usr_'" in message
    assert len(message) < 200


def test_a_refused_value_is_all_that_callers_look_for() -> None:
    with pytest.raises(ProgrammingError) as caught:
        User.objects.get(id="garbage")
    assert isinstance(caught.value, MalformedSpicyIdError)
    assert isinstance(caught.value, SpicyIdError)
    assert isinstance(caught.value, ValueError)


def test_the_transaction_goes_on_after_a_refused_value(users: list[User]) -> None:
    with pytest.raises(ProgrammingError):
        User.objects.get(id="garbage")
    assert User.objects.count() == 5


def test_zero_is_an_id_where_the_engine_lets_it_be_a_key() -> None:
    assert User(id=0).id == "usr_0"
    assert not User.objects.filter(id="usr_0").exists()
    if connection.features.allows_auto_pk_0:
        User.objects.create(id=0, name="zero")
        assert User.objects.get(pk="usr_0").name == "zero"
    else:
        with pytest.raises(ValueError, match="does not accept 0"):
            User.objects.create(id=0, name="zero")


def test_a_negative_key_written_by_other_means_is_shown_and_does_no_harm() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO spicy_user (id, name) VALUES (-5, 'odd')")
    user = User.objects.get(name="odd")
    assert user.id == "usr_-5"
    with pytest.raises(ProgrammingError):
        user.save()


def test_async_querysets() -> None:
    from asgiref.sync import async_to_sync

    async def use() -> None:
        user = await User.objects.acreate(id=123456789, name="Ada")
        assert user.id == "usr_8M0kX"
        assert (await User.objects.aget(pk="usr_8M0kX")).name == "Ada"
        assert [row.id async for row in User.objects.filter(id__in=["usr_8M0kX"])] == ["usr_8M0kX"]
        assert [row async for row in User.objects.values_list("id", flat=True)] == ["usr_8M0kX"]
        assert await User.objects.ain_bulk(["usr_8M0kX"]) == {"usr_8M0kX": user}
        user.name = "Ada Lovelace"
        await user.asave()
        await user.arefresh_from_db()
        assert user.id == "usr_8M0kX"
        with pytest.raises(ProgrammingError):
            await User.objects.aget(pk="garbage")
        assert (await user.adelete())[0] == 1

    async_to_sync(use)()
