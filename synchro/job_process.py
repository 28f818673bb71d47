"""
A job in a process of its own: ``python -m synchro.job_process NUMBER``. The admin starts it.

It is outside of the package `synchro.jobs`, which can be imported only once the apps are loaded.
"""

from __future__ import annotations

import sys

import django

from synchro import stopping

if __name__ == "__main__":
    django.setup()
    from synchro.jobs.work import work  # which needs the apps to be loaded

    with stopping.by_signals():
        work(int(sys.argv[1]))
