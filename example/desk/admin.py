from __future__ import annotations

from django.contrib import admin

from desk.models import Branch, Note, Order


@admin.register(Branch)
class BranchAdmin(admin.ModelAdmin):
    list_display = ("name", "place", "staff")
    list_select_related = ("place",)
    raw_id_fields = ("place", "languages")


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ("id", "what", "branch")
    list_select_related = ("branch",)
    raw_id_fields = ("branch",)


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    list_display = ("text", "target", "written")
