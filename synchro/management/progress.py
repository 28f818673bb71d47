"""Progress on a terminal, for what takes longer than a second."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import OutputWrapper
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _
from tqdm import tqdm

from synchro import events
from synchro.conf import LOCAL

#: A command that ends sooner than after so many seconds shows nothing.
DELAY = 1.0


class Progress:
    """
    A bar on the terminal, one at a time. It is silent where errors do not go to a terminal.

    It writes to the stream of errors, so that the result can be sent to a file or a program meanwhile.
    """

    def __init__(self, stream: OutputWrapper, *, wanted: bool) -> None:
        self._stream = stream
        self.is_shown = wanted and bool(stream.isatty())
        self._begun = time.monotonic()
        self._bar: Any = None
        self._title = ""
        self._counts: dict[type[Model], int] = {}

    def show_rows(self, model: type[Model], done: int, more: str = "") -> None:
        """Show that so many rows of a model are done; they are counted once, where anybody sees it."""
        if self.is_shown and model not in self._counts:
            self._counts[model] = QuerySet(model, using=LOCAL).count()
        self.show(model._meta.label, done, self._counts.get(model), _("rows"), more)

    def show(self, title: str, done: int, total: int | None, unit: str, more: str = "") -> None:
        """Show that `done` are done of what has this title, perhaps of `total`; `more` says what else there is."""
        if not self.is_shown or time.monotonic() - self._begun < DELAY:
            return
        if title != self._title or self._bar is None:
            self.clear()
            self._title = title
            self._open(desc=title, total=total, initial=done, unit=f" {unit}")
        if total is not None:
            self._bar.total = max(total, done)
        self._bar.set_postfix_str(more, refresh=False)
        self._bar.update(done - self._bar.n)

    def say(self, line: str) -> None:
        """Show a line about what goes on, where there is nothing to count."""
        if not self.is_shown or line == self._title:
            return
        self.clear()
        self._title = line
        self._open(desc=line, bar_format="{desc}")

    def _open(self, **options: Any) -> None:
        # Some terminals say that their size is nothing: then it is 80 by 24. Django's own wrapper of the stream would
        # end each update with a new line.
        size = shutil.get_terminal_size()
        self._bar = tqdm(file=self._stream._out, leave=False, ncols=size.columns, nrows=size.lines, **options)

    def clear(self) -> None:
        """Take the bar away, so that a line can be written."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@contextmanager
def progress_of_batches(progress: Progress, totals: dict[str, int]) -> Iterator[None]:
    """Inside, show how many entries have arrived at each REMOTE, of the `totals` that are pending."""
    done = dict.fromkeys(totals, 0)

    def arrived(*, remote: str, entries: int, batch: int, **_kwargs: Any) -> None:
        done[remote] = done.get(remote, 0) + entries
        text = _("batch %(number)d") % {"number": batch}
        progress.show(remote, done[remote], totals.get(remote), _("entries"), text)

    with receiving_batches(arrived):
        yield
    progress.clear()


@contextmanager
def receiving_batches(receiver: Any) -> Iterator[None]:
    """Inside, `receiver` is called for each batch that has arrived."""
    events.batch_applied.connect(receiver, weak=False)
    try:
        yield
    finally:
        events.batch_applied.disconnect(receiver)
