"""A site at work, in a process of its own: four writers write until a line comes; then it says how often they did."""

from __future__ import annotations

import random
import sys
import threading


def main() -> int:
    import django

    django.setup()
    over = threading.Event()
    counts: list[int] = []
    writers = [threading.Thread(target=write, args=(number, over, counts)) for number in range(4)]
    for writer in writers:
        writer.start()
    print("begun", flush=True)
    sys.stdin.readline()
    over.set()
    for writer in writers:
        writer.join()
    print(sum(counts), flush=True)
    return 0 if len(counts) == len(writers) else 1


def write(seed: int, over: threading.Event, counts: list[int]) -> None:
    from django.db import OperationalError, connection, transaction

    from tests.shop.models import Album, Artist, Country, Customer, Order

    chance, count = random.Random(seed), 0
    while not over.is_set():
        try:
            with transaction.atomic():
                some = list(Customer.objects.order_by("?").values_list("pk", flat=True)[:3])
                Customer.objects.filter(pk__in=some[:1]).update(cash=count)
                new = Customer.objects.bulk_create([Customer(name=f"new {seed} {count}")])
                Order.objects.create(customer_id=new[0].pk or some[0], note=f"of {seed}")
                Country.objects.filter(code=f"c{chance.randrange(40)}").update(name=f"land {count}")
                Order.objects.filter(pk=chance.choice(Order.objects.values_list("pk", flat=True))).delete()
                album = Album.objects.order_by("?").first()
                if album is not None:
                    album.artists.set(Artist.objects.order_by("?")[:2])
        except OperationalError:
            connection.close()  # a deadlock, or another writer of SQLite's: the site shows an error, and goes on
        count += 1
        over.wait(0.3)
    connection.close()
    counts.append(count)


if __name__ == "__main__":
    sys.exit(main())
