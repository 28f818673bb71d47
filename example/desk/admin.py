from __future__ import annotations

from django.contrib import admin

from desk.models import Branch, Note


@admin.register(Branch)
class BranchAdmin(admin.ModelAdmin):
    list_display = ("name", "place", "staff")
    list_select_related = ("place",)
    raw_id_fields = ("place", "languages")


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    list_display = ("text", "target", "written")
