"""Objects of Django's own apps keep their meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType

from synchro.core import call_synchronize
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, create_on_remote, remote, watching

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(scope="module", autouse=True)
def watched(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with watching(django_db_blocker, "shop", "auth", "django.contrib.contenttypes"):
        yield


def test_group_has_the_same_permissions_under_other_keys() -> None:
    _renumber_permissions()
    group = Group.objects.create(name="staff")
    group.permissions.set(Permission.objects.filter(codename__in=["add_customer", "view_order"]))
    before = Permission.objects.using(REMOTE).count()

    call_synchronize()

    assert {one.codename for one in remote(Group).permissions.all()} == {"add_customer", "view_order"}
    assert Permission.objects.using(REMOTE).count() == before


def test_user_arrives_with_password_groups_and_permissions() -> None:
    user = User.objects.create_user("vimes", password="badge 177")
    user.groups.add(Group.objects.create(name="watch"))
    user.user_permissions.add(Permission.objects.get(codename="add_customer"))

    call_synchronize()

    found = remote(User)
    assert found.check_password("badge 177")
    assert found.groups.get().name == "watch"
    assert found.user_permissions.get().codename == "add_customer"
    assert_same_rows(User, Group, User.groups.through, User.user_permissions.through)


def test_user_of_the_same_name_is_the_same_user() -> None:
    create_on_remote(User, username="other")
    own = create_on_remote(User, username="vimes", first_name="?")
    User.objects.create_user("vimes", first_name="Sam")

    call_synchronize()

    assert remote(User, pk=own.pk).first_name == "Sam"
    assert User.objects.using(REMOTE).count() == 2


def test_content_type_that_remote_lacks_arrives() -> None:
    ContentType.objects.create(app_label="old", model="thing")

    call_synchronize()

    assert ContentType.objects.using(REMOTE).filter(app_label="old", model="thing").count() == 1


def test_permission_of_the_projects_own_belongs_to_the_same_model() -> None:
    _renumber_permissions()
    content_type = ContentType.objects.get(app_label="shop", model="customer")
    Permission.objects.create(codename="bribe", name="Can bribe", content_type=content_type)

    call_synchronize()

    assert remote(Permission, codename="bribe").content_type.model == "customer"


def _renumber_permissions() -> None:
    """On REMOTE they, and the content types, have other keys than on LOCAL."""
    types = {found.pk: found for found in ContentType.objects.using(REMOTE).filter(app_label="shop")}
    permissions = list(Permission.objects.using(REMOTE).filter(content_type__in=types))
    Permission.objects.using(REMOTE).filter(content_type__in=types).delete()
    for old, found in reversed(types.items()):
        ContentType.objects.using(REMOTE).filter(pk=old).delete()
        new = ContentType.objects.using(REMOTE).create(app_label="shop", model=found.model)
        for permission in permissions:
            if permission.content_type_id == old:
                Permission.objects.using(REMOTE).create(
                    codename=permission.codename, name=permission.name, content_type=new
                )
    ContentType.objects.clear_cache()
