"""A day's work on each side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from django.db.models import F

from desk.models import Branch, Note, Order
from world.models import Country, Language, Subdivision


def open_branches() -> None:
    """In the office, before the first synchronization: a branch in the first subdivision of each country."""
    english = Language.objects.get(code="eng")
    for country in Country.objects.order_by("code"):
        place = Subdivision.objects.filter(country=country).order_by("code").first()
        if place is None:
            Note.objects.create(target=country, text=f"{country} has no subdivisions")
            continue
        branch = Branch.objects.create(name=f"Branch {place.code}", place=place)
        branch.languages.add(english)
        Note.objects.create(target=branch, text=f"Opened in {place}")


def work_in_the_office() -> None:
    hired = Branch.objects.order_by("pk").values("pk")[:50]
    Branch.objects.filter(pk__in=list(hired.values_list("pk", flat=True))).update(staff=F("staff") + 1)
    for branch in Branch.objects.order_by("pk")[:20]:
        Order.objects.create(branch=branch, what="Paper, taken in the office")
    for branch in Branch.objects.filter(name__startswith="Branch G"):
        Note.objects.filter(text__contains=branch.place.name).delete()
        branch.delete()
    branch = Branch.objects.get(name__startswith="Branch PL")
    branch.languages.set(Language.objects.filter(code__in=["pol", "szl", "csb"]))
    Note.objects.create(target=branch, text="Written in the office")
    _rename("PL", "Poland, as the office says")


def work_on_the_main_server() -> None:
    """Later the same day, so what it changes too is newer."""
    for branch in Branch.objects.order_by("-pk")[:50]:
        branch.staff += 10
        branch.save()
    Branch.objects.get(name__startswith="Branch FR").delete()
    branch = Branch.objects.create(
        name="Branch of the main server", place=Subdivision.objects.get(code="PL-14")
    )
    branch.languages.add(Language.objects.get(code="pol"))
    Order.objects.create(branch=branch, what="Ink, taken on the main server")
    Note.objects.create(target=branch, text="Written on the main server")
    _rename("PL", "Poland, as the main server says")


def another_program(database: Path) -> None:
    """A process that has SQLite and nothing else: no Django, no synchro."""
    statement = "UPDATE desk_branch SET name = name || ' (renovated)' WHERE name LIKE 'Branch S%'"
    program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"
    subprocess.run([sys.executable, "-I", "-c", program, str(database), statement], check=True)


def _rename(code: str, name: str) -> None:
    country = Country.objects.get(code=code)
    country.name = name
    country.save()
