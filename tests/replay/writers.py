"""People who write while something else goes on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from django.db import connections, transaction

from tests.shop.models import Customer, Order


def in_thread(pool: ThreadPoolExecutor, function: Callable[..., None], *arguments: object) -> Future[None]:
    def call() -> None:
        try:
            function(*arguments)
        finally:
            connections.close_all()

    return pool.submit(call)


def write_a_lot(seed: int, times: int) -> None:
    """Transactions of several changes, with pauses before the commit; a quarter is rolled back."""
    chance = random.Random(seed)
    own: list[int] = []
    for number in range(times):
        with transaction.atomic():
            made = _change_something(chance, own, f"Writer {seed}, {number}")
            time.sleep(chance.random() * 0.02)
            changed_its_mind = chance.random() < 0.25
            transaction.set_rollback(changed_its_mind)
        if not changed_its_mind:
            own.extend(made)
        time.sleep(chance.random() * 0.02)


def _change_something(chance: random.Random, own: list[int], name: str) -> list[int]:
    made = [Customer.objects.create(name=name).pk for _ in range(chance.randint(1, 2))]
    found = Customer.objects.filter(pk=chance.choice(own)).first() if own else None
    if found is None:
        return made
    if chance.random() < 0.3:
        found.delete()
    else:
        found.cash += 1
        found.save()
        Order.objects.create(customer=found, note=name)
    return made
