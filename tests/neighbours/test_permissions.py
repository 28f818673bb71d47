"""guardian, alone and behind strawberry-django."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import NotSupportedError
from guardian.models import UserObjectPermission
from guardian.shortcuts import (
    assign_perm,
    get_objects_for_group,
    get_objects_for_user,
    get_perms,
    get_users_with_perms,
    remove_perm,
)
from strawberry_django.utils.query import filter_for_user

from tests.neighbours.models import Animal, Author, Book, Dog, Parcel, Shelf

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


KEYS = [1, 9, 10, 61, 62, 3843, 3844, 123456789, 2**31 - 1, 2**62, 2**63 - 1]


@pytest.mark.parametrize(("model", "permission"), [(Author, "change_author"), (Shelf, "change_shelf")])
def test_the_objects_of_a_user_are_found(ada: User, model: Any, permission: str) -> None:
    objects = {key: model.objects.create(id=key, name=str(key)) for key in KEYS}
    allowed = [objects[key] for key in KEYS[::2]]
    for one in allowed:
        assign_perm(permission, ada, one)
    assert set(get_objects_for_user(ada, f"neighbours.{permission}")) == set(allowed)
    assert ada.has_perm(permission, objects[KEYS[0]])
    assert not ada.has_perm(permission, objects[KEYS[1]])
    assert get_perms(ada, allowed[1]) == [permission]
    assert list(get_users_with_perms(allowed[0])) == [ada]
    assert set(filter_for_user(model.objects.all(), ada, [f"neighbours.{permission}"])) == set(allowed)
    remove_perm(permission, ada, allowed[0])
    assert set(get_objects_for_user(ada, f"neighbours.{permission}")) == set(allowed[1:])


def test_the_objects_of_a_group_are_found(ada: User) -> None:
    group = Group.objects.create(name="editors")
    ada.groups.add(group)
    one, other = Author.objects.create(name="1"), Author.objects.create(name="2")
    assign_perm("neighbours.view_author", group, Author.objects.filter(pk=one.pk))
    assert get_objects_for_group(group, "neighbours.view_author").get() == one
    assert get_objects_for_user(ada, "neighbours.view_author").get() == one
    assert not get_objects_for_user(ada, "neighbours.view_author", use_groups=False).exists()
    remove_perm("neighbours.view_author", group, Author.objects.filter(pk__in=[one.pk, other.pk]))
    assert not get_objects_for_group(group, "neighbours.view_author").exists()


def test_a_key_that_is_a_reference_to_its_parent(ada: User) -> None:
    dog = Dog.objects.create(name="Rex", breed="x")
    Dog.objects.create(name="Max", breed="x")
    assign_perm("view_dog", ada, dog)
    assert get_objects_for_user(ada, "neighbours.view_dog", klass=Dog).get() == dog
    assert Animal.objects.count() == 2


def test_permissions_in_a_foreign_key(ada: User) -> None:
    author = Author.objects.create(name="a")
    one, _other = (Book.objects.create(title=title, author=author) for title in "12")
    assign_perm("change_book", ada, one)
    assert get_objects_for_user(ada, "neighbours.change_book").get() == one
    assert ada.has_perm("change_book", one)


def test_what_is_no_id_matches_no_row(ada: User) -> None:
    author = Author.objects.create(id=5, name="a")
    assign_perm("view_author", ada, author)
    for text in ("5", "aut_", "aut_05", "aut_zzzzzzzzzzz", "bk_5", "AUT_5", ""):
        UserObjectPermission.objects.update(object_pk=text)
        assert not get_objects_for_user(ada, "neighbours.view_author").exists()


def test_uuids_that_are_kept_as_text_are_refused_and_not_lost(ada: User) -> None:
    parcel = Parcel.objects.create()
    assign_perm("view_parcel", ada, parcel)
    assert ada.has_perm("view_parcel", parcel)
    with pytest.raises(NotSupportedError, match="keep references to it in a foreign key"):
        list(get_objects_for_user(ada, "neighbours.view_parcel"))
