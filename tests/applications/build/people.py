"""Users, groups, logins: django.contrib.auth, allauth, guardian."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sites.models import Site
from django.core import mail
from django.test import Client
from guardian.shortcuts import assign_perm, get_objects_for_user, remove_perm

from tests.applications.content.models import Plant

PASSWORD = "pass word 1 of many"


def add() -> None:
    """An administrator, an editor, and people who signed up by the page for it."""
    User.objects.create_superuser("admin", "admin@example.org", PASSWORD)
    editor = User.objects.create_user("ellen", "ellen@example.org", PASSWORD, is_staff=True)
    editor.groups.add(Group.objects.get(name="Editors"))
    gardeners = Group.objects.create(name="Gardeners")
    gardeners.permissions.set(Permission.objects.filter(content_type__app_label__in=["content", "taggit"]))
    editor.user_permissions.add(Permission.objects.get(codename="change_page", content_type__model="page"))
    for name in ("bert", "cora"):
        sign_up(name)
    app = SocialApp.objects.create(
        provider="openid_connect", provider_id="house", name="House", client_id="1"
    )
    app.sites.add(Site.objects.get())
    account = SocialAccount.objects.create(
        user=User.objects.get(username="bert"),
        provider="house",
        uid="b-1",
        extra_data={"sub": "b-1", "n": [1, None]},
    )
    SocialToken.objects.create(app=app, account=account, token="t" * 300)


def sign_up(name: str) -> None:
    """As a visitor does."""
    form = {"username": name, "email": f"{name}@example.org", "password1": PASSWORD, "password2": PASSWORD}
    answer = Client().post("/accounts/signup/", form)
    assert answer.status_code == 302, answer.content.decode()


def own() -> None:
    """Permissions on single plants, for a user and for a group."""
    cora, gardeners = User.objects.get(username="cora"), Group.objects.get(name="Gardeners")
    for plant in Plant.objects.order_by("pk"):
        assign_perm("water_plant", cora, plant)
    assign_perm("change_plant", gardeners, Plant.objects.order_by("pk")[0])


def edit() -> None:
    """A confirmed address, another password, another group, fewer permissions, and somebody who leaves."""
    address = EmailAddress.objects.get(user__username="cora")
    address.verified = True
    address.save()
    cora = User.objects.get(username="cora")
    cora.set_password(PASSWORD * 2)
    cora.save()
    cora.groups.add(Group.objects.get(name="Gardeners"))
    remove_perm("water_plant", cora, Plant.objects.order_by("pk")[0])
    Group.objects.get(name="Moderators").permissions.clear()
    sign_up("dirk")
    User.objects.get(username="dirk").delete()
    mail.outbox.clear()


def log_in(email: str, password: str) -> None:
    """By the form, with the address in place of the name."""
    client = Client()
    answer = client.post(
        "/shop/accounts/login/",
        {
            "login-username": email,
            "login-password": password,
            "login_submit": "1",
        },
    )
    assert answer.status_code == 302, answer.content.decode()
    assert client.get("/shop/accounts/profile/").status_code == 200


def check() -> None:
    """Everybody can log in here, and may do what they may."""
    log_in("bert@example.org", PASSWORD)
    log_in("cora@example.org", PASSWORD * 2)
    client = Client()
    answer = client.post("/accounts/login/", {"login": "bert", "password": PASSWORD})
    assert answer.status_code == 302, answer.content.decode()
    assert "bert@example.org" in client.get("/accounts/email/").content.decode()
    cora = User.objects.get(username="cora")
    own = get_objects_for_user(cora, "content.water_plant", accept_global_perms=False)
    assert own.count() == Plant.objects.count() - 1
    group = Group.objects.get(name="Gardeners")
    assert set(group.permissions.values_list("content_type__app_label", flat=True)) == {"content", "taggit"}
    assert User.objects.get(username="bert").has_perm("content.water_plant") is False
