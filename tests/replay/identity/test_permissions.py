"""Permissions are known by content type and codename: a group never has another permission on REMOTE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.test import override_settings

from synchro.core import call_synchronize
from synchro.registry import is_watched
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, other_side, remote, unlogged, watching

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(scope="module", autouse=True, params=["watched", "not watched"])
def watched(request: Any, django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    left_out = () if request.param == "watched" else ("-auth.Permission",)
    with watching(django_db_blocker, "shop", "auth", *left_out):
        yield


@pytest.fixture(autouse=True, params=["pk", "reference"])
def identity(request: Any) -> Iterator[None]:
    with override_settings(SYNCHRO_IDENTITY=request.param):
        yield


@pytest.fixture(autouse=True)
def _other_numbers() -> None:
    renumber()


def renumber() -> None:
    """REMOTE makes its permissions anew, the last one first."""
    with unlogged(REMOTE):
        wanted = Permission.objects.using(REMOTE).filter(content_type__app_label="shop")
        rows = list(wanted.order_by("-pk").values("name", "codename", "content_type_id"))
        wanted.delete()
        Permission.objects.using(REMOTE).bulk_create(Permission(**row) for row in rows)
    ContentType.objects.clear_cache()


def permission(codename: str) -> Permission:
    return Permission.objects.get(codename=codename)


def codenames(owner: Any) -> set[str]:
    return {one.codename for one in owner.permissions.all()}


def test_group_gets_its_permissions_and_loses_them() -> None:
    group = Group.objects.create(name="staff")
    group.permissions.set([permission("add_customer"), permission("view_order")])
    call_synchronize()
    assert remote(Permission, codename="add_customer").pk != permission("add_customer").pk
    assert codenames(remote(Group)) == {"add_customer", "view_order"}

    group.permissions.remove(permission("add_customer"))
    call_synchronize()
    assert codenames(remote(Group)) == {"view_order"}

    group.permissions.clear()
    group.permissions.add(permission("delete_customer"))
    call_synchronize()
    assert codenames(remote(Group)) == {"delete_customer"}
    assert_same_rows(Group, Group.permissions.through)


def test_permission_is_given_and_taken_from_its_own_end() -> None:
    group = Group.objects.create(name="staff")
    permission("add_customer").group_set.add(group)
    permission("view_order").group_set.add(group)
    call_synchronize()
    assert codenames(remote(Group)) == {"add_customer", "view_order"}

    permission("view_order").group_set.remove(group)
    call_synchronize()
    assert codenames(remote(Group)) == {"add_customer"}


def test_user_gets_the_same_permissions() -> None:
    user = User.objects.create_user("vimes")
    user.user_permissions.add(permission("add_customer"))

    call_synchronize()

    assert {one.codename for one in remote(User).user_permissions.all()} == {"add_customer"}


def test_many_groups_get_the_same_permissions() -> None:
    wanted = list(Permission.objects.filter(content_type__app_label="shop")[:5])
    for number in range(30):
        Group.objects.create(name=f"group {number}").permissions.set(wanted)

    call_synchronize()

    names = {one.codename for one in wanted}
    assert all(codenames(group) == names for group in Group.objects.using(REMOTE).all())


def test_what_both_sides_do_to_a_group_is_about_the_same_permissions() -> None:
    group = Group.objects.create(name="staff")
    group.permissions.set([permission("add_customer"), permission("view_order")])
    call_synchronize()
    with other_side():
        there = Group.objects.get()
        there.permissions.remove(Permission.objects.get(codename="view_order"))
        there.permissions.add(Permission.objects.get(codename="change_customer"))
    group.permissions.add(permission("delete_customer"))

    call_synchronize()
    with other_side():
        call_synchronize()

    names = {"add_customer", "change_customer", "delete_customer"}
    assert codenames(Group.objects.get()) == codenames(remote(Group)) == names


def test_permissions_that_remote_made_anew_are_the_same_ones() -> None:
    """Where nobody replays them, what was remembered would be another one by then."""
    if is_watched(Permission):
        pytest.skip("REMOTE's own permissions are gone for LOCAL when they are deleted there")
    group = Group.objects.create(name="staff")
    group.permissions.set([permission("add_customer")])
    call_synchronize()
    renumber()

    group.permissions.add(permission("view_order"))
    call_synchronize()

    assert "view_order" in codenames(remote(Group))
    assert codenames(remote(Group)) <= {"add_customer", "view_order"}
