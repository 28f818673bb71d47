"""What a project makes of the packages: each of their base classes, managers and fields is used at least once."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from modelcluster.contrib.taggit import ClusterTaggableManager
from modelcluster.fields import ParentalKey, ParentalManyToManyField
from mptt.models import MPTTModel, TreeForeignKey
from parler.models import TranslatableModel, TranslatedFields
from polymorphic.models import PolymorphicModel
from simple_history.models import HistoricalRecords
from taggit.managers import TaggableManager
from taggit.models import TaggedItemBase
from treebeard.al_tree import AL_Node
from treebeard.mp_tree import MP_Node
from treebeard.ns_tree import NS_Node
from wagtail import blocks
from wagtail.contrib.forms.models import AbstractEmailForm, AbstractFormField
from wagtail.contrib.settings.models import BaseSiteSetting, register_setting
from wagtail.documents.blocks import DocumentChooserBlock
from wagtail.fields import RichTextField, StreamField
from wagtail.images.blocks import ImageChooserBlock
from wagtail.models import Orderable, Page
from wagtail.search import index
from wagtail.snippets.models import register_snippet

# -- Wagtail ---------------------------------------------------------------------------------------------------


class HomePage(Page):
    intro = RichTextField(blank=True)


class ArticleTag(TaggedItemBase):
    content_object = ParentalKey("ArticlePage", related_name="tagged_items", on_delete=models.CASCADE)


@register_snippet
class Author(index.Indexed, models.Model):
    name = models.CharField(max_length=80)
    born = models.DateField(null=True, blank=True)

    search_fields = [index.SearchField("name")]


class ArticlePage(Page):
    published_on = models.DateTimeField(null=True)
    body = StreamField(
        [
            ("heading", blocks.CharBlock()),
            ("text", blocks.RichTextBlock()),
            ("image", ImageChooserBlock()),
            ("document", DocumentChooserBlock()),
            ("page", blocks.PageChooserBlock()),
        ],
        blank=True,
    )
    picture = models.ForeignKey(
        "wagtailimages.Image", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    authors = ParentalManyToManyField(Author, blank=True)
    tags = ClusterTaggableManager(through=ArticleTag, blank=True)

    search_fields = [*Page.search_fields, index.SearchField("body")]


class GalleryPicture(Orderable):
    page = ParentalKey(ArticlePage, related_name="gallery", on_delete=models.CASCADE)
    picture = models.ForeignKey("wagtailimages.Image", on_delete=models.CASCADE, related_name="+")
    caption = models.CharField(max_length=250, blank=True)


class ContactField(AbstractFormField):
    page = ParentalKey("ContactPage", related_name="form_fields", on_delete=models.CASCADE)


class ContactPage(AbstractEmailForm):
    thanks = RichTextField(blank=True)


@register_setting
class Footer(BaseSiteSetting):
    line = models.CharField(max_length=200, blank=True)


# -- tags, trees, histories, and others ------------------------------------------------------------------------


class Plant(models.Model):
    name = models.CharField(max_length=80)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    tags = TaggableManager()
    history = HistoricalRecords()

    class Meta:
        permissions = [("water_plant", "Can water it")]


class Bed(models.Model):
    """A history of its many-to-many fields too."""

    name = models.CharField(max_length=80)
    plants = models.ManyToManyField(Plant, related_name="beds")
    history = HistoricalRecords(m2m_fields=[plants])


class Place(MPTTModel):
    name = models.CharField(max_length=80)
    parent = TreeForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")

    class MPTTMeta:
        order_insertion_by = ["name"]


class Shelf(MP_Node):
    name = models.CharField(max_length=80)
    node_order_by = ["name"]


class Branch(NS_Node):
    name = models.CharField(max_length=80)


class Desk(AL_Node):
    name = models.CharField(max_length=80)
    parent = models.ForeignKey(
        "self", null=True, db_index=True, related_name="children", on_delete=models.CASCADE
    )
    sib_order = models.PositiveIntegerField()


class Vehicle(PolymorphicModel):
    name = models.CharField(max_length=80)
    owner = models.ForeignKey(User, null=True, on_delete=models.SET_NULL)


class Car(Vehicle):
    doors = models.IntegerField(default=4)


class Boat(Vehicle):
    length = models.FloatField(default=0)
    harbour = models.ForeignKey(Place, null=True, on_delete=models.SET_NULL)


class Dish(TranslatableModel):
    code = models.SlugField(unique=True)
    translations = TranslatedFields(title=models.CharField(max_length=80), text=models.TextField(blank=True))


class Note(models.Model):
    """Points at anything."""

    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    about = GenericForeignKey()
    text = models.TextField()
