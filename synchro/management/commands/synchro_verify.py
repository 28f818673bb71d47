"""``manage.py synchro_verify``."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _

from synchro import activity, stopping
from synchro.conf import conf
from synchro.exceptions import NotConfigured
from synchro.keys import to_text
from synchro.load import load
from synchro.management.base import DONE, NEEDS_A_PERSON, SynchroCommand
from synchro.management.models import models_of
from synchro.verify import Difference, ModelResult, verify
from synchro.verify.deletion import Collected, Deleted, delete_extra
from synchro.verify.results import DIFFERENT, EXTRA, MISSING

#: How many rows are named of each model, unless more are asked for.
NAMED = 10


class Command(SynchroCommand):
    help = (
        "Compares LOCAL and REMOTE, row by row and column by column, while both are at work. Rows that differ for a "
        "change which is still on its way are counted apart. Without --repair and --delete-extra it only reads."
    )
    examples = """
  manage.py synchro_verify                       compare all watched models with every REMOTE
  manage.py synchro_verify shop.Order --wait 30  only these, and wait for what is on its way
  manage.py synchro_verify --sample 1000         compare only a thousand rows of each model, picked at random
  manage.py synchro_verify --repair              send what REMOTE lacks or has otherwise once more
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "models", nargs="*", metavar="app.Model", help="only these models, and their sets"
        )
        parser.add_argument(
            "--remote", metavar="ALIAS", help="only this one of the databases in SYNCHRO_REMOTE"
        )
        parser.add_argument(
            "--wait",
            type=float,
            default=0.0,
            metavar="SECONDS",
            help="how long to wait for changes that are on their way (default: %(default)s)",
        )
        parser.add_argument(
            "--values", action="store_true", help="show the values that differ; they may be confidential"
        )
        parser.add_argument("--all", action="store_true", help=f"name every row, not only the first {NAMED}")
        parser.add_argument(
            "--repair",
            action="store_true",
            help="bring the rows that REMOTE lacks or has otherwise to it once more, as synchro_load does",
        )

        parser.add_argument(
            "--delete-extra",
            action="store_true",
            help="delete the rows that REMOTE alone has, and that no other row points at",
        )
        parser.add_argument(
            "--sample",
            type=_count,
            metavar="N",
            help="compare only N rows of each model and side, picked at random",
        )

    def work(self, options: Mapping[str, Any]) -> int:
        aliases = (options["remote"],) if options["remote"] else conf.remotes
        if not aliases or not set(aliases) <= set(conf.remotes):
            raise NotConfigured(_("SYNCHRO_REMOTE names: %s.") % (", ".join(conf.remotes) or "-"))
        models = [each for label in options["models"] for each in models_of(label)]
        needs_a_person = False
        shown: dict[str, Any] = {}
        for alias in aliases:
            with activity.at("verify", alias):
                code, shown[alias] = self._verify(alias, models, options)
            needs_a_person = needs_a_person or code
            if stopping.is_asked():
                # What was not compared must not look as if it were equal.
                self.stderr.write(_("Stopped: not all rows were compared, and nothing was repaired."))
                return DONE  # in place of which comes the exit code of the signal
        if options["json"]:
            self.write_json(shown)
        return NEEDS_A_PERSON if needs_a_person else DONE

    def stopped(self, code: int) -> int:
        return code  # it has said so

    def _show_progress(self, result: ModelResult) -> None:
        differing = result.unequal
        self.progress.show_rows(result.model, result.rows, _("%d differ") % differing if differing else "")

    def _verify(
        self, alias: str, models: Sequence[type[Model]], options: Mapping[str, Any]
    ) -> tuple[bool, list[dict[str, Any]]]:
        """Compare with one REMOTE, show what was found, repair it; return whether anything was found."""
        is_listing = options["all"] and not options["json"] and options["verbosity"] > 0
        with Collected() as collected:

            def each(model: type[Model], differences: Sequence[Difference]) -> None:
                collected(model, differences)
                if is_listing:
                    self.progress.clear()
                for difference in differences if is_listing else ():
                    words = _in_words(model, difference, options["values"])
                    self.stdout.write(f"    {model._meta.label} {words}")

            if not options["json"] and options["verbosity"]:
                self.stdout.write(self.style.MIGRATE_HEADING(alias))
            results = verify(
                alias,
                models,
                wait=options["wait"],
                sample=options["sample"],
                kept=None if options["all"] and options["json"] else 0 if is_listing else NAMED,
                each=each if is_listing or options["repair"] or options["delete_extra"] else None,
                progress=self._show_progress,
            )
            self.progress.clear()
            if stopping.is_asked():
                return False, []
            if not options["json"] and options["verbosity"]:
                self._show(results, options)
            deleted = self._repair(alias, results, collected, options)
        if not options["json"]:
            self._show_deleted(deleted, options)
        needs_a_person = any(result.unequal or result.quarantined for result in results)
        by_model = {each.model: each for each in deleted}
        return needs_a_person, [self._as_json(r, by_model.get(r.model), options) for r in results]

    def _repair(
        self,
        alias: str,
        results: Sequence[ModelResult],
        collected: Collected,
        options: Mapping[str, Any],
    ) -> list[Deleted]:
        """Do what was asked for with the rows that differ; return what became of those that REMOTE alone had."""
        # First, since what REMOTE lacks may need their unique values.
        deleted = delete_extra(alias, collected, named=NAMED) if options["delete_extra"] else []
        if options["repair"]:
            load(alias, [r.model for r in results if r.counts[MISSING] or r.counts[DIFFERENT]], restart=True)
            if any(each.left for each in deleted):  # what was repaired may have pointed at them
                again = {each.model: each for each in delete_extra(alias, collected, named=NAMED)}
                deleted = [each.followed_by(again[each.model]) for each in deleted]
        return deleted

    def _show_deleted(self, deleted: Sequence[Deleted], options: Mapping[str, Any]) -> None:
        for done in deleted:
            label = done.model._meta.label
            if options["verbosity"]:
                text = _("%(model)s: %(count)d rows of REMOTE deleted")
                self.stdout.write("  " + text % {"model": label, "count": done.deleted})
            if done.left:
                keys = ", ".join(to_text(done.model, key) for key in done.keys)
                text = _(
                    "%(model)s: %(count)d rows of REMOTE left, since other rows point at them, or since they changed "
                    "meanwhile (%(keys)s). Delete or change what points at them, and verify again."
                )
                more = ", ..." if done.left > len(done.keys) else ""
                self.stderr.write("  " + text % {"model": label, "count": done.left, "keys": keys + more})

    def _show(self, results: Sequence[ModelResult], options: Mapping[str, Any]) -> None:
        for result in results:
            text = (
                _("%(equal)d of %(rows)d rows of a sample are equal")
                if result.is_sample
                else _("%(equal)d of %(rows)d rows are equal")
            )
            parts = [text % {"equal": result.equal, "rows": result.rows}]
            parts += [
                f"{result.counts[kind]} {words}" for kind, words in _kinds().items() if result.counts[kind]
            ]
            if result.on_the_way:
                parts.append(_("%d on their way") % result.on_the_way)
            if result.quarantined:
                parts.append(_("%d in quarantine") % result.quarantined)
            if options["verbosity"] > 1 or len(parts) > 1:
                self.stdout.write(f"  {result.model._meta.label}: {', '.join(parts)}")
            for difference in result.differences:
                self.stdout.write(f"    {_in_words(result.model, difference, options['values'])}")
            if not options["all"] and len(result.differences) < result.unequal:
                more = result.unequal - len(result.differences)
                self.stdout.write("    " + _("and %d more (--all names them)") % more)
        if not any(result.unequal for result in results):
            waiting = sum(result.on_the_way + result.quarantined for result in results)
            rows = sum(result.rows for result in results)
            text = _("No row differs, of %(rows)d.")
            if waiting:
                text = _("No row differs, of %(rows)d; %(waiting)d are on their way or in quarantine.")
            self.stdout.write("  " + text % {"rows": rows, "waiting": waiting})

    def _as_json(
        self, result: ModelResult, deleted: Deleted | None, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "model": result.model._meta.label,
            "rows": result.rows,
            "equal": result.equal,
            "on_the_way": result.on_the_way,
            "quarantined": result.quarantined,
            "missing": result.counts[MISSING],
            "extra": result.counts[EXTRA],
            "different": result.counts[DIFFERENT],
            **({"sample": options["sample"]} if result.is_sample else {}),
            **({"deleted": deleted.deleted, "left": deleted.left} if deleted is not None else {}),
            "differences": [
                {
                    "kind": difference.kind,
                    "key": _text(result.model, difference.key),
                    "remote_key": _text(result.model, difference.remote_key),
                    "fields": difference.fields,
                    **({"values": difference.values} if options["values"] else {}),
                }
                for difference in result.differences
            ],
        }


def _kinds() -> dict[str, str]:
    """Return the kinds of differences, in words."""
    return {MISSING: _("missing on REMOTE"), EXTRA: _("only on REMOTE"), DIFFERENT: _("different")}


def _text(model: type[Model], key: Any) -> str | None:
    return None if key is None else to_text(model, key)


def _in_words(model: type[Model], difference: Difference, with_values: bool) -> str:
    key, remote = _text(model, difference.key), _text(model, difference.remote_key)
    words = f"{_kinds()[difference.kind]}: {key if key is not None else remote}"
    if key is not None and remote is not None and remote != key:
        words += " " + _("(REMOTE's %s)") % remote
    if not difference.fields:
        return words
    if not with_values:
        return _("%(row)s, in %(fields)s") % {"row": words, "fields": ", ".join(difference.fields)}
    pairs = zip(difference.fields, difference.values, strict=True)
    text = _("%(field)s is %(local)r, on REMOTE %(remote)r")
    return f"{words}: " + ", ".join(
        text % {"field": name, "local": local, "remote": remote} for name, (local, remote) in pairs
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ArgumentTypeError("at least 1")
    return number
