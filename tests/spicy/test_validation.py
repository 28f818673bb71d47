"""Validation: models, forms, formsets, and django-filter's forms."""

from __future__ import annotations

from typing import Any

import pytest
from django import forms
from django.core.exceptions import ValidationError
from django.forms import inlineformset_factory, modelform_factory, modelformset_factory

from django_spicy_id.forms import SpicyIdField
from tests.spicy.models import Device, Invoice, Tag, User

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("chosen_keys")]

BAD_VALUES = ["acct_5", "garbage", "", "5", "usr_05", "usr_5 ", "usr_5\n", "usr_\u0665", "usr_zzzzzzzzzzz"]
BAD_OBJECTS = [-1, 2**63, 10**5000, True, False, 5.0, b"usr_5", object(), [], {}]


@pytest.mark.parametrize("value", [*BAD_VALUES, *BAD_OBJECTS], ids=range(len(BAD_VALUES + BAD_OBJECTS)))
def test_to_python_and_clean_refuse_what_is_no_id(value: Any) -> None:
    for field in (User._meta.get_field("id"), Invoice._meta.get_field("customer")):
        with pytest.raises(ValidationError) as caught:
            field.to_python(value)
        assert caught.value.code == "invalid"
        assert "is not a valid id" in caught.value.messages[0]
    with pytest.raises(ValidationError):
        User._meta.get_field("id").clean(value, None)


@pytest.mark.parametrize(
    ("value", "expected"), [(123456789, "usr_8M0kX"), ("usr_8M0kX", "usr_8M0kX"), (0, "usr_0"), (None, None)]
)
def test_to_python_and_clean_give_the_id(value: Any, expected: str | None) -> None:
    field = User._meta.get_field("id")
    assert field.to_python(value) == expected
    if value is not None:
        assert field.clean(value, None) == expected


def test_a_subclass_of_str_comes_out_as_a_plain_string() -> None:
    from django.utils.safestring import mark_safe

    assert type(User._meta.get_field("id").to_python(mark_safe("usr_5"))) is str


def test_full_clean_takes_ids_and_integers_and_refuses_the_rest(ada: User) -> None:
    ada.email = "ada@example.com"
    ada.full_clean()
    user = User(id=5, name="Grace")
    user.full_clean()
    assert user.id == "usr_5"
    with pytest.raises(ValidationError, match="is not a valid id"):
        User(id="garbage", name="Grace").full_clean()
    with pytest.raises(ValidationError, match="already exists"):
        User(id="usr_8M0kX", name="Grace").full_clean()
    with pytest.raises(ValidationError):
        Invoice(customer_id="garbage").full_clean()


def test_own_validators_of_the_field_are_run() -> None:
    from django_spicy_id import SpicyBigAutoField

    def not_the_first(value: str) -> None:
        if value == "usr_1":
            raise ValidationError("taken")

    field = SpicyBigAutoField(primary_key=True, prefix="usr", validators=[not_the_first])
    assert field.clean(2, None) == "usr_2"
    with pytest.raises(ValidationError, match="taken"):
        field.clean(1, None)


def test_a_model_form_does_not_ask_for_the_key(ada: User) -> None:
    form_class = modelform_factory(User, fields="__all__")
    assert "id" not in form_class().fields
    form = form_class({"name": "Grace"}, instance=ada)
    assert form.is_valid()
    assert form.save().id == "usr_8M0kX"
    made = form_class({"name": "Alan"})
    assert made.is_valid()
    assert made.save().id.startswith("usr_")


def test_a_model_form_saves_a_random_key() -> None:
    form = modelform_factory(Device, fields=["serial"])({"serial": "A1"})
    assert form.is_valid()
    device = form.save()
    assert Device.objects.get(pk=device.id).serial == "A1"


def test_a_choice_of_a_row_is_its_id(ada: User) -> None:
    form_class = modelform_factory(Invoice, fields=["customer", "total"])
    assert '<option value="usr_8M0kX">Ada</option>' in form_class().as_p()
    form = form_class({"customer": "usr_8M0kX", "total": "1"})
    assert form.is_valid()
    assert form.save().customer == ada
    assert '<option value="usr_8M0kX" selected>Ada</option>' in form_class(instance=form.instance).as_p()


@pytest.mark.parametrize("text", [text for text in BAD_VALUES if text.strip() == text != ""])
def test_a_choice_of_what_is_no_id_is_an_error_of_the_form(ada: User, text: str) -> None:
    form = modelform_factory(Invoice, fields=["customer", "total"])({"customer": text, "total": "1"})
    assert form.errors["customer"].as_data()[0].code == "invalid_choice"
    tag = modelform_factory(Tag, fields=["label", "invoices"])({"label": "red", "invoices": [text]})
    assert tag.errors["invoices"].as_data()[0].code == "invalid_pk_value"
    single = forms.ModelChoiceField(User.objects.all(), to_field_name="id")
    with pytest.raises(ValidationError):
        single.clean(text)


def test_several_choices(invoice: Invoice) -> None:
    form = modelform_factory(Tag, fields=["label", "invoices"])({"label": "red", "invoices": [invoice.id]})
    assert form.is_valid()
    assert list(form.save().invoices.all()) == [invoice]


def test_a_formset_finds_its_rows_by_id(invoice: Invoice) -> None:
    formset_class = modelformset_factory(Invoice, fields=["total"], extra=0)
    assert f'value="{invoice.id}"' in formset_class().as_p()
    data = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": invoice.id, "form-0-total": 9}
    formset = formset_class(data)
    assert formset.is_valid()
    formset.save()
    invoice.refresh_from_db()
    assert invoice.total == 9


@pytest.mark.parametrize("text", BAD_VALUES)
def test_a_formset_with_what_is_no_id_is_invalid(invoice: Invoice, text: str) -> None:
    data = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": text, "form-0-total": 9}
    formset = modelformset_factory(Invoice, fields=["total"], extra=0)(data)
    assert not formset.is_valid()


def test_an_inline_formset(ada: User, invoice: Invoice) -> None:
    formset_class = inlineformset_factory(User, Invoice, fk_name="customer", fields=["total"], extra=0)
    data = {
        "invoices-TOTAL_FORMS": 2,
        "invoices-INITIAL_FORMS": 1,
        "invoices-0-id": invoice.id,
        "invoices-0-total": 9,
        "invoices-1-total": 10,
    }
    formset = formset_class(data, instance=ada)
    assert formset.is_valid()
    formset.save()
    assert sorted(ada.invoices.values_list("total", flat=True)) == [9, 10]


class LookupForm(forms.Form):
    user = SpicyIdField(model_field=User._meta.get_field("id"))
    payer = SpicyIdField(model_field=User._meta.get_field("id"), required=False)


def test_a_form_field_for_ids() -> None:
    form = LookupForm({"user": "usr_8M0kX"})
    assert form.is_valid()
    assert form.cleaned_data == {"user": "usr_8M0kX", "payer": None}
    assert 'type="text"' in str(form["user"])


@pytest.mark.parametrize("text", BAD_VALUES)
def test_a_form_field_refuses_what_is_no_id(text: str) -> None:
    assert "user" in LookupForm({"user": text}).errors


def test_auth_users_with_spicy_keys_are_known_to_the_session() -> None:
    # What `django.contrib.auth` does with the key of a user.
    field = User._meta.pk
    assert field.to_python(field.value_to_string(User(id=5))) == "usr_5"
