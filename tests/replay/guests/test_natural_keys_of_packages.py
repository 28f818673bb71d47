"""Natural keys as packages write them: they know of one database, and some are no values, or not unique."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import Value
from django.db.models.functions import Concat
from django.test import override_settings

from synchro.core import call_synchronize
from synchro.exceptions import Ambiguous, SynchroError, Unidentified
from synchro.models import ChangeLog, SetAside
from synchro.registry import forget_cached
from tests.guests.models import Company, Couple, Food, Forgetful, Headlong, Lowered, Pair, Tagging
from tests.replay.deployments import (
    BY_TRIGGERS,
    LOCAL,
    REMOTE,
    create_on_remote,
    remote,
    remote_count,
    save_unlogged,
    use_up_key_on_remote,
    watching,
)
from tests.shop.models import Book, Customer, Publisher, Tag

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(scope="module", autouse=True)
def watched(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with watching(django_db_blocker, "guests", "shop"):
        yield


@pytest.fixture(autouse=True)
def _fresh_models() -> Iterator[None]:
    """Some tests change what a model says of itself."""
    forget_cached()
    yield
    forget_cached()


def options(**by_model: Any) -> Any:
    return override_settings(
        SYNCHRO_MODEL_OPTIONS={f"guests.{name}": given for name, given in by_model.items()}
    )


# -- managers that look into the wrong database -------------------------------------------------------------


def test_manager_that_forgets_its_database_is_named_and_nothing_is_written() -> None:
    create_on_remote(Forgetful, name="x", value=9)
    create_on_remote(Forgetful, name="y", value=9)
    for name in "abc":
        Forgetful(name=name, value=1).save()

    with pytest.raises(
        Unidentified, match=r"guests\.Forgetful: its manager tests\.guests\.models\.ForgetfulManager"
    ):
        call_synchronize()

    assert sorted(Forgetful._base_manager.using(REMOTE).values_list("name", "value")) == [("x", 9), ("y", 9)]


def test_manager_that_asks_another_manager_is_named() -> None:
    create_on_remote(Headlong, name="x", value=9)
    Headlong(name="a", value=1).save()

    with pytest.raises(Unidentified, match=r"guests\.Headlong: its manager .*HeadlongManager"):
        call_synchronize()

    assert remote(Headlong).value == 9


def test_what_a_forgetful_manager_stops_is_quarantined_and_the_rest_goes_on(quarantine: None) -> None:
    Forgetful(name="a", value=1).save()
    Food.objects.create(name="bread")

    report = call_synchronize()

    assert remote(Food).name == "bread"
    assert report.aside == 1
    assert "looks into another database" in SetAside.objects.get().cause
    with options(Forgetful={"NATURAL_KEY": ("name",)}):
        assert call_synchronize(retry=True).aside == 0
    assert remote(Forgetful).name == "a"


def test_natural_key_of_the_settings_is_asked_in_place_of_the_manager() -> None:
    own = create_on_remote(Forgetful, name="a", value=9)
    Forgetful(name="a", value=1).save()

    with options(Forgetful={"NATURAL_KEY": ("name",)}):
        call_synchronize()

    assert remote(Forgetful).pk == own.pk
    assert remote(Forgetful).value == 1


def test_empty_natural_key_of_the_settings_means_that_none_is_used() -> None:
    create_on_remote(Headlong, name="a", value=9)
    Headlong(name="a", value=1).save()

    with options(Headlong={"NATURAL_KEY": ()}):
        call_synchronize()

    assert sorted(Headlong._base_manager.using(REMOTE).values_list("value", flat=True)) == [1, 9]


# -- methods that raise -------------------------------------------------------------------------------------


def test_natural_key_that_raises_is_named(monkeypatch: Any) -> None:
    monkeypatch.setattr(Tagging, "natural_key_fields", ())
    food = Food.objects.create(name="bread")
    tagging = Tagging.objects.create(target=food, tag="new")

    with pytest.raises(
        Unidentified, match=rf"guests\.Tagging {tagging.pk}: its natural_key\(\) raised NotImpl"
    ):
        call_synchronize()
    assert remote_count(Food) == 0


def test_natural_key_that_raises_is_quarantined_by_name(monkeypatch: Any, quarantine: None) -> None:
    monkeypatch.setattr(Tagging, "natural_key_fields", ())
    food = Food.objects.create(name="bread")
    Tagging.objects.create(target=food, tag="new")

    report = call_synchronize()

    assert remote(Food).name == "bread"
    assert report.aside == 1
    assert SetAside.objects.get().cause == "its natural_key() raised NotImplementedError"
    Food.objects.create(name="milk")
    call_synchronize()  # while it rests, nobody asks for it
    assert remote_count(Food) == 2
    monkeypatch.undo()
    assert call_synchronize(retry=True).aside == 0
    assert remote(Tagging).tag == "new"


def test_natural_key_that_raises_does_not_keep_the_application_from_deleting(monkeypatch: Any) -> None:
    monkeypatch.setattr(Tagging, "natural_key_fields", ())
    tagging = Tagging.objects.create(target=Food.objects.create(name="bread"), tag="new")

    tagging.delete()

    call_synchronize()
    assert remote_count(Tagging) == 0


# -- parts that are objects or keys -------------------------------------------------------------------------


@pytest.mark.parametrize("model", [Pair, Couple])
def test_objects_and_keys_in_a_natural_key_are_those_of_remote(model: Any) -> None:
    for name in "mnopq":
        create_on_remote(Food, name=name)
    first, second = Food._base_manager.using(REMOTE).order_by("pk")[:2]
    create_on_remote(model, first=first, second=second, note="remote's own")
    bread, milk = Food.objects.create(name="bread"), Food.objects.create(name="milk")
    model.objects.create(first=bread, second=milk, note="local")

    call_synchronize()

    found = model._base_manager.using(REMOTE).values_list("note", "first__name", "second__name")
    assert sorted(found) == [
        ("local", "bread", "milk"),
        ("remote's own", first.name, second.name),
    ]


@pytest.mark.parametrize("model", [Pair, Couple])
def test_row_is_recognized_by_the_objects_in_its_natural_key(model: Any) -> None:
    use_up_key_on_remote(Food, name="x")
    bread, milk = Food.objects.create(name="bread"), Food.objects.create(name="milk")
    call_synchronize()
    there = {food.name: food for food in Food._base_manager.using(REMOTE).all()}
    own = create_on_remote(model, first=there["bread"], second=there["milk"], note="remote")
    create_on_remote(model, first=there["milk"], second=there["bread"], note="other")

    model.objects.create(first=bread, second=milk, note="local")
    call_synchronize()

    assert remote(model, pk=own.pk).note == "local"
    assert remote_count(model) == 2


@pytest.mark.parametrize("model", [Pair, Couple])
def test_deletion_finds_its_row_by_the_objects_in_its_natural_key(model: Any) -> None:
    for name in "mn":
        use_up_key_on_remote(Food, name=name)
    bread, milk = Food.objects.create(name="bread"), Food.objects.create(name="milk")
    call_synchronize()
    there = {food.name: food for food in Food._base_manager.using(REMOTE).all()}
    create_on_remote(model, first=there["bread"], second=there["milk"], note="gone")
    create_on_remote(model, first=there["milk"], second=there["bread"], note="other")
    pair = model(first=bread, second=milk)
    save_unlogged(pair)

    pair.delete()
    call_synchronize()

    assert remote(model).note == "other"


def test_older_entry_that_has_a_key_without_its_model_deletes_nothing() -> None:
    bread, milk = Food.objects.create(name="bread"), Food.objects.create(name="milk")
    call_synchronize()
    there = {food.name: food for food in Food._base_manager.using(REMOTE).all()}
    create_on_remote(Pair, first=there["bread"], second=there["milk"], note="other")
    pair = Pair(first=bread, second=milk)
    save_unlogged(pair)
    pair.delete()
    keys = f"[{there['bread'].pk}, {there['milk'].pk}]"
    ChangeLog.objects.filter(natural_key__isnull=False).update(natural_key=keys)

    call_synchronize()

    assert remote(Pair).note == "other"


def test_key_of_a_generic_reference_without_its_content_type_is_no_natural_key() -> None:
    """With it alone, the tag of another thing would be overwritten, or several would be found."""
    use_up_key_on_remote(Food, name="x")
    there = create_on_remote(Customer, name="Nobby")
    create_on_remote(Tagging, target=there, tag="theirs")
    bread = Food.objects.create(name="bread")
    for tag in ("new", "fresh", "cheap"):
        Tagging.objects.create(target=bread, tag=tag)
        call_synchronize()

    found = sorted(Tagging._base_manager.using(REMOTE).values_list("tag", flat=True))
    assert found == ["cheap", "fresh", "new", "theirs"]
    assert {str(one.target.name) for one in Tagging._base_manager.using(REMOTE).exclude(tag="theirs")} == {
        "bread"
    }


@pytest.mark.parametrize("by_setting", [True, False])
def test_generic_reference_in_a_natural_key_is_that_of_remote(by_setting: bool, monkeypatch: Any) -> None:
    names = ("content_type", "object_id", "tag")
    if not by_setting:
        monkeypatch.setattr(Tagging, "natural_key_fields", names)
    with options(**({"Tagging": {"NATURAL_KEY": names}} if by_setting else {"Food": {}})):
        use_up_key_on_remote(Food, name="x")
        bread = Food.objects.create(name="bread")
        call_synchronize()
        other = create_on_remote(Food, pk=bread.pk, name="other") if remote(Food).pk != bread.pk else None
        own = create_on_remote(Tagging, target=remote(Food, name="bread"), tag="new", note="remote")
        create_on_remote(Tagging, target=other, tag="new", note="other")

        Tagging.objects.create(target=bread, tag="new", note="local")
        call_synchronize()

    assert remote(Tagging, pk=own.pk).note == "local"
    assert remote_count(Tagging) == 2


def test_deletion_finds_its_row_by_a_generic_reference_in_columns() -> None:
    with options(Tagging={"NATURAL_KEY": ("content_type", "object_id", "tag")}):
        bread = Food.objects.create(name="bread")
        call_synchronize()
        tagging = Tagging(target=bread, tag="new")
        save_unlogged(tagging)
        create_on_remote(Tagging, target=remote(Food), tag="new")
        create_on_remote(Tagging, target=remote(Food), tag="old")
        if BY_TRIGGERS:
            pytest.skip("the triggers were made without the setting")

        tagging.delete()
        call_synchronize()

    assert remote(Tagging).tag == "old"


# -- natural keys that are not unique -----------------------------------------------------------------------


def test_two_rows_of_local_with_one_natural_key_are_no_match_for_one_of_remote() -> None:
    create_on_remote(Tag, word="red", note="theirs")
    first = Tag.objects.create(word="red", note="one")
    second = Tag.objects.create(word="red", note="two")

    with pytest.raises(Ambiguous, match=rf"shop\.Tag {first.pk}, {second.pk}: its natural key \(word\)"):
        call_synchronize()

    assert remote(Tag).note == "theirs"


def test_row_of_local_that_an_earlier_batch_did_not_name_counts_as_well() -> None:
    save_unlogged(Tag(word="red", note="unlogged"))
    create_on_remote(Tag, word="red", note="theirs")
    Tag.objects.create(word="red", note="ours")

    with pytest.raises(Ambiguous, match="NATURAL_KEY"):
        call_synchronize()


def test_two_rows_of_local_whose_natural_key_has_no_value_are_no_match() -> None:
    with options(Company={"NATURAL_KEY": ("name", "country")}):
        create_on_remote(Company, name="Acme", city="theirs")
        for city in ("one", "two"):
            Company.objects.create(name="Acme", city=city)

        with pytest.raises(Ambiguous, match=r"guests\.Company"):
            call_synchronize()


def test_two_new_rows_with_one_natural_key_are_two_rows() -> None:
    for note in ("one", "two", "three"):
        Tag.objects.create(word="red", note=note)
        call_synchronize()

    assert remote_count(Tag) == 3


def test_ambiguous_rows_are_quarantined_and_the_others_go_on(quarantine: None) -> None:
    create_on_remote(Tag, word="red", note="theirs")
    Tag.objects.create(word="red", note="one")
    Tag.objects.create(word="red", note="two")
    Tag.objects.create(word="blue", note="three")

    assert call_synchronize().aside == 2

    assert sorted(Tag.objects.using(REMOTE).values_list("note", flat=True)) == ["theirs", "three"]


def test_deletion_of_an_ambiguous_row_is_quarantined_and_the_others_go_on(quarantine: None) -> None:
    save_unlogged(Tag(word="red", note="unlogged"))
    for note in ("one", "two"):
        create_on_remote(Tag, word="red", note=note)
    Tag.objects.get().delete()
    Tag.objects.create(word="blue", note="three")

    assert call_synchronize().aside == 1
    assert remote_count(Tag) == 3
    assert "finds more than one row on REMOTE" in SetAside.objects.get().cause
    assert call_synchronize(retry=True).aside == 1

    Tag.objects.using(REMOTE).filter(note="two").delete()
    assert call_synchronize(retry=True).aside == 0
    assert remote(Tag).note == "three"


def test_deletion_that_a_forgetful_manager_stops_is_quarantined_and_the_others_go_on(
    quarantine: None,
) -> None:
    save_unlogged(Headlong(name="a", value=1))
    create_on_remote(Headlong, name="a", value=9)
    Headlong.objects.get().delete()
    Food.objects.create(name="bread")

    assert call_synchronize().aside == 1
    assert (remote(Headlong).value, remote(Food).name) == (9, "bread")
    with options(Headlong={"NATURAL_KEY": ("name",)}):
        assert call_synchronize(retry=True).aside == 0
    assert remote_count(Headlong) == 0


def test_row_that_points_at_an_ambiguous_one_of_no_batch_waits(quarantine: None) -> None:
    save_unlogged(Publisher(name="Acme"))
    for city in ("one", "two"):
        create_on_remote(Publisher, name="Acme", city=city)
    Book.objects.create(publisher=Publisher.objects.get(), title="waits")
    Tag.objects.create(word="blue")

    assert call_synchronize().aside == 2
    assert (remote_count(Book), remote_count(Tag)) == (0, 1)

    Publisher.objects.using(REMOTE).filter(city="two").delete()
    assert call_synchronize(retry=True).aside == 0
    assert remote(Book).publisher == remote(Publisher)


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (
            LookupError,
            Unidentified,
            r"Headlong \d+: .*HeadlongManager.get_by_natural_key\(\) raised LookupError",
        ),
        (OperationalError, SynchroError, "OperationalError"),
    ],
)
def test_error_of_a_manager_that_is_asked_whether_local_has_a_double_is_no_answer(
    error: type[Exception], raised: type[Exception], words: str, monkeypatch: Any
) -> None:
    def find(self: Any, name: str) -> Any:
        if self.db == LOCAL:
            raise error(name)
        return self.get(name=name)

    monkeypatch.setattr(type(Headlong.objects), "get_by_natural_key", find)
    create_on_remote(Headlong, name="a", value=9)
    Headlong(name="a", value=1).save()

    with pytest.raises(raised, match=words):
        call_synchronize()

    assert remote(Headlong).value == 9


def test_row_that_a_manager_hides_is_not_taken_for_the_one_that_it_shows(monkeypatch: Any) -> None:
    """Of two rows with one natural key, what is deleted softly is hidden, and an earlier batch is about it alone."""

    def find(self: Any, name: str) -> Any:
        return self.get(name=name, value__gte=0)

    monkeypatch.setattr(type(Headlong.objects), "get_by_natural_key", find)
    create_on_remote(Headlong, name="a", value=9)
    save_unlogged(Headlong(name="a", value=1))
    hidden = Headlong(name="a", value=-1)
    hidden.save()

    with pytest.raises(Ambiguous, match=rf"guests\.Headlong {hidden.pk}:"):
        call_synchronize()

    assert remote(Headlong).value == 9


@pytest.mark.parametrize("model", [Pair, Couple])
def test_two_rows_of_local_with_the_same_objects_are_no_match_for_one_of_remote(model: Any) -> None:
    bread = Food.objects.create(name="bread")
    call_synchronize()
    there = remote(Food)
    create_on_remote(model, first=there, second=there, note="theirs")
    for note in ("one", "two"):
        model.objects.create(first=bread, second=bread, note=note)

    with pytest.raises(Ambiguous, match=rf"guests\.{model.__name__}"):
        call_synchronize()

    assert remote(model).note == "theirs"


# -- what is computed ---------------------------------------------------------------------------------------


def test_natural_key_that_the_database_computes_finds_its_row() -> None:
    own = create_on_remote(Lowered, name="BREAD", note="theirs")
    Lowered.objects.create(name="Bread", note="ours")

    call_synchronize()

    assert remote(Lowered).pk == own.pk
    assert remote(Lowered).note == "ours"


def test_deletion_finds_its_row_by_what_the_database_computed() -> None:
    create_on_remote(Lowered, name="BREAD", note="theirs")
    create_on_remote(Lowered, name="milk", note="other")
    save_unlogged(Lowered(name="Bread"))

    Lowered.objects.get().delete()
    call_synchronize()

    assert remote(Lowered).note == "other"


@pytest.mark.skipif(BY_TRIGGERS, reason="about objects that are deleted through Django")
@pytest.mark.parametrize("how", ["created", "deferred", "expression"])
def test_natural_key_that_the_object_does_not_hold_is_read_before_it_is_deleted(how: str) -> None:
    create_on_remote(Lowered, name="BREAD", note="theirs")
    create_on_remote(Tag, word="xred", note="theirs")
    lowered, tag = Lowered(name="Bread"), Tag(word="red")
    save_unlogged(lowered)
    save_unlogged(tag)
    if how == "deferred":
        lowered = Lowered.objects.only("note").get()
        Tag.objects.update(word="xred")
        tag = Tag.objects.only("note").get()
    else:
        tag.word = Concat(Value("x"), "word")
        save_unlogged(tag)
        if how == "expression":
            tag.word = Concat(Value("never saved"), "word")

    lowered.delete()
    tag.delete()
    call_synchronize()

    assert remote_count(Lowered) == 0
    assert remote_count(Tag) == 0


# -- natural keys that the project gives --------------------------------------------------------------------


def test_project_gives_a_natural_key_to_a_model_that_has_none() -> None:
    own = create_on_remote(Company, name="Acme", city="there")
    with options(Company={"NATURAL_KEY": ("name",)}):
        Company.objects.create(name="Acme", city="here")
        call_synchronize()

    assert remote(Company).pk == own.pk
    assert remote(Company).city == "here"


def test_natural_key_of_the_settings_may_lead_through_a_reference() -> None:
    use_up_key_on_remote(Food, name="x")
    bread, milk = Food.objects.create(name="bread"), Food.objects.create(name="milk")
    call_synchronize()
    there = remote(Food, name="bread")
    own = create_on_remote(Pair, first=there, second=there, note="theirs")
    with options(Pair={"NATURAL_KEY": ("first__name", "second__name")}):
        Pair.objects.create(first=bread, second=bread, note="ours")
        Pair.objects.create(first=bread, second=milk, note="new")
        call_synchronize()

    assert remote(Pair, pk=own.pk).note == "ours"
    assert remote_count(Pair) == 2
