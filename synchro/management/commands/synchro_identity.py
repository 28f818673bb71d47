"""``manage.py synchro_identity``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from synchro.conf import conf
from synchro.conversion import convert_identities
from synchro.exceptions import SynchroError


class Command(BaseCommand):
    help = (
        "Converts the rows of models whose SYNCHRO_IDENTITY was changed, so that they are recognized on REMOTE under "
        "the new one. Run it while nobody writes, after a run that has left nothing pending. It refuses, and changes "
        "nothing, where a row would be doubled or overwritten. Where REMOTE sends too, run it on both deployments."
    )
    # The check about a changed identity is what this command is for.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--remote", metavar="ALIAS", help="only this one of the databases in SYNCHRO_REMOTE"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        aliases = conf.remotes
        if options["remote"] is not None:
            if options["remote"] not in aliases:
                known = ", ".join(map(repr, aliases)) or "none"
                raise CommandError(f"SYNCHRO_REMOTE does not name {options['remote']!r}. It names: {known}.")
            aliases = (options["remote"],)
        for alias in aliases:
            try:
                converted = convert_identities(alias)
            except SynchroError as error:
                raise CommandError(f"{alias}: {error}") from error
            for one in converted:
                self.stdout.write(f"{alias}: {one.model._meta.label} is identified by {one.now!r} now")
            if not converted:
                self.stdout.write(f"{alias}: nothing to convert")
