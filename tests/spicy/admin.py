from __future__ import annotations

from django.contrib import admin

from tests.spicy.models import Device, Invoice, Menu, Note, Place, Restaurant, Tag, User


class InvoiceInline(admin.TabularInline):
    model = Invoice
    fk_name = "customer"
    extra = 1
    raw_id_fields = ("payer",)


@admin.register(User)
class UserAdmin(admin.ModelAdmin):
    list_display = ("id", "name")
    ordering = ("id",)
    search_fields = ("name", "id", "invoices__id")
    inlines = (InvoiceInline,)


@admin.register(Invoice)
class InvoiceAdmin(admin.ModelAdmin):
    list_display = ("id", "customer", "total")
    list_editable = ("total",)
    list_filter = ("customer", "total")
    search_fields = ("=id", "=customer__id", "^payer__id")
    autocomplete_fields = ("customer",)
    raw_id_fields = ("payer",)


@admin.register(Tag)
class TagAdmin(admin.ModelAdmin):
    list_display = ("label", "id")
    filter_horizontal = ("invoices",)


@admin.register(Device)
class DeviceAdmin(admin.ModelAdmin):
    list_display = ("id", "serial")
    save_as = True


class MenuInline(admin.TabularInline):
    model = Menu
    extra = 1


@admin.register(Restaurant)
class RestaurantAdmin(admin.ModelAdmin):
    inlines = (MenuInline,)


admin.site.register([Place, Note])
