"""The data that pycountry ships, saved row by row as people would: each with its entry in the log."""

from __future__ import annotations

import pycountry

from world.models import Country, Currency, Language, Subdivision


def load_world() -> None:
    currencies = {}
    for found in pycountry.currencies:
        currencies[found.numeric] = Currency.objects.create(
            code=found.alpha_3, numeric=found.numeric, name=found.name
        )
    for found in pycountry.languages:
        Language.objects.create(code=found.alpha_3, name=found.name, scope=found.scope, kind=found.type)
    countries = {}
    for found in pycountry.countries:
        country = Country.objects.create(
            code=found.alpha_2,
            alpha_3=found.alpha_3,
            numeric=found.numeric,
            name=found.name,
            flag=getattr(found, "flag", ""),
        )
        countries[country.code] = country
        if country.numeric in currencies:
            country.currencies.add(currencies[country.numeric])
    _load_subdivisions(countries)


def _load_subdivisions(countries: dict[str, Country]) -> None:
    """Parents come after their children here and there, so they are tied together afterwards."""
    rows, parents = {}, {}
    for found in pycountry.subdivisions:
        rows[found.code] = Subdivision.objects.create(
            code=found.code, name=found.name, kind=found.type, country=countries[found.country_code]
        )
        if found.parent_code:
            parents[found.code] = found.parent_code
    for code, parent in parents.items():
        if parent in rows:
            rows[code].parent = rows[parent]
            rows[code].save()
