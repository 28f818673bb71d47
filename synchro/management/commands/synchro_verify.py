"""``manage.py synchro_verify``."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any

from synchro import stopping
from synchro.conf import conf
from synchro.exceptions import NotConfigured
from synchro.keys import to_text
from synchro.management.base import DONE, NEEDS_A_PERSON, SynchroCommand
from synchro.management.models import models_of
from synchro.verify import Difference, ModelResult, verify
from synchro.verify.repair import repair
from synchro.verify.results import DIFFERENT, EXTRA, MISSING

#: How many rows are named of each model, unless more are asked for.
NAMED = 10


class Command(SynchroCommand):
    help = (
        "Compares LOCAL and REMOTE, row by row and column by column, while both are at work. Rows that differ for a "
        "change which is still on its way are counted apart. It needs nothing but to read."
    )
    examples = """
  manage.py synchro_verify                       compare all watched models with every REMOTE
  manage.py synchro_verify shop.Order --wait 30  only these, and wait for what is on its way
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

    def work(self, options: Mapping[str, Any]) -> int:
        aliases = (options["remote"],) if options["remote"] else conf.remotes
        if not aliases or not set(aliases) <= set(conf.remotes):
            raise NotConfigured(f"SYNCHRO_REMOTE names: {', '.join(conf.remotes) or '-'}.")
        models = [each for label in options["models"] for each in models_of(label)]
        found = {
            alias: verify(alias, models, wait=options["wait"], progress=self._show_progress)
            for alias in aliases
        }
        self.progress.clear()
        if stopping.is_asked():
            # What was not compared must not look as if it were equal.
            self.stderr.write("Stopped: not all rows were compared, and nothing was repaired.")
            return DONE  # in place of which comes the exit code of the signal
        if options["repair"]:
            for alias, results in found.items():
                repair(alias, results)
        if options["json"]:
            self.write_json(
                {alias: [self._as_json(result, options) for result in each] for alias, each in found.items()}
            )
        elif options["verbosity"]:
            for alias, results in found.items():
                self._show(alias, results, options)
        all_results = [result for results in found.values() for result in results]
        needs_a_person = any(result.differences or result.quarantined for result in all_results)
        return NEEDS_A_PERSON if needs_a_person else DONE

    def stopped(self, code: int) -> int:
        return code  # it has said so

    def _show_progress(self, result: ModelResult) -> None:
        differing = len(result.differences)
        self.progress.show(
            result.model._meta.label, result.rows, more=f"{differing} differ" if differing else ""
        )

    def _show(self, alias: str, results: Sequence[ModelResult], options: Mapping[str, Any]) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(alias))
        for result in results:
            parts = [f"{result.equal} of {result.rows} rows are equal"]
            parts += [
                f"{result.count(kind)} {kind}" for kind in (MISSING, EXTRA, DIFFERENT) if result.count(kind)
            ]
            if result.on_the_way:
                parts.append(f"{result.on_the_way} on their way")
            if result.quarantined:
                parts.append(f"{result.quarantined} in quarantine")
            if options["verbosity"] > 1 or len(parts) > 1:
                self.stdout.write(f"  {result.model._meta.label}: {', '.join(parts)}")
            named = result.differences if options["all"] else result.differences[:NAMED]
            for difference in named:
                self.stdout.write(f"    {_in_words(result, difference, options['values'])}")
            if len(named) < len(result.differences):
                self.stdout.write(f"    and {len(result.differences) - len(named)} more (--all names them)")
        if not any(result.differences for result in results):
            waiting = sum(result.on_the_way + result.quarantined for result in results)
            rest = f"; {waiting} are on their way or in quarantine" if waiting else ""
            self.stdout.write(f"  No row differs, of {sum(result.rows for result in results)}{rest}.")

    def _as_json(self, result: ModelResult, options: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "model": result.model._meta.label,
            "rows": result.rows,
            "equal": result.equal,
            "on_the_way": result.on_the_way,
            "quarantined": result.quarantined,
            "differences": [
                {
                    "kind": difference.kind,
                    "key": _text(result, difference.key),
                    "remote_key": _text(result, difference.remote_key),
                    "fields": difference.fields,
                    **({"values": difference.values} if options["values"] else {}),
                }
                for difference in result.differences
            ],
        }


def _text(result: ModelResult, key: Any) -> str | None:
    return None if key is None else to_text(result.model, key)


def _in_words(result: ModelResult, difference: Difference, with_values: bool) -> str:
    key, remote = _text(result, difference.key), _text(result, difference.remote_key)
    words = f"{difference.kind}: {key if key is not None else '-'}"
    if remote is not None and remote != key:
        words += f" (REMOTE's {remote})"
    if not difference.fields:
        return words
    if not with_values:
        return f"{words}, in {', '.join(difference.fields)}"
    pairs = zip(difference.fields, difference.values, strict=True)
    return f"{words}: " + ", ".join(f"{name} is {ours!r}, there {theirs!r}" for name, (ours, theirs) in pairs)
