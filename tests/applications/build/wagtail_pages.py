"""A Wagtail site."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from io import BytesIO

from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.core.files.images import ImageFile
from django.test import Client
from PIL import Image as Picture
from wagtail.contrib.redirects.models import Redirect
from wagtail.documents.models import Document
from wagtail.images.models import Image
from wagtail.models import (
    Collection,
    CollectionViewRestriction,
    Comment,
    Page,
    PageViewRestriction,
    Site,
    Workflow,
)

from tests.applications.content.models import (
    ArticlePage,
    Author,
    ContactField,
    ContactPage,
    Footer,
    GalleryPicture,
    HomePage,
)  # fmt: skip


def picture(colour: str) -> ImageFile:
    """A small picture, as a file."""
    data = BytesIO()
    Picture.new("RGB", (8, 6), colour).save(data, "PNG")
    return ImageFile(BytesIO(data.getvalue()), name=f"{colour}.png")


def add() -> None:
    """A home page, articles with pictures, tags and authors, a form, a redirect, a workflow."""
    root = Page.objects.get(depth=1)
    home = root.add_child(instance=HomePage(title="Garden", slug="garden", intro="<p>Hello</p>"))
    site = Site.objects.get()
    site.root_page = home
    site.save()
    Footer.objects.create(site=site, line="Made by hand")
    photos = Collection.get_first_root_node().add_child(name="Photos")
    photos.add_child(name="Summer")
    images = [
        Image.objects.create(title=c, file=picture(c), collection=photos) for c in ("red", "green", "blue")
    ]
    images[0].tags.add("warm", "Łąka")
    paper = Document.objects.create(title="Paper", file=ContentFile(b"words", name="paper.txt"))
    authors = [
        Author.objects.create(name=n, born=date(1900, 1, n_)) for n_, n in enumerate(("Ada", "Zoë"), 1)
    ]
    for number in range(4):
        article = home.add_child(instance=_article(number, images, paper, authors, home))
        article.save_revision(user=User.objects.get(username="ellen")).publish()
    contact = ContactPage(title="Contact", slug="contact", to_address="a@example.org", thanks="<p>Thanks</p>")
    contact.form_fields.add(ContactField(label="Name", field_type="singleline", clean_name="name"))
    home.add_child(instance=contact)
    fill_in_form("Bert")
    Redirect.objects.create(old_path="/old", site=site, redirect_page=contact)
    _restrict(home)


def _article(
    number: int, images: list[Image], paper: Document, authors: list[Author], home: Page
) -> ArticlePage:
    article = ArticlePage(
        title=f"Article {number}",
        slug=f"article-{number}",
        published_on=datetime(2026, 3, number + 1, 12, 0, 0, 123456, tzinfo=UTC),
        picture=images[number % 3],
        body=[
            ("heading", f"Part {number}"),
            ("text", f'<p>See <a linktype="page" id="{home.pk}">home</a></p>'),
            ("image", images[number % 3]),
            ("document", paper),
            ("page", home),
        ],
    )
    article.authors.set(authors[: number % 3])
    article.tags.add("green", f"number {number}")
    for image in images:
        article.gallery.add(GalleryPicture(picture=image, caption=f"{image.title} of {number}"))
    return article


def _restrict(home: Page) -> None:
    secret = home.add_child(instance=HomePage(title="Secret", slug="secret"))
    restriction = PageViewRestriction.objects.create(page=secret, restriction_type="groups")
    restriction.groups.add(Group.objects.get(name="Editors"))
    summer = Collection.objects.get(name="Summer")
    CollectionViewRestriction.objects.create(collection=summer, restriction_type="password", password="x")


def fill_in_form(name: str) -> None:
    """As a visitor does."""
    answer = Client().post("/contact/", {"name": name})
    assert b"Thanks" in answer.content, answer.content.decode()


def edit() -> None:
    """Drafts, publishing, unpublishing, comments, a workflow, by the API and by the editor's own pages."""
    ellen = User.objects.get(username="ellen")
    article = ArticlePage.objects.get(slug="article-1")
    article.title = "Article one"
    article.tags.remove("number 1")
    article.gallery.remove(article.gallery.all()[0])
    article.save_revision(user=ellen).publish()
    draft = ArticlePage.objects.get(slug="article-2")
    draft.body[0] = ("heading", "Only a draft")
    draft.save_revision(user=ellen)
    Comment.objects.create(page=draft, user=ellen, text="Why?", contentpath="title")
    ArticlePage.objects.get(slug="article-3").unpublish(user=User.objects.get(username="admin"))
    Workflow.objects.get().start(draft, ellen)
    Image.objects.get(title="green").delete()
    Author.objects.get(name="Ada").delete()
    red = Image.objects.get(title="red")
    red.focal_point_x, red.focal_point_y, red.focal_point_width, red.focal_point_height = 1, 2, 3, 4
    red.save()
    red.get_rendition("width-4")
    _by_the_editor(article)
    fill_in_form("Cora")


def _by_the_editor(article: ArticlePage) -> None:
    client = Client()
    client.force_login(
        User.objects.get(username="admin"), backend="django.contrib.auth.backends.ModelBackend"
    )
    assert client.get(f"/cms/pages/{article.pk}/edit/").status_code == 200
    answer = client.post("/cms/snippets/content/author/add/", {"name": "Eve", "born": "2001-02-03"})
    assert answer.status_code == 302, answer.content.decode()
    answer = client.post(
        "/cms/collections/add/", {"name": "Winter", "parent": Collection.objects.get(depth=1).pk}
    )
    assert answer.status_code == 302, answer.content.decode()


def move() -> None:
    """Pages and collections go elsewhere, with what is below them; others are copied and removed."""
    user = User.objects.get(username="admin")
    shelf = Page.objects.get(slug="garden").specific.add_child(instance=HomePage(title="Shelf", slug="shelf"))
    for slug in ("article-0", "article-1"):
        Page.objects.get(slug=slug).move(Page.objects.get(pk=shelf.pk), "last-child", user=user)
    Page.objects.get(slug="shelf").copy(
        recursive=True, update_attrs={"slug": "copied", "title": "Copy"}, user=user
    )
    Page.objects.get(slug="article-3").delete(user=user)
    home = Page.objects.get(slug="garden").specific
    home.slug = "meadow"
    home.save_revision(user=user).publish()
    Collection.objects.get(name="Summer").move(Collection.objects.get(name="Winter"), "sorted-child")


def check() -> None:
    """The pages render, the editor can work."""
    client = Client()
    assert client.get("/article-2/").status_code == 200
    assert "Made by hand" in Footer.objects.get().line
    assert client.get("/old").status_code == 301
    assert client.get("/secret/").status_code == 302
    client.force_login(
        User.objects.get(username="ellen"), backend="django.contrib.auth.backends.ModelBackend"
    )
    draft = ArticlePage.objects.get(slug="article-2")
    assert "Only a draft" in json.dumps(draft.latest_revision.content)
    assert draft.current_workflow_state is not None
    assert client.get("/cms/").status_code == 200
    assert client.get(f"/cms/pages/{draft.pk}/edit/").status_code == 200
    assert ContactPage.objects.get().get_submission_class().objects.count() == 2


def check_trees() -> None:
    """Wherever pages were moved to, they are found there."""
    client = Client()
    for path in ("/shelf/article-0/", "/shelf/article-1/", "/copied/article-1/"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert "Part" in answer.content.decode()
    assert "Article one" in client.get("/shelf/article-1/").content.decode()
    assert client.get("/article-0/").status_code in {301, 404}
    assert not any(Page.find_problems())
    assert not any(Collection.find_problems())
