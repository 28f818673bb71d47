from __future__ import annotations

from django.contrib import admin
from guardian.admin import GuardedModelAdmin
from import_export.admin import ImportExportModelAdmin
from mptt.admin import DraggableMPTTAdmin
from polymorphic.admin import PolymorphicChildModelAdmin, PolymorphicParentModelAdmin
from reversion.admin import VersionAdmin
from simple_history.admin import SimpleHistoryAdmin

from tests.neighbours.models import Animal, Author, Book, Cat, Dog, Parcel, Shelf


@admin.register(Author)
class AuthorAdmin(SimpleHistoryAdmin):
    search_fields = ("id", "name")


@admin.register(Book)
class BookAdmin(ImportExportModelAdmin, GuardedModelAdmin):
    raw_id_fields = ("author",)


@admin.register(Parcel)
class ParcelAdmin(VersionAdmin):
    pass


@admin.register(Shelf)
class ShelfAdmin(DraggableMPTTAdmin):
    pass


@admin.register(Dog)
class DogAdmin(PolymorphicChildModelAdmin):
    base_model = Animal


@admin.register(Animal)
class AnimalAdmin(PolymorphicParentModelAdmin):
    child_models = (Dog, Cat)
