"""``manage.py synchronize``."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from synchro.exceptions import Incomplete
from synchro.follow import INTERVAL, follow
from synchro.management.base import DONE, NEEDS_A_PERSON, SynchroCommand
from synchro.management.progress import progress_of_batches
from synchro.pending import all_pending
from synchro.replay import Report, call_synchronize
from synchro.replay.log.unread import forget
from synchro.replay.receipts import resending
from synchro.triggers.ready import missing_triggers_allowed


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 3600:
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0.01 to 3600")
    return value


class Command(SynchroCommand):
    help = (
        "Replays the changes that were captured on LOCAL (the database “default”) into REMOTE (SYNCHRO_REMOTE), batch "
        "by batch. It can be interrupted and repeated at any time: what has arrived is not sent again, and nothing is "
        "left out."
    )
    examples = """
  manage.py synchronize                     replay what is pending into every REMOTE
  manage.py synchronize --remote office     only into this one
  manage.py synchronize --follow            go on until stopped, for systemd or a container
  manage.py synchronize --follow --metrics-port 9101     the same, with metrics for Prometheus
  manage.py synchronize --retry -v 2        also what is in quarantine; say what was written of which model
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--remote", metavar="ALIAS", help="only this one of the databases in SYNCHRO_REMOTE"
        )
        parser.add_argument(
            "--atomic",
            action="store_true",
            help="all in one transaction on REMOTE, so that nobody there sees half of one of LOCAL's",
        )
        parser.add_argument(
            "--retry",
            action="store_true",
            help="afterwards, also take up again what was set aside (SYNCHRO_ON_ERROR = 'quarantine')",
        )
        parser.add_argument(
            "--resend",
            action="store_true",
            help="to a REMOTE that was restored from an older copy, send again what came after that copy",
        )
        parser.add_argument(
            "--without-triggers",
            action="store_true",
            help="even if a watched table lacks a trigger, so that some of its changes may not have been captured",
        )
        parser.add_argument(
            "--forget",
            metavar="app.Model",
            action="append",
            default=[],
            help="afterwards, drop the entries of this model that wait since it is not watched (any more)",
        )
        parser.add_argument(
            "--follow", action="store_true", help="go on replaying until stopped by Ctrl-C or SIGTERM"
        )
        parser.add_argument(
            "--interval",
            type=_seconds,
            default=INTERVAL,
            metavar="SECONDS",
            help="with --follow: how often to look for new changes (default: %(default)s)",
        )

        parser.add_argument(
            "--metrics-port",
            type=int,
            metavar="PORT",
            help="with --follow: serve metrics for Prometheus on this port (needs the extra “metrics”)",
        )
        parser.add_argument(
            "--metrics-address",
            default="127.0.0.1",
            metavar="ADDRESS",
            help="the address to serve metrics on (default: %(default)s)",
        )

    def work(self, options: Mapping[str, Any]) -> int:
        self._options = options
        with (
            missing_triggers_allowed() if options["without_triggers"] else nullcontext(),
            resending() if options["resend"] else nullcontext(),
        ):
            code = self._follow() if options["follow"] else self._once()
        for label in options["forget"]:
            count = forget(label)
            self.stderr.write(
                _("%(count)d entries of %(model)s were dropped: no REMOTE will receive them.")
                % {"count": count, "model": label}
            )
        return code

    def stopped(self, code: int) -> int:
        if not self._options["follow"]:
            return code  # the report says that it was stopped
        # Whoever follows ends by a signal only, so that is no failure.
        if self._options["verbosity"] > 0:
            self.stderr.write(
                _("Stopped. The batch at hand has arrived; what is left waits for the next run.")
            )
        return DONE

    def _once(self) -> int:
        options = self._options
        try:
            with self._showing_progress():
                report = call_synchronize(
                    remote=options["remote"], atomic=options["atomic"], retry=options["retry"]
                )
        except Incomplete as error:
            for served in error.reports:
                self._show(served)
            raise
        self._show(report)
        return NEEDS_A_PERSON if report.aside else DONE

    def _showing_progress(self) -> AbstractContextManager[None]:
        """Inside, a terminal shows how many of the pending entries have arrived. They are counted for that alone."""
        if not self.progress.is_shown:
            return nullcontext()
        return progress_of_batches(
            self.progress, {pending.alias: pending.entries for pending in all_pending()}
        )

    def _follow(self) -> int:
        options = self._options
        with self._serving_metrics():
            follow(
                options["remote"],
                options["interval"],
                atomic=options["atomic"],
                reported=self._show,
                failed=lambda alias, error: self.stderr.write(self.style.WARNING(f"{alias}: {error}")),
            )
        return DONE

    @contextmanager
    def _serving_metrics(self) -> Iterator[None]:
        port, address = self._options["metrics_port"], self._options["metrics_address"]
        if port is None:
            yield
            return
        try:
            from synchro.contrib.prometheus.server import MetricsServer
        except ImportError as error:
            raise CommandError(
                _('Metrics need the package prometheus-client: pip install "django-synchro[metrics]".')
            ) from error
        try:
            server = MetricsServer(port, address)
        except (OSError, OverflowError) as error:
            text = _("Metrics cannot be served on %(address)s, port %(port)d: %(error)s")
            raise CommandError(text % {"address": address, "port": port, "error": error}) from error
        with server:
            yield

    def _show(self, report: Report) -> None:
        self.progress.clear()
        for warning in report.warnings:
            self.stderr.write(self.style.WARNING(warning))
        if self._options["json"]:
            self.write_json(asdict(report), is_one_of_many=self._options["follow"])
            return
        verbosity = self._options["verbosity"]
        if verbosity == 0:
            return
        self.stdout.write(str(report))
        for model in report.models if verbosity > 1 else ():
            self.stdout.write(
                _(
                    "%(model)s: %(added)d added, %(changed)d changed, %(deleted)d deleted, %(kept)d kept as REMOTE has "
                    "them"
                )
                % asdict(model)
            )
        if verbosity > 1 or report.entries or report.models:
            self.stdout.write(
                _(
                    "%(entries)d entries in %(batches)d batches, %(conflicts)d conflicts, %(aside)d in quarantine, "
                    "%(seconds)s s"
                )
                % {**asdict(report), "seconds": f"{report.seconds:.1f}"}
            )
