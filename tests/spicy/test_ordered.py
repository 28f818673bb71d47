"""Keys in the order of time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_spicy_id import SpicyAutoField, SpicyBigAutoField, SpicyUUIDField
from django_spicy_id.ordered import EPOCH_MS, LOW_BITS, Clock, next_key, uuid7

pytestmark = pytest.mark.once

MANY = bool(os.environ.get("SYNCHRO_TEST_EVERYTHING"))
PROCESSES = 8
KEYS = 20_000 if MANY else 3_000
ROOT = Path(__file__).parents[2]
#: Numbers of one process among eight, if it is told which.
PROGRAM = f"""
import sys
from django.conf import settings
node = int(sys.argv[1])
settings.configure(SPICY_ID_NODE=None if node < 0 else (node, {PROCESSES}))
from django_spicy_id.ordered import next_key
sys.stdin.readline()
for _ in range({KEYS}):
    print(next_key())
"""


def drawn_by_processes(nodes: list[int]) -> list[list[int]]:
    """Keys that processes have drawn at the same time."""
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(node)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for node in nodes
    ]
    for program in programs:
        assert program.stdin
        program.stdin.write("go\n")
        program.stdin.flush()
    return [[int(line) for line in program.communicate()[0].split()] for program in programs]


def test_keys_of_numbered_processes_never_collide_and_rise_in_each() -> None:
    drawn = drawn_by_processes(list(range(PROCESSES)))
    assert [len(keys) for keys in drawn] == [KEYS] * PROCESSES
    assert all(keys == sorted(keys) for keys in drawn)
    assert len({key for keys in drawn for key in keys}) == PROCESSES * KEYS


def test_keys_of_processes_without_a_number_collide_as_seldom_as_is_documented() -> None:
    drawn = drawn_by_processes([-1] * PROCESSES)
    assert all(keys == sorted(set(keys)) for keys in drawn)
    counts: dict[int, list[int]] = {}
    for process, keys in enumerate(drawn):
        for key in keys:
            counts.setdefault(key >> LOW_BITS, [0] * PROCESSES)[process] += 1
    # Two runs of n and m numbers meet with odds of (n + m) / 2**22, and then share at most the shorter one.
    expected = sum(
        (n + m) / 2**LOW_BITS * min(n, m)
        for run in counts.values()
        for i, n in enumerate(run)
        for m in run[:i]
        if n and m
    )
    shared = PROCESSES * KEYS - len({key for keys in drawn for key in keys})
    longest = max(max(run) for run in counts.values())
    assert shared <= 10 * (expected + longest)


def test_keys_rise_with_time_across_processes() -> None:
    with mock.patch("time.time_ns", return_value=(EPOCH_MS + 1_000) * 1_000_000):
        earlier = Clock(LOW_BITS).next(1_000)
    assert Clock(LOW_BITS).next(1_001) > earlier
    assert earlier >> LOW_BITS == 1_000


def test_keys_rise_when_the_clock_is_set_back() -> None:
    clock = Clock(LOW_BITS)
    keys = [clock.next(now) for now in (5_000, 5_001, 3_000, 3_001, 5_001, 5_002)]
    assert keys == sorted(set(keys))


def test_more_keys_than_a_millisecond_has_borrow_from_the_next() -> None:
    clock = Clock(LOW_BITS, node=3, node_bits=10)
    keys = [clock.next(7) for _ in range(10_000)]
    assert keys == sorted(set(keys))
    assert {key >> LOW_BITS for key in keys} > {7, 8}
    assert {key >> LOW_BITS - 10 & 1023 for key in keys} == {3}


def _draw(_number: int) -> list[int]:
    return [next_key() for _ in range(20)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_go_on_with_the_numbers_of_its_parent() -> None:
    frozen = mock.patch("time.time_ns", return_value=time.time_ns())
    with frozen:
        mine = _draw(0)
        with get_context("fork").Pool(4) as pool:
            drawn = [*mine, *(key for keys in pool.map(_draw, range(4), chunksize=1) for key in keys)]
    assert len(set(drawn)) == len(drawn)


def test_uuids_are_of_version_7_and_rise() -> None:
    made = [uuid7() for _ in range(1_000)]
    assert made == sorted(set(made))
    assert {(one.version, one.variant) for one in made} == {(7, uuid.RFC_4122)}
    assert abs((made[0].int >> 80) - time.time_ns() // 1_000_000) < 60_000


def test_the_fields_offer_them() -> None:
    event = SpicyBigAutoField("evt", primary_key=True, randomize="time", pad=True)
    ids = [event.get_default() for _ in range(100)]
    assert ids == sorted(set(ids))
    assert event.clone().deconstruct() == event.deconstruct()
    assert event.deconstruct()[3]["randomize"] == "time"
    assert SpicyUUIDField("ses", randomize="time").get_default().version == 7
    with pytest.raises(ImproperlyConfigured, match="64 bits"):
        SpicyAutoField("evt", primary_key=True, randomize="time")


@pytest.mark.parametrize("node", [5, (1,), (-1, 4), (4, 4), (0, 2000), ("a", 4)])
def test_a_wrong_number_of_a_process_is_improperly_configured(node: Any) -> None:
    with override_settings(SPICY_ID_NODE=node), pytest.raises(ImproperlyConfigured, match="SPICY_ID_NODE"):
        next_key()


@pytest.mark.parametrize("year", [2019, 2090])
def test_a_clock_that_is_out_of_range_is_said(year: int) -> None:
    wrong = int(time.mktime((year, 6, 1, 0, 0, 0, 0, 0, 0))) * 1_000_000_000
    with mock.patch("time.time_ns", return_value=wrong), pytest.raises(ImproperlyConfigured, match="2020"):
        next_key()
