"""``manage.py synchro_identity``."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from synchro.conf import conf
from synchro.conversion import convert_identities
from synchro.management.base import DONE, SynchroCommand


class Command(SynchroCommand):
    help = (
        "Converts the rows of models whose SYNCHRO_IDENTITY was changed, so that they are recognized on REMOTE under "
        "the new one. Run it while nobody writes, after a run that has left nothing pending. It refuses, and changes "
        "nothing, where a row would be doubled or overwritten. Where REMOTE sends too, run it on both deployments."
    )
    examples = """
  manage.py synchro_identity                     after SYNCHRO_IDENTITY was changed
  manage.py synchro_identity --remote office     only for this REMOTE
"""
    #: The check about a changed identity is what this command is for.
    makes_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--remote", metavar="ALIAS", help="only this one of the databases in SYNCHRO_REMOTE"
        )

    def work(self, options: Mapping[str, Any]) -> int:
        aliases = conf.remotes
        if options["remote"] is not None:
            if options["remote"] not in aliases:
                raise CommandError(
                    _("SYNCHRO_REMOTE does not name the database “%(alias)s”. It names: %(aliases)s.")
                    % {"alias": options["remote"], "aliases": ", ".join(aliases) or "-"}
                )
            aliases = (options["remote"],)
        found: dict[str, dict[str, str]] = {}
        for alias in aliases:
            found[alias] = {one.model._meta.label: one.now for one in convert_identities(alias)}
            if not options["json"] and options["verbosity"]:
                self._show(alias, found[alias])
        if options["json"]:
            self.write_json(found)
        return DONE

    def _show(self, alias: str, converted: Mapping[str, str]) -> None:
        for label, identity in converted.items():
            self.stdout.write(
                _("%(alias)s: %(model)s is identified by '%(identity)s' now")
                % {"alias": alias, "model": label, "identity": identity}
            )
        if not converted:
            self.stdout.write(_("%(alias)s: nothing to convert") % {"alias": alias})
