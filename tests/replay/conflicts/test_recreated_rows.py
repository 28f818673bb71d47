"""A row with a natural key is deleted and made again on one side, while the other side touches it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from synchro.core import call_synchronize
from synchro.models import Checkpoint, Conflict, Reference
from tests.odd.models import Clip, Mention, Topic
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    BY_TRIGGERS,
    REMOTE,
    assert_alike,
    let_time_pass,
    other_side,
    remote,
    remote_count,
    set_capture,
    synchronize_both,
    use_up_key_on_remote,
)

MODELS = (Topic, Clip, Clip.topics.through, Mention)

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(scope="module", params=["alike", "mixed"], autouse=True)
def _captured(request: Any, django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Both sides capture in the same way, or one by signals and the other by triggers."""
    if request.param == "alike":
        yield
        return
    labels = [model._meta.label for model in (Topic, Clip, Mention)]
    with django_db_blocker.unblock():
        set_capture(REMOTE, "signals" if BY_TRIGGERS else "triggers", *labels)
    try:
        yield
    finally:
        with django_db_blocker.unblock():
            set_capture(REMOTE, "triggers" if BY_TRIGGERS else "signals", *labels)


@pytest.fixture(autouse=True)
def _watched(settings: Any, _captured: None) -> None:
    settings.SYNCHRO_MODELS = [("odd", "Topic", "Clip", "Mention")]


@pytest.fixture(params=[True, False], ids=["the touching side first", "the other side first"])
def first_here(request: Any) -> bool:
    return bool(request.param)


@pytest.fixture
def cats(db: None) -> Topic:
    """A topic of a clip and of a page, on both sides under other keys."""
    use_up_key_on_remote(Topic, word="gone")
    use_up_key_on_remote(Clip, name="gone")
    topic = Topic.objects.create(word="cats")
    for name in ("first", "second"):
        Clip.objects.create(name=name).topics.add(topic)
        Mention.objects.create(topic=topic, page=name)
    call_synchronize()
    with other_side():
        call_synchronize()
    let_time_pass(60)
    return topic


def make_again_there(with_first: bool = False) -> None:
    with other_side():
        Topic.objects.get(word="cats").delete()
        made = Topic.objects.create(word="cats", note="made again")
        if with_first:
            Clip.objects.get(name="first").topics.add(made)
            Mention.objects.create(topic=made, page="first")
    let_time_pass()


def touch_here() -> None:
    topic = Topic.objects.get(word="cats")
    topic.note = "touched"
    topic.save()
    let_time_pass()


@pytest.mark.parametrize("batch_size", [1, 3, 5000])
@pytest.mark.parametrize("touched", ["before", "after", "never"])
@pytest.mark.parametrize("with_first", [False, True])
def test_what_belonged_to_the_old_row_is_gone_on_both_sides(
    cats: Topic, settings: Any, first_here: bool, touched: str, with_first: bool, batch_size: int
) -> None:
    if touched == "before":
        touch_here()
    make_again_there(with_first)
    if touched == "after":
        touch_here()

    settings.SYNCHRO_BATCH_SIZE = batch_size
    synchronize_both(first_here)

    assert_alike(*MODELS)
    assert [Topic.objects.filter(word="cats").count(), remote_count(Topic)] == [1, 1]
    assert [clip.name for clip in Clip.objects.filter(topics__word="cats")] == ["first"][:with_first]
    assert [mention.page for mention in Mention.objects.all()] == ["first"][:with_first]
    assert remote(Topic, word="cats").note == ("touched" if touched == "after" else "made again")


def test_member_that_this_side_added_later_stays(cats: Topic, first_here: bool) -> None:
    make_again_there()
    touch_here()
    Clip.objects.create(name="third").topics.add(cats)

    synchronize_both(first_here)

    assert_alike(*MODELS)
    assert [clip.name for clip in Clip.objects.filter(topics__word="cats")] == ["third"]
    with nullcontext() if first_here else other_side():
        assert not Conflict.objects.filter(fields="topics").exists()


def test_row_that_was_made_again_can_be_changed_and_deleted_like_any_other(
    cats: Topic, first_here: bool
) -> None:
    touch_here()
    make_again_there()
    synchronize_both(first_here)
    let_time_pass()
    with other_side():
        Topic.objects.get(word="cats").delete()

    synchronize_both(first_here)

    assert not Topic.objects.filter(word="cats").exists()
    assert_alike(*MODELS)


@pytest.mark.parametrize("batch_size", [1, 5000])
def test_part_that_the_other_side_brought_back_goes_with_the_next_old_row(
    settings: Any, batch_size: int
) -> None:
    """Its log says that it was added and deleted, and deleted again: not that it was never anywhere else."""
    with other_side():
        cats = Topic.objects.create(word="cats")
        use_up_key_on_remote(Topic, word="gone")
        call_synchronize()
        Mention.objects.create(topic=cats, page="first")
    Mention.objects.create(topic=Topic.objects.get(), page="first")
    with other_side():
        cats.delete()
        Topic.objects.create(word="cats").delete()
    let_time_pass()
    touch_here()
    call_synchronize()
    settings.SYNCHRO_BATCH_SIZE = batch_size
    make_again_there()

    synchronize_both(first_here=False)

    assert not Mention.objects.exists()
    assert_alike(*MODELS)


def test_reference_of_the_old_row_does_not_survive_a_process_that_died(cats: Topic) -> None:
    """It died between the two commits. Then the old key is given to another row, which is not the new one."""
    key, checkpoint = cats.pk, Checkpoint.objects.get().batch
    references = list(Reference.objects.all())
    cats.delete()
    Topic.objects.create(word="cats", note="made again")
    call_synchronize()
    Reference.objects.all().delete()
    Reference.objects.bulk_create(references)
    Checkpoint.objects.update(batch=checkpoint)

    Topic.objects.create(pk=key, word="dogs")
    call_synchronize()

    assert sorted(topic.word for topic in Topic.objects.using(REMOTE).all()) == ["cats", "dogs"]
    assert_same_rows(Topic)
