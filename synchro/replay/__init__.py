"""
The replayer: what was captured on LOCAL is brought to REMOTE.

`run` reads like a table of contents. The folders are what a change meets on its way: the log, the identity of rows,
conflicts, the quarantine, the writing to REMOTE, and the nodes that take part.
"""

from __future__ import annotations

from django.utils.translation import gettext as _

from synchro.conf import conf
from synchro.exceptions import NotConfigured
from synchro.replay.run import synchronize_all
from synchro.report import ModelReport, Report

__all__ = ["ModelReport", "Report", "call_synchronize"]


def call_synchronize(remote: str | None = None, atomic: bool = False, retry: bool = False) -> Report:
    """
    Replay what is pending into every REMOTE, or into `remote` alone; ``str()`` of the report is a message for people.

    With `atomic` all of it is one transaction on REMOTE, so that nobody there sees half of one of LOCAL's. With
    `retry`, what is set aside is taken up again afterwards.

    Raises a subclass of `synchro.exceptions.SynchroError`.
    """
    if remote and remote not in conf.remotes:
        raise NotConfigured(
            _("SYNCHRO_REMOTE does not name the database “%(alias)s”. It names: %(aliases)s.")
            % {"alias": remote, "aliases": ", ".join(conf.remotes) or "-"}
        )
    return Report.of(synchronize_all((remote,) if remote else conf.remotes, atomic, retry))
