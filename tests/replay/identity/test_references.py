"""References: pairs of keys, which the table keeps in ranges where keys follow each other on both sides."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction

from synchro import key_ranges, references
from synchro.core import call_synchronize
from synchro.key_ranges import KeyRange
from synchro.models import Peer, Reference
from synchro.references import References, move, references_of, store, stored
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import LOCAL, REMOTE, use_up_key_on_remote
from tests.replay.pairs import pairs_of
from tests.shop.models import Customer, Tag

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (key_ranges, references):
        monkeypatch.setattr(module, "BLOCK", 8)
    monkeypatch.setattr(key_ranges, "SHORTEST", 3)


@pytest.fixture
def kept() -> Iterator[References]:
    with transaction.atomic():
        peer = Peer.objects.create(alias="x")
        yield references_of(LOCAL, peer.pk, ContentType.objects.get_for_model(Customer).pk)


def everything() -> dict[int, int]:
    return dict(pairs_of(Reference.objects.all()))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("seed", range(6))
def test_any_history_of_pairs_is_remembered_as_one_by_one(kept: References, seed: int) -> None:
    """Ranges that overlap, are cut, come again, and single pairs between them; as a dict would have them."""
    chance, expected = random.Random(seed), dict[int, int]()
    for batch in range(30):
        first, other, count = chance.randrange(-5, 60), chance.randrange(200), chance.choice((1, 1, 4, 20))
        step = chance.choice((1, 1, 1, 2))
        some = {first + n: other + n * step for n in range(count) if chance.random() < 0.95}
        keys = chance.sample(range(-5, 80), chance.choice((1, 5, 30)))
        match chance.choice(("put", "put", "remove", "copy", "add")):
            case "put":
                kept.put(some, batch)
                expected |= some
            case "remove":
                kept.remove(keys)
                expected = {key: value for key, value in expected.items() if key not in keys}
            case "copy":
                kept.put_ranges([KeyRange(own, there, 1, batch) for own, there in some.items()])
                expected |= some
            case "add":
                kept.put_ranges([KeyRange(first, other, count, batch)], is_older=True)
                expected = {first + n: other + n for n in range(count)} | expected
        assert everything() == expected
        assert kept.find(keys) == {key: expected[key] for key in keys if key in expected}
        by_other = kept.find_by_other(range(0, 260, 3))
        assert by_other.keys() == {there for there in expected.values() if there % 3 == 0}
        assert all(expected[own] == there for there, own in by_other.items())


def test_a_batch_of_new_rows_takes_a_row_for_each_block_of_keys_on_both_sides() -> None:
    use_up_key_on_remote(Customer)
    for number in range(40):
        Customer.objects.create(name=f"Watchman {number}")
    call_synchronize()

    for alias in (LOCAL, REMOTE):
        assert Reference.objects.using(alias).count() <= 2
    assert_same_rows()


def test_a_row_that_is_deleted_is_forgotten_out_of_the_midst_of_its_range() -> None:
    use_up_key_on_remote(Customer)
    customers = [Customer.objects.create(name=f"Watchman {number}") for number in range(40)]
    call_synchronize()
    gone = customers[20].pk
    customers[20].delete()
    call_synchronize()

    keys = {alias: dict(pairs_of(Reference.objects.using(alias).all())) for alias in (LOCAL, REMOTE)}
    assert gone not in keys[LOCAL]
    assert gone not in keys[REMOTE].values()
    assert len(keys[LOCAL]) == len(keys[REMOTE]) == 39

    Customer.objects.create(pk=gone, name="Carrot")  # the key comes back, for another row
    call_synchronize()
    assert_same_rows()


def test_copied_to_another_peer_and_turned_they_say_the_same(kept: References) -> None:
    other = Peer.objects.create(alias="y")
    pairs = {number: number + 1000 for number in range(1, 1300)} | {5000: 7, 5002: 8}
    kept.put(pairs, 3)
    turned = ((row.content_type_id, each.turned()) for row, each in stored(LOCAL, [kept.peer]))
    store(LOCAL, other.pk, turned)

    found = references_of(LOCAL, other.pk, kept.content_type)
    assert found.find(pairs.values()) == {there: own for own, there in pairs.items()}
    assert kept.find(pairs) == pairs
    assert {row.batch for row in Reference.objects.all()} == {3}


@pytest.mark.usefixtures("small_blocks")
def test_a_model_that_takes_another_ones_place_keeps_what_it_knows_itself(kept: References) -> None:
    """Where both know a key, the model that stays is right."""
    new = references_of(LOCAL, kept.peer, ContentType.objects.get_for_model(Tag).pk)
    kept.put({number: number + 100 for number in range(20)}, 1)
    new.put({number: number + 500 for number in range(3, 9)} | {15: 1}, 2)
    move(LOCAL, kept.content_type, new.content_type)

    expected = {n: n + 100 for n in range(20)} | {n: n + 500 for n in range(3, 9)} | {15: 1}
    assert new.find(range(30)) == expected
    assert not kept.find(range(30))


def test_joined_with_the_rows_they_say_the_same(kept: References) -> None:
    Customer.objects.bulk_create(Customer(pk=number, name="x") for number in range(1, 1200, 3))
    kept.put({number: 10_000 + number for number in range(90, 1100)}, 1)
    kept.put({number: 3 * number for number in (1, 4, 100, 1150)}, 2)
    kept.remove([103, 106, 512])
    joins, other = kept.joined("c.id", "known")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT c.id, {other} FROM {Customer._meta.db_table} AS c {joins}")
        found = cursor.fetchall()

    keys = list(Customer.objects.values_list("pk", flat=True))
    known = kept.find(keys)
    assert dict(found) == {key: known.get(key) for key in keys}
    assert len(found) == len(keys)
    assert None in dict(found).values()


def test_keys_that_no_column_holds_are_not_there(kept: References) -> None:
    kept.put({2**63 - 1: -(2**63)}, 1)
    assert kept.find([2**63 - 1, 2**64, -(2**70)]) == {2**63 - 1: -(2**63)}


def test_as_many_pairs_as_a_statement_cannot_name(kept: References) -> None:
    scattered = {number * 3: number for number in range(31_000)}
    kept.put(scattered, 1)
    assert kept.find(scattered) == scattered
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM synchro_reference")
        assert cursor.fetchone() == (31_000,)
    kept.remove(list(scattered)[1:])
    assert everything() == {0: 0}
