"""What `benchmarks.spicy_rivals` asks of one package, in a process of its own. It prints the answers as JSON."""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ENGINES = {
    "PostgreSQL": ("SYNCHRO_TEST_POSTGRESQL_URL", "django.db.backends.postgresql"),
    "MySQL": ("SYNCHRO_TEST_MYSQL_URL", "django.db.backends.mysql"),
    "MariaDB": ("SYNCHRO_TEST_MARIADB_URL", "django.db.backends.mysql"),
}
NEIGHBOURS = ("django_filters", "graphene_django", "import_export", "rest_framework")
PROBES: dict[str, Callable[[Any, str], str]] = {}


def probe(what: str) -> Callable[[Callable[[Any, str], str]], Callable[[Any, str], str]]:
    def register(function: Callable[[Any, str], str]) -> Callable[[Any, str], str]:
        PROBES[what] = function
        return function

    return register


def set_up(module: str, has_neighbours: bool) -> None:
    from django.conf import settings

    databases: dict[str, Any] = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    for name, (variable, engine) in ENGINES.items():
        if variable in os.environ:
            parts = urlsplit(os.environ[variable])
            databases[name] = {
                "ENGINE": engine,
                "NAME": unquote(parts.path[1:]),
                "HOST": parts.hostname,
                "PORT": str(parts.port or ""),
                "USER": unquote(parts.username or ""),
                "PASSWORD": unquote(parts.password or ""),
            }
    settings.configure(
        DATABASES=databases,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            *(NEIGHBOURS if has_neighbours else ()),
            module,
            "rival",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="only for this",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        USE_TZ=True,
    )
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    if module == "django_spicy_id" and has_neighbours:
        importlib.import_module(module).monkey_patch_drf()  # as the readme of that package says


def ratio(action: Callable[[], object], plain: Callable[[], object]) -> str:
    """How many times as long as `plain` an action takes. In time of the processor, and the best of several turns."""
    times: list[list[float]] = [[], []]
    for _ in range(15):
        for taken, one in zip(times, (action, plain), strict=True):
            start = time.process_time()
            one()
            taken.append(time.process_time() - start)
    return f"{min(times[0]) / min(times[1]):.1f}"


@probe("type of the column")
def column(row: Any, _shown: str) -> str:
    from django.db import connection

    return str(type(row)._meta.pk.db_type(connection))


@probe("type in Python, typed package")
def python_type(row: Any, shown: str) -> str:
    package = Path(
        importlib.import_module(type(row)._meta.get_field(shown).__module__.split(".")[0]).__file__
    )
    typed = "typed" if (package.parent / "py.typed").exists() else "not typed"
    return f"`{type(getattr(row, shown)).__name__}`, {typed}"


@probe("reading a column of ids: times that of plain keys")
def reading(_row: Any, shown: str) -> str:
    from rival.models import Plain, Row

    return ratio(
        lambda: list(Row.objects.values_list(shown, flat=True)),
        lambda: list(Plain.objects.values_list("id", flat=True)),
    )


@probe("reading objects and their ids: times that of plain ones")
def objects(_row: Any, shown: str) -> str:
    from rival.models import Plain, Row

    return ratio(
        lambda: [str(getattr(one, shown)) for one in Row.objects.all()],
        lambda: [str(one.id) for one in Plain.objects.all()],
    )


@probe("a query by what is no id")
def garbage(row: Any, shown: str) -> str:
    try:
        found = type(row).objects.filter(**{shown: "row_!"}).exists()
    except Exception as error:  # noqa: BLE001 (whatever a package makes of it is the answer)
        return f"`{type(error).__name__}`"
    return "finds a row" if found else "no row"


@probe("REST framework gives ids, and takes them back")
def rest(row: Any, shown: str) -> str:
    from rest_framework.renderers import JSONRenderer
    from rest_framework.serializers import ModelSerializer
    from rival.models import Child, Row

    def serializer(of: Any, *names: str) -> Any:
        return type("S", (ModelSerializer,), {"Meta": type("Meta", (), {"model": of, "fields": names})})

    given = json.loads(JSONRenderer().render(serializer(Row, shown)(row).data))[shown]
    child = serializer(Child, "row")(data={"row": given})
    child.is_valid(raise_exception=True)
    assert child.save().row == row
    assert given == str(getattr(row, shown))
    return "yes"


@probe("django-filter takes ids")
def filters(row: Any, shown: str) -> str:
    from django_filters import FilterSet

    meta = type("Meta", (), {"model": type(row), "fields": [shown]})
    found = type("F", (FilterSet,), {"Meta": meta})({shown: str(getattr(row, shown))})
    assert found.is_valid(), "not valid"
    assert list(found.qs) == [row], "other rows"
    return "yes"


@probe("ninja")
def ninja(row: Any, shown: str) -> str:
    from ninja.orm import create_schema

    schema = create_schema(type(row), fields=[shown])
    assert json.loads(schema.from_orm(row).json())[shown] == str(getattr(row, shown)), "not the id"
    return "yes"


@probe("graphene-django, filtering by a global id")
def graphene(row: Any, shown: str) -> str:
    import graphene
    from graphene import relay
    from graphene_django import DjangoObjectType
    from graphene_django.filter import DjangoFilterConnectionField
    from graphql_relay import to_global_id

    meta = {"model": type(row), "fields": ["id"], "filter_fields": ["id"], "interfaces": [relay.Node]}
    node = type("RowNode", (DjangoObjectType,), {"Meta": type("Meta", (), meta)})
    query = type("Query", (graphene.ObjectType,), {"rows": DjangoFilterConnectionField(node)})
    key = to_global_id("RowNode", str(row.pk))
    result = graphene.Schema(query=query).execute(f'{{ rows(id: "{key}") {{ edges {{ node {{ id }} }} }} }}')
    assert not result.errors, re.sub(r'^.*"message": "([^"]*)".*$', r"\1", result.errors[0].message)
    assert result.data["rows"]["edges"] == [{"node": {"id": key}}], "other rows"
    return "yes" if shown == "id" else "yes, of the integer"


@probe("strawberry-django, `auto`")
def strawberry(row: Any, shown: str) -> str:
    import strawberry
    import strawberry_django

    made = type("RowType", (), {"__annotations__": {shown: strawberry.auto}})
    kind = strawberry_django.type(type(row))(made)
    query = type("Query", (), {"__annotations__": {"rows": list[kind]}, "rows": strawberry_django.field()})
    schema = strawberry.Schema(query=strawberry.type(query))
    with redirect_stderr(io.StringIO()):
        result = schema.execute_sync(f"{{ rows {{ {shown} }} }}")
    assert not result.errors, result.errors[0].message
    assert {shown: str(getattr(row, shown))} in result.data["rows"], "not the id"
    return "yes"


@probe("import-export: importing an export changes the same rows")
def import_export(row: Any, shown: str) -> str:
    from import_export.resources import modelresource_factory

    meta = {"fields": ["id", "name"], "skip_unchanged": False}
    resource = modelresource_factory(type(row))
    resource._meta.fields = meta["fields"]
    exported = resource().export(type(row).objects.filter(pk=row.pk))
    text = exported.csv
    import tablib

    result = resource().import_data(tablib.Dataset().load(text, format="csv"), raise_errors=True)
    assert result.totals["update"] + result.totals["skip"] == 1, "makes rows anew"
    assert str(row.pk) in text, "not the id"
    return "yes" if shown == "id" else "yes, of the integer"


@probe("admin: list, search by id, change page")
def admin(row: Any, shown: str) -> str:
    from django.contrib import admin
    from django.contrib.auth.models import User
    from django.test import Client

    made = type("RowAdmin", (admin.ModelAdmin,), {"search_fields": [shown], "list_display": [shown]})
    admin.site.register(type(row), made)
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("root"))
    globals()["urlpatterns"] = [importlib.import_module("django.urls").path("admin/", admin.site.urls)]
    page = client.get("/admin/rival/row/", {"q": str(getattr(row, shown))})
    assert page.status_code == 200, f"search: {page.status_code}"
    links = re.findall(rb'href="(/admin/rival/row/[^"?]+/change/)', page.content)
    assert links, "the search finds nothing"
    assert client.get(links[0].decode()).status_code == 200, "no change page"
    return "yes"


def engines(row: Any, shown: str) -> str:
    from django.db import connections

    model = type(row)
    works = ["SQLite"]
    for name in ENGINES:
        if name not in connections.databases:
            continue
        with connections[name].schema_editor() as editor:
            editor.create_model(model)
        try:
            made = model.objects.using(name).create(name="x")
            found = model.objects.using(name).get(**{shown: str(getattr(made, shown))})
            if found == made:
                works.append(name)
        finally:
            with connections[name].schema_editor() as editor:
                editor.delete_model(model)
    return ", ".join(works)


def answer(function: Callable[[Any, str], str], row: Any, shown: str) -> str:
    from django.db import transaction

    try:
        with transaction.atomic():
            return function(row, shown)
    except AssertionError as error:
        return f"no: {str(error).splitlines()[0] if str(error) else 'another id'}"[:60].replace("|", "/")
    except Exception as error:  # noqa: BLE001 (whatever a package makes of it is the answer)
        return f"no: {type(error).__name__}"


urlpatterns: list[Any] = []


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--module", required=True)
    parser.add_argument("--shown", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--engines", action="store_true", help="only where it works")
    arguments = parser.parse_args()
    # An editable installation of this project would give its modules to the package that has its name.
    sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
    set_up(arguments.module, not arguments.engines)
    from rival.models import Plain, Row

    Row.objects.bulk_create([Row(name="x") for _ in range(arguments.rows)], batch_size=500)
    Plain.objects.bulk_create([Plain(name="x") for _ in range(arguments.rows)], batch_size=500)
    row = Row.objects.order_by("pk")[arguments.rows // 2]
    probes = {"engines": engines} if arguments.engines else PROBES
    answers = {what: answer(function, row, arguments.shown) for what, function in probes.items()}
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
