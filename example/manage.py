#!/usr/bin/env python3
"""The example by hand: the office, or with EXAMPLE_SIDE=main the main server."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    # The folder above this one, so that it also runs from the sources.
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
