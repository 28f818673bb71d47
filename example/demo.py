#!/usr/bin/env python3
"""
The office and the main server: a whole project, kept the same in two databases.

    python demo.py            everything, from nothing
    python demo.py STEP       one of the steps by itself, in the deployment that EXAMPLE_SIDE names
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The folder above this one, so that it also runs from the sources.
sys.path.append(str(HERE.parent))


def walk() -> None:
    say("Two empty databases")
    create_databases()

    say("The office loads the countries, subdivisions, currencies and languages of the world")
    load()

    say("The office synchronizes for the first time")
    synchronize()
    prove()

    say("Both sides work: the office first, the main server later")
    edit()
    let_another_program_write()
    on_the_main_server("edit")

    say("The office synchronizes to the main server")
    synchronize()
    say("The main server synchronizes to the office")
    on_the_main_server("synchronize")
    prove()

    say("Follow: what the office writes now arrives by itself")
    follow()
    say(
        "Rows of the main server are lost, as after a wrong restore: verify names them, load brings them back"
    )
    lose_and_load()

    say("Now look at it")
    print(f"  {sys.executable} {HERE / 'manage.py'} runserver")
    print("  http://127.0.0.1:8000/            orders, with ids such as ord_8M0kX in their addresses")
    print("  http://127.0.0.1:8000/admin/      the data, user demo, password demo")
    print("  http://127.0.0.1:8000/synchro/    the dashboard")
    print("  With EXAMPLE_SIDE=main before the command it is the main server.")


def create_databases() -> None:
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.core.management import call_command

    settings.FOLDER.mkdir(exist_ok=True)
    for side in settings.SIDES:
        for left in settings.FOLDER.glob(f"{side}.sqlite3*"):
            left.unlink()
    for alias in ("default", "remote"):
        call_command("migrate", database=alias, verbosity=0)
        call_command("synchro_install_triggers", database=alias, verbosity=0, stdout=io.StringIO())
        User.objects.db_manager(alias).create_superuser("demo", password="demo")


def load() -> None:
    from django.db import transaction

    from desk.edits import open_branches
    from synchro.models import ChangeLog
    from world.load import load_world

    began = time.perf_counter()
    with transaction.atomic():
        load_world()
        open_branches()
    count, seconds = ChangeLog.objects.count(), time.perf_counter() - began
    print(f"  {count:,} changes captured in {seconds:.1f} s, {count / seconds:,.0f} a second")


def edit() -> None:
    """Work as the deployment that this process is."""
    from django.conf import settings
    from django.db import transaction

    from desk import edits
    from synchro.models import ChangeLog

    before = ChangeLog.objects.count()
    with transaction.atomic():
        edits.work_in_the_office() if settings.SIDE == "office" else edits.work_on_the_main_server()
    print(f"  {settings.SIDE}: {ChangeLog.objects.count() - before} changes captured")


def let_another_program_write() -> None:
    from django.conf import settings
    from django.db import connection

    from desk.edits import another_program
    from synchro.models import ChangeLog

    before = ChangeLog.objects.count()
    connection.close()
    another_program(settings.DATABASES["default"]["NAME"])
    print(f"  another program, with SQLite alone: {ChangeLog.objects.count() - before} changes captured")


def synchronize() -> None:
    from synchro.core import call_synchronize

    report = call_synchronize()
    print(f"  {'':24}{'added':>8}{'changed':>9}{'deleted':>9}{'kept':>6}")
    for model in report.models:
        counts = f"{model.added:8,}{model.changed:9,}{model.deleted:9,}{model.kept:6,}"
        print(f"  {model.model:24}{counts}")
    written = sum(model.added + model.changed + model.deleted for model in report.models)
    print(
        f"  {written:,} rows in {report.seconds:.1f} s, {written / max(report.seconds, 0.001):,.0f} a second"
    )
    if report.conflicts:
        print(f"  {report.conflicts} that both sides had changed: the newer change was kept")
    for warning in report.warnings:
        print(f"  {warning}")


def follow() -> None:
    from world.models import Currency

    command = [sys.executable, HERE / "manage.py", "synchronize", "--follow", "-v", "0"]
    with subprocess.Popen(command) as follower:
        began = time.perf_counter()
        currency = Currency.objects.first()
        currency.name = f"{currency.name} (followed)"
        currency.save()
        same = Currency.objects.using("remote").filter(name=currency.name)
        while not same.exists() and follower.poll() is None:
            time.sleep(0.01)
        print(
            f"  “{currency.name}” is there {time.perf_counter() - began:.1f} s later, "
            "the start of the process included."
        )
        follower.terminate()


def lose_and_load() -> None:
    from django.core.management import call_command
    from django.db import connections

    from synchro.backends import backend_for
    from world.models import Language

    remote = Language.objects.using("remote")
    lost = list(remote.values_list("pk", flat=True)[:100])
    with backend_for(connections["remote"]).capture_off():
        remote.filter(pk__in=lost)._raw_delete("remote")
    for command in ("synchro_verify", "synchro_load", "synchro_verify"):
        print(f"  manage.py {command} world.Language")
        call_command(command, "world.Language")


def prove() -> None:
    from project.proof import differences

    count, lines = differences()
    if lines:
        sys.exit("\n".join(["The two databases differ:", *lines[:20]]))
    print(f"  {count:,} rows compared, column by column: both databases are the same")


def on_the_main_server(step: str) -> None:
    """A process of its own, whose default database and log are the main server's."""
    sys.stdout.flush()
    command = [sys.executable, str(HERE / "demo.py"), step]
    subprocess.run(command, env=os.environ | {"EXAMPLE_SIDE": "main"}, check=True)


def say(headline: str) -> None:
    print(f"\n{headline}")


STEPS: dict[str, Callable[[], None]] = {
    "create_databases": create_databases,
    "load": load,
    "edit": edit,
    "synchronize": synchronize,
    "prove": prove,
}


def main(arguments: list[str]) -> None:
    if arguments and arguments[0] not in STEPS:
        sys.exit(f"There is no step {arguments[0]!r}; there are {', '.join(STEPS)}.")
    os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
    import django

    django.setup()
    STEPS[arguments[0]]() if arguments else walk()


if __name__ == "__main__":
    main(sys.argv[1:])
