from __future__ import annotations

from django.contrib import admin

from world.models import Country, Currency, Language, Subdivision


@admin.register(Country, Currency, Language)
class CodeAdmin(admin.ModelAdmin):
    list_display = ("code", "name")
    search_fields = ("code", "name")


@admin.register(Subdivision)
class SubdivisionAdmin(admin.ModelAdmin):
    list_display = ("code", "name", "kind", "country")
    list_select_related = ("country",)
    search_fields = ("code", "name")
    raw_id_fields = ("country", "parent")
