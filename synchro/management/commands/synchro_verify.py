"""``manage.py synchro_verify``."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Model

from synchro import stopping
from synchro.conf import conf
from synchro.exceptions import NotConfigured
from synchro.keys import to_text
from synchro.management.base import DONE, NEEDS_A_PERSON, SynchroCommand
from synchro.management.models import models_of
from synchro.verify import Difference, ModelResult, verify
from synchro.verify.deletion import Deleted, delete_extra
from synchro.verify.repair import Collected, repair
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
            help="send the rows that REMOTE lacks or has otherwise once more, as changes of LOCAL",
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
            raise NotConfigured(f"SYNCHRO_REMOTE names: {', '.join(conf.remotes) or '-'}.")
        models = [each for label in options["models"] for each in models_of(label)]
        needs_a_person = False
        shown: dict[str, Any] = {}
        for alias in aliases:
            code, shown[alias] = self._verify(alias, models, options)
            needs_a_person = needs_a_person or code
            if stopping.is_asked():
                # What was not compared must not look as if it were equal.
                self.stderr.write("Stopped: not all rows were compared, and nothing was repaired.")
                return DONE  # in place of which comes the exit code of the signal
        if options["json"]:
            self.write_json(shown)
        return NEEDS_A_PERSON if needs_a_person else DONE

    def stopped(self, code: int) -> int:
        return code  # it has said so

    def _show_progress(self, result: ModelResult) -> None:
        differing = result.unequal
        self.progress.show(
            result.model._meta.label, result.rows, more=f"{differing} differ" if differing else ""
        )

    def _verify(
        self, alias: str, models: Sequence[type[Model]], options: Mapping[str, Any]
    ) -> tuple[bool, list[dict[str, Any]]]:
        """Compare with one REMOTE, show what was found, repair it; return whether anything was found."""
        is_listing = options["all"] and not options["json"] and options["verbosity"] > 0
        collected = Collected()

        def each(model: type[Model], differences: Sequence[Difference]) -> None:
            collected(model, differences)
            if is_listing:
                self.progress.clear()
            for difference in differences if is_listing else ():
                self.stdout.write(
                    f"    {model._meta.label} {_in_words(model, difference, options['values'])}"
                )

        try:
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
            if options["repair"]:
                repair(alias, collected)
            deleted = delete_extra(alias, collected, named=NAMED) if options["delete_extra"] else []
        finally:
            collected.close()
        if not options["json"]:
            self._show_deleted(deleted, options)
        needs_a_person = any(result.unequal or result.quarantined for result in results)
        by_model = {each.model: each for each in deleted}
        return needs_a_person, [self._as_json(r, by_model.get(r.model), options) for r in results]

    def _show_deleted(self, deleted: Sequence[Deleted], options: Mapping[str, Any]) -> None:
        for done in deleted:
            label = done.model._meta.label
            if options["verbosity"]:
                self.stdout.write(f"  {label}: {done.deleted} rows of REMOTE deleted")
            if done.left:
                keys = ", ".join(to_text(done.model, key) for key in done.keys)
                self.stderr.write(
                    f"  {label}: {done.left} rows of REMOTE left, since other rows point at them, or since they "
                    f"changed meanwhile ({keys}{', ...' if done.left > len(done.keys) else ''}). Delete or change "
                    "what points at them, and verify again."
                )

    def _show(self, results: Sequence[ModelResult], options: Mapping[str, Any]) -> None:
        for result in results:
            rows = "rows of a sample" if result.is_sample else "rows"
            parts = [f"{result.equal} of {result.rows} {rows} are equal"]
            parts += [
                f"{result.counts[kind]} {kind}" for kind in (MISSING, EXTRA, DIFFERENT) if result.counts[kind]
            ]
            if result.on_the_way:
                parts.append(f"{result.on_the_way} on their way")
            if result.quarantined:
                parts.append(f"{result.quarantined} in quarantine")
            if options["verbosity"] > 1 or len(parts) > 1:
                self.stdout.write(f"  {result.model._meta.label}: {', '.join(parts)}")
            for difference in result.differences:
                self.stdout.write(f"    {_in_words(result.model, difference, options['values'])}")
            if not options["all"] and len(result.differences) < result.unequal:
                self.stdout.write(
                    f"    and {result.unequal - len(result.differences)} more (--all names them)"
                )
        if not any(result.unequal for result in results):
            waiting = sum(result.on_the_way + result.quarantined for result in results)
            rest = f"; {waiting} are on their way or in quarantine" if waiting else ""
            self.stdout.write(f"  No row differs, of {sum(result.rows for result in results)}{rest}.")

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


def _text(model: type[Model], key: Any) -> str | None:
    return None if key is None else to_text(model, key)


def _in_words(model: type[Model], difference: Difference, with_values: bool) -> str:
    key, remote = _text(model, difference.key), _text(model, difference.remote_key)
    words = f"{difference.kind}: {key if key is not None else '-'}"
    if remote is not None and remote != key:
        words += f" (REMOTE's {remote})"
    if not difference.fields:
        return words
    if not with_values:
        return f"{words}, in {', '.join(difference.fields)}"
    pairs = zip(difference.fields, difference.values, strict=True)
    return f"{words}: " + ", ".join(
        f"{name} is {local!r}, there {remote!r}" for name, (local, remote) in pairs
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ArgumentTypeError("at least 1")
    return number
