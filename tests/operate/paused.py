"""A process of its own that runs ``synchronize``, writes a line at a step of a batch, and waits there for one."""

from __future__ import annotations

import sys


def main(step: str, batch: str) -> int:
    import django

    django.setup()
    from tests.replay import driver

    return driver.happening("pause", step, batch)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
