"""Random keys."""

from __future__ import annotations

from unittest import mock

import pytest
from django.db import IntegrityError, transaction

from django_spicy_id import SpicySmallAutoField
from synchro.core import DisableSynchroLog
from tests.spicy.models import Device, Event


@pytest.fixture
def counted_draws() -> mock.Mock:
    with mock.patch("secrets.randbelow", side_effect=range(100, 200)) as randbelow:
        yield randbelow


@pytest.mark.once
def test_a_new_instance_has_its_id_as_a_string() -> None:
    device = Device()
    assert isinstance(device.id, str)
    Device._meta.get_field("id").validate_string(device.id)
    assert device.pk == device.id
    assert Device().id != device.id


@pytest.mark.once
@pytest.mark.parametrize(("drawn", "key"), [(0, 1), (2**63 - 2, 2**63 - 1)])
def test_keys_are_drawn_from_one_to_the_maximum(drawn: int, key: int) -> None:
    with mock.patch("secrets.randbelow", return_value=drawn) as randbelow:
        device = Device()
    randbelow.assert_called_once_with(2**63 - 1)
    assert Device._meta.get_field("id").get_prep_value(device.id) == key


@pytest.mark.once
def test_every_key_of_a_small_field_is_drawn_but_zero() -> None:
    field = SpicySmallAutoField(primary_key=True, prefix="s", randomize=True)
    with mock.patch("secrets.randbelow", side_effect=range(2**15 - 1)) as randbelow:
        keys = {field.codec.decode(field.get_default()) for _ in range(2**15 - 1)}
    assert keys == set(range(1, 2**15))
    randbelow.assert_called_with(2**15 - 1)


@pytest.mark.once
def test_an_abstract_base_hands_its_random_key_down() -> None:
    assert Event().id.startswith("evt_")


@pytest.mark.django_db
def test_the_row_is_saved_under_the_id_of_the_instance() -> None:
    device = Device(serial="A1")
    before = device.id
    device.save()
    assert device.id == before
    assert Device.objects.get(pk=before).serial == "A1"


@pytest.mark.django_db
def test_a_new_row_costs_one_statement(django_assert_num_queries) -> None:
    device = Device(serial="A1")
    with DisableSynchroLog(), django_assert_num_queries(1):
        device.save()


@pytest.mark.django_db
def test_bulk_create_keeps_the_ids_of_the_instances() -> None:
    devices = [Device(serial=str(number)) for number in range(5)]
    ids = [device.id for device in devices]
    Device.objects.bulk_create(devices)
    assert [device.id for device in devices] == ids
    assert set(Device.objects.values_list("id", flat=True)) == set(ids)


@pytest.mark.django_db
def test_get_or_create_draws_for_the_new_row_only(counted_draws: mock.Mock) -> None:
    first, created = Device.objects.get_or_create(serial="A1")
    assert created
    again, created = Device.objects.get_or_create(serial="A1")
    assert not created
    assert again.id == first.id
    assert counted_draws.call_count == 1


@pytest.mark.django_db
def test_reading_rows_draws_nothing(counted_draws: mock.Mock) -> None:
    Device.objects.create(serial="A1")
    Device.objects.create(serial="A2")
    counted_draws.reset_mock()
    assert len(Device.objects.all()) == 2
    assert len(Device.objects.only("serial")) == 2
    counted_draws.assert_not_called()


@pytest.mark.django_db
def test_an_id_that_is_given_is_kept() -> None:
    device = Device.objects.create(id=123456789)
    assert device.id == "dev_8M0kX"
    assert Device.objects.get().id == "dev_8M0kX"


@pytest.mark.django_db
def test_a_key_drawn_twice_does_not_overwrite_the_first_row() -> None:
    with mock.patch("secrets.randbelow", return_value=41):
        Device.objects.create(serial="first")
        with pytest.raises(IntegrityError), transaction.atomic():
            Device.objects.create(serial="second")
    assert Device.objects.get().serial == "first"
