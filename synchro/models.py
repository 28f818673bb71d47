"""The tables of synchro: what was captured, what was exchanged, and with whom."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils.translation import gettext_lazy as _

from synchro.fields import DatabaseNow, NamesField, UTCDateTimeField, WholeKeyField
from synchro.key_ranges import SINGLE
from synchro.last_check import Options

__all__ = [
    "ADDITION",
    "CHANGE",
    "DELETION",
    "M2M_CHANGE",
    "Baseline",
    "Batch",
    "ChangeLog",
    "Checkpoint",
    "Conflict",
    "Dashboard",
    "Job",
    "ModelIdentity",
    "NamedTable",
    "Node",
    "Option",
    "Original",
    "Peer",
    "Receipt",
    "Reference",
    "Reset",
    "Run",
    "SetAside",
    "options",
]

# The first three are those of django.contrib.admin, which a project need not have installed.
ADDITION, CHANGE, DELETION, M2M_CHANGE = 1, 2, 3, 4

ACTIONS = (
    (ADDITION, _("Addition")),
    (CHANGE, _("Change")),
    (DELETION, _("Deletion")),
    (M2M_CHANGE, _("Change of related objects")),
)


options = Options()


def content_type_key(**kwargs: Any) -> models.ForeignKey[Any, Any]:
    """
    A reference to a content type without index and constraint.

    Every index and constraint on the log is paid by every writer of a watched table (docs/design.md, "The log").
    """
    return models.ForeignKey(
        ContentType,
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("content type"),
        **kwargs,
    )


def content_type_name(pk: int) -> str:
    """From Django's cache: no query for each row of a list, and no failure where the content type is gone."""
    try:
        return str(ContentType.objects.get_for_id(pk))
    except ContentType.DoesNotExist:
        return f"({pk})"


class ChangeLog(models.Model):
    """An entry: this object was added, changed, deleted, or its m2m set changed."""

    id = models.BigAutoField(primary_key=True)
    content_type = content_type_key()
    #: The key in the one spelling of `synchro.keys.to_text`.
    object_id = models.TextField(_("object id"))
    object = GenericForeignKey()
    date = UTCDateTimeField(_("date"), default=DatabaseNow)
    action = models.PositiveSmallIntegerField(_("action"), choices=ACTIONS)
    #: Which fields changed; None where that is not known, empty where none did and the row may be gone.
    #: An m2m field is named by its own name in an entry of the object that declares it, and by its label
    #: ("app.Model.field") in an entry of an object on the other side.
    fields = NamesField(_("fields"), null=True, blank=True)
    #: Of a deletion, or where the row may be gone: the natural key's values, as a JSON list; None where it has none.
    natural_key = models.TextField(_("natural key"), null=True, blank=True)
    #: Of a change of an m2m set: the keys of the objects that came or went, as a JSON list; None for any.
    members = models.TextField(_("members"), null=True, blank=True)
    #: Of a change that was received: the node where it was made, the id of its entry there, when it was made, and the
    #: node that sent it. `date` is when it was received. All are None for a change of this database's own. (See
    #: `synchro.replay.nodes.forward`.)
    origin = models.UUIDField(_("origin"), null=True, blank=True)
    number = models.BigIntegerField(null=True, blank=True)
    made = UTCDateTimeField(_("made"), null=True, blank=True)
    sender = models.UUIDField(null=True, blank=True)

    class Meta:
        verbose_name = _("entry")
        verbose_name_plural = _("entries")
        default_permissions = ("view",)
        permissions = (
            ("synchronize", _("Can synchronize databases")),
            ("reset", _("Can reset synchronization")),
        )

    def __str__(self) -> str:
        return f"{self.get_action_display()}: {content_type_name(self.content_type_id)} {self.object_id}"


class Node(models.Model):
    """This database: its name, and how far its log has been cut into batches. There is one row, with key 1."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    uuid = models.UUIDField(_("node"), default=uuid.uuid4)
    #: The highest id of the log that has been put into a batch.
    highest = models.BigIntegerField(default=0)
    #: What that entry said, as JSON (`synchro.replay.log.position`): with the same id, another one can have its place.
    newest = models.TextField(null=True)
    #: Ids below `highest` that have not been seen yet, as JSON (see `synchro.replay.log.gaps`).
    holes = models.TextField(default="[]")
    #: The number of the newest batch.
    batch = models.BigIntegerField(default=0)
    #: Batches up to this one are not to be replayed any more: a person moved the checkpoint forward.
    forgotten = models.BigIntegerField(default=0)
    #: Entries in batches of models that nobody watched who replayed them, as JSON (see `synchro.replay.log.unread`).
    unread = models.TextField(default="{}")
    #: Batches up to this one have been pruned, with their entries.
    pruned = models.BigIntegerField(default=0)
    #: Nothing that was dropped from the log is newer than this, or has a higher id; None where that is not known.
    pruned_until = UTCDateTimeField(null=True)
    pruned_upto = models.BigIntegerField(null=True)
    #: Since when the log also has entries of what is received; None as long as it has none (see
    #: `synchro.replay.nodes.topology`).
    forwards_since = UTCDateTimeField(null=True)

    class Meta:
        verbose_name = _("node")
        verbose_name_plural = _("nodes")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.uuid)


class Option(models.Model):
    """What `options` keeps: a name, and a value as text."""

    name = models.CharField(_("name"), max_length=100, primary_key=True)
    value = models.CharField(_("value"), max_length=255, blank=True)

    class Meta:
        verbose_name = _("option")
        verbose_name_plural = _("options")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


class Baseline(models.Model):
    """
    How far this database is known to be a copy of another node: rows of the model with automatic keys up to
    `highest` have the same keys there. Of `Batch`: what its batches up to this one brought is in the copy. Written when
    `reset_synchro` gives a copy a name of its own.
    """

    id = models.BigAutoField(primary_key=True)
    node = models.UUIDField(_("node"))
    content_type = content_type_key()
    highest = models.BigIntegerField()

    class Meta:
        verbose_name = _("baseline")
        verbose_name_plural = _("baselines")
        default_permissions = ("view",)
        constraints = (
            models.UniqueConstraint(fields=("node", "content_type"), name="synchro_baseline_unique"),
        )

    def __str__(self) -> str:
        return f"{self.node} {content_type_name(self.content_type_id)} {self.highest}"


class Batch(models.Model):
    """A numbered set of entries, written down once: the unit of replay."""

    number = models.BigIntegerField(primary_key=True)
    #: Ids of entries, as text: "1-100,105,110-2000".
    ranges = models.TextField()
    size = models.PositiveIntegerField()
    formed = UTCDateTimeField(default=DatabaseNow)
    #: Its number and a random one, which tell it from a batch that a copy of this database formed; empty in old ones.
    token = models.CharField(max_length=64, default="", db_default="")
    #: Of a batch of a load: the REMOTE that it is for. To all others it is a batch of nothing.
    peer = models.ForeignKey(
        "Peer", models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    #: Of a batch of a load: the content type, and between which keys, as JSON (see `synchro.replay.log.loads`).
    part = models.TextField(null=True)

    class Meta:
        verbose_name = _("batch")
        verbose_name_plural = _("batches")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.number)


class Peer(models.Model):
    """Another node that this one has met, as REMOTE or as the node that replays into this one."""

    #: None for a REMOTE without synchro tables, which has no name.
    uuid = models.UUIDField(_("node"), unique=True, null=True)
    alias = models.CharField(_("alias"), max_length=255, blank=True)
    #: Of a REMOTE: which database it is, as its server says (see `Engine.place`).
    place = models.CharField(max_length=255, default="", db_default="", blank=True)
    #: When this name was first met.
    met = UTCDateTimeField(null=True, default=DatabaseNow)

    class Meta:
        verbose_name = _("peer")
        verbose_name_plural = _("peers")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.alias or str(self.uuid)


class Checkpoint(models.Model):
    """LOCAL's position towards a REMOTE: the last batch that is known to have arrived."""

    peer = models.OneToOneField(Peer, models.CASCADE, primary_key=True)
    batch = models.BigIntegerField(default=0)
    date = UTCDateTimeField(null=True)
    #: The last batch with which something was done to what was set aside before: its entries do not tell what.
    took_up = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        verbose_name = _("checkpoint")
        verbose_name_plural = _("checkpoints")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.peer}: {self.batch}"


class Receipt(models.Model):
    """What REMOTE keeps about the last batch it took from a node, written in that batch's own transaction."""

    peer = models.OneToOneField(Peer, models.CASCADE, primary_key=True)
    batch = models.BigIntegerField(default=0)
    #: That of the batch; of an earlier one where an earlier release has signed.
    token = models.CharField(max_length=64, default="", db_default="")
    date = UTCDateTimeField(default=DatabaseNow)
    #: Up to which batch there are no entries of what was received, by when `Node.forwards_since` was set; None for a
    #: node that has sent nothing before that.
    unlogged = models.BigIntegerField(null=True)

    class Meta:
        verbose_name = _("receipt")
        verbose_name_plural = _("receipts")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.peer}: {self.batch}"


class Reference(models.Model):
    """
    Remembered identities: rows of this database and of the peer. Each side keeps its own view of the pairs.

    A row stands for one pair of keys, or for a range: keys that follow each other on both sides. `synchro.references`
    reads and writes them.
    """

    id = models.BigAutoField(primary_key=True)
    #: None only for references of django-synchro 0.7, until the first run meets the REMOTE that they are about.
    peer = models.ForeignKey(
        Peer,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("peer"),
    )
    content_type = content_type_key()
    #: Of a range, the first key of the block that it lies in (see `synchro.key_ranges`).
    block = models.BigIntegerField(default=SINGLE, db_default=SINGLE)
    #: Of a range, the first keys.
    local_object_id = WholeKeyField(_("local object id"))
    remote_object_id = WholeKeyField(_("remote object id"))
    #: How many pairs it stands for.
    length = models.IntegerField(_("number of objects"), default=1, db_default=1)
    #: The batch, of the node that replayed, with which the pairs came to be.
    batch = models.BigIntegerField(_("batch"), default=0)

    class Meta:
        verbose_name = _("reference")
        verbose_name_plural = _("references")
        default_permissions = ("view",)
        constraints = (
            models.UniqueConstraint(
                fields=("peer", "content_type", "block", "local_object_id"), name="synchro_reference_unique"
            ),
        )

    def __str__(self) -> str:
        more = f" (+{self.length - 1})" if self.length > 1 else ""
        return (
            f"{content_type_name(self.content_type_id)} {self.local_object_id} = {self.peer} "
            f"{self.remote_object_id}{more}"
        )


class Original(models.Model):
    """
    Which row of which node a row of this database is, for nodes that get it by two ways.

    Where more than two nodes exchange changes, a row that is received is known by where it was first, and by what it
    is on the nodes that it came by. (See `synchro.replay.identity.originals`.)
    """

    id = models.BigAutoField(primary_key=True)
    content_type = content_type_key()
    local_object_id = models.CharField(max_length=255)
    node = models.UUIDField(_("node"))
    object_id = models.CharField(max_length=255)

    class Meta:
        verbose_name = _("original")
        verbose_name_plural = _("originals")
        default_permissions = ("view",)
        constraints = (
            models.UniqueConstraint(
                fields=("node", "content_type", "object_id"), name="synchro_original_unique"
            ),
        )
        indexes = (models.Index(fields=("content_type", "local_object_id"), name="synchro_original_local"),)

    def __str__(self) -> str:
        return (
            f"{content_type_name(self.content_type_id)} {self.local_object_id} = {self.node} {self.object_id}"
        )


class ModelIdentity(models.Model):
    """How rows of a model are identified towards a peer: as ``SYNCHRO_IDENTITY`` said when they were first brought."""

    id = models.BigAutoField(primary_key=True)
    peer = models.ForeignKey(Peer, models.CASCADE, db_index=False, related_name="+", verbose_name=_("peer"))
    content_type = content_type_key()
    identity = models.CharField(_("identity"), max_length=9)

    class Meta:
        verbose_name = _("identity of a model")
        verbose_name_plural = _("identities of models")
        default_permissions = ("view",)
        constraints = (
            models.UniqueConstraint(fields=("peer", "content_type"), name="synchro_modelidentity_unique"),
        )

    def __str__(self) -> str:
        return f"{content_type_name(self.content_type_id)} {self.peer}: {self.identity}"


class Conflict(models.Model):
    """An object that both sides had changed, and what was decided."""

    LOCAL = "local"
    REMOTE = "remote"
    MERGED = "merged"
    DECISIONS = ((LOCAL, _("local")), (REMOTE, _("remote")), (MERGED, _("merged")))

    id = models.BigAutoField(primary_key=True)
    peer = models.ForeignKey(Peer, models.CASCADE, related_name="+", verbose_name=_("peer"))
    batch = models.BigIntegerField(_("batch"))
    content_type = content_type_key()
    object_id = models.TextField(_("object id"))
    #: None for the whole row.
    fields = NamesField(_("fields"), null=True)
    #: Both rows' values of these fields as JSON objects; None for a row that was deleted. Of a many-to-many field they
    #: say whether a member is in the set (see `synchro.replay.conflicts.record`).
    local_values = models.TextField(_("local values"), null=True)
    remote_values = models.TextField(_("remote values"), null=True)
    local_date = UTCDateTimeField(_("local date"))
    remote_date = UTCDateTimeField(_("remote date"))
    decision = models.CharField(_("decision"), max_length=6, choices=DECISIONS)
    date = UTCDateTimeField(_("date"), default=DatabaseNow)

    class Meta:
        verbose_name = _("conflict")
        verbose_name_plural = _("conflicts")
        default_permissions = ("view",)
        permissions = (("resolve", _("Can take the other side of a conflict")),)

    def __str__(self) -> str:
        return f"{content_type_name(self.content_type_id)} {self.object_id}: {self.decision}"


class SetAside(models.Model):
    """
    A change that REMOTE refused, and what it takes to do it again, as of a batch.

    Of several rows about one object that of the newest batch which REMOTE has counts; the others are on their way out.
    """

    id = models.BigAutoField(primary_key=True)
    peer = models.ForeignKey(Peer, models.CASCADE, related_name="+", verbose_name=_("peer"))
    batch = models.BigIntegerField(_("batch"))
    content_type = content_type_key()
    object_id = models.TextField(_("object id"))
    cause = models.TextField(_("cause"))
    #: Whether it only waits for another object that is set aside.
    waits = models.BooleanField(_("waits for another"), default=False)
    #: Whether it is set aside no more.
    is_over = models.BooleanField(default=False)
    date = UTCDateTimeField(_("date"), default=DatabaseNow)
    #: When the object was last changed, when its whole row was, and when the fields that are known were, as JSON.
    changed = UTCDateTimeField(_("changed"))
    whole = UTCDateTimeField(null=True)
    times = models.TextField(default="{}")
    #: Of a deletion: the natural key's values, as in the entry.
    natural_key = models.TextField(null=True)
    #: Whether the object was added with the first change that was refused.
    is_born = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("change in quarantine")
        verbose_name_plural = _("changes in quarantine")
        default_permissions = ("view",)
        permissions = (("discard", _("Can discard changes in quarantine")),)
        indexes = (models.Index(fields=("peer", "batch"), name="synchro_setaside_batch"),)

    def __str__(self) -> str:
        return f"{content_type_name(self.content_type_id)} {self.object_id}: {self.cause}"


class Reset(models.Model):
    """A call of `reset_synchro`: who forgot what."""

    id = models.BigAutoField(primary_key=True)
    date = UTCDateTimeField(_("date"), default=DatabaseNow)
    by = models.CharField(_("by"), max_length=255)
    #: The node ids before and after.
    former = models.UUIDField(_("former node"), null=True)
    current = models.UUIDField(_("node"))
    #: What had not reached the REMOTEs, as a sentence; empty where nothing was pending.
    forgotten = models.TextField(_("forgotten"), blank=True)

    class Meta:
        verbose_name = _("reset")
        verbose_name_plural = _("resets")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.date}: {self.by}"


class Run(models.Model):
    """A run to one REMOTE that did something or failed: what it brought there, and how it ended."""

    RUNNING, DONE, STOPPED, FAILED = "running", "done", "stopped", "failed"
    OUTCOMES = (
        (RUNNING, _("running")),
        (DONE, _("done")),
        (STOPPED, _("stopped")),
        (FAILED, _("failed")),
    )

    id = models.BigAutoField(primary_key=True)
    alias = models.CharField(_("database"), max_length=255)
    by = models.CharField(_("by"), max_length=255, blank=True)
    begun = UTCDateTimeField(_("begun"))
    #: When it ended, or was last heard of: one that was killed stays "running".
    ended = UTCDateTimeField(_("ended"))
    outcome = models.CharField(_("outcome"), max_length=7, choices=OUTCOMES)
    batches = models.PositiveIntegerField(_("batches"), default=0)
    entries = models.PositiveBigIntegerField(_("entries"), default=0)
    conflicts = models.PositiveIntegerField(_("conflicts"), default=0)
    quarantined = models.PositiveIntegerField(_("in quarantine"), default=0)
    #: How many rows of each model were added, changed, deleted, and kept as REMOTE has them, as a JSON object.
    rows = models.TextField(_("rows"), default="{}")
    #: How many seconds old the oldest change was that it brought or could not bring; None where that is not known.
    lag = models.FloatField(_("lag"), null=True)
    #: Why it failed.
    message = models.TextField(_("message"), blank=True)

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        default_permissions = ("view",)
        indexes = (models.Index(fields=("alias", "id"), name="synchro_run_alias"),)

    def __str__(self) -> str:
        return f"{self.begun}: {self.alias}, {self.get_outcome_display()}"


class Load(models.Model):
    """How far a load of one model's rows to a REMOTE has come. One that has ended begins anew with the next load."""

    id = models.BigAutoField(primary_key=True)
    peer = models.ForeignKey(Peer, models.CASCADE, db_index=False, related_name="+", verbose_name=_("peer"))
    content_type = content_type_key()
    #: The key up to which all rows have been looked at, as JSON; empty at the beginning.
    after = models.TextField(default="", blank=True)
    #: How many rows there were when it began, have been looked at, were equal already, were sent, and were refused.
    total = models.PositiveBigIntegerField(_("rows"), default=0)
    done = models.PositiveBigIntegerField(default=0)
    equal = models.PositiveBigIntegerField(default=0)
    sent = models.PositiveBigIntegerField(default=0)
    left = models.PositiveBigIntegerField(default=0)
    begun = UTCDateTimeField(_("begun"), default=DatabaseNow)
    #: None while it goes on, or was interrupted.
    ended = UTCDateTimeField(_("ended"), null=True)

    class Meta:
        verbose_name = _("load")
        verbose_name_plural = _("loads")
        default_permissions = ("view",)
        constraints = (models.UniqueConstraint(fields=("peer", "content_type"), name="synchro_load_unique"),)

    def __str__(self) -> str:
        return f"{content_type_name(self.content_type_id)} {self.peer}: {self.done}/{self.total}"


class Dashboard(Run):
    """The dashboard among the models of the admin's index, for whoever may use it."""

    class Meta:
        proxy = True
        verbose_name = _("Dashboard")
        verbose_name_plural = _("Dashboard")
        default_permissions = ()


class Job(models.Model):
    """What a person asked for on the dashboard, and another process does (see `synchro.jobs`)."""

    SYNCHRONIZE, RETRY, VERIFY, LOAD = "synchronize", "retry", "verify", "load"
    KINDS = (
        (SYNCHRONIZE, _("Synchronize")),
        (RETRY, _("Retry what is in quarantine")),
        (VERIFY, _("Compare")),
        (LOAD, _("Load")),
    )
    WAITING, RUNNING, DONE, STOPPED, FAILED, LOST = "waiting", "running", "done", "stopped", "failed", "lost"
    STATES = (
        (WAITING, _("waiting")),
        (RUNNING, _("running")),
        (DONE, _("done")),
        (STOPPED, _("stopped")),
        (FAILED, _("failed")),
        (LOST, _("lost")),
    )

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(_("kind"), max_length=11, choices=KINDS)
    alias = models.CharField(_("database"), max_length=255)
    #: What of: labels of models, or content types and keys of objects in quarantine, as JSON lists; empty for all.
    labels = models.TextField(_("models"), default="[]")
    chosen = models.TextField(default="[]")
    by = models.CharField(_("by"), max_length=255)
    #: In which language it speaks.
    language = models.CharField(max_length=16, default="")
    state = models.CharField(_("state"), max_length=7, choices=STATES, default=WAITING)
    #: The database's alias as long as this is not over: no REMOTE has two at a time.
    slot = models.CharField(max_length=255, null=True, unique=True)
    asked = UTCDateTimeField(_("asked"), default=DatabaseNow)
    begun = UTCDateTimeField(_("begun"), null=True)
    #: When the process that does it last said that it lives.
    seen = UTCDateTimeField(null=True)
    ended = UTCDateTimeField(_("ended"), null=True)
    is_stop_asked = models.BooleanField(default=False)
    #: How much of how much has been done: entries, changes in quarantine, or models; None where that is not known.
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(null=True)
    #: What it is at.
    progress = models.TextField(blank=True)
    #: What it found, as a JSON object.
    result = models.TextField(default="{}")
    message = models.TextField(_("message"), blank=True)

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.alias}, {self.get_state_display()}"

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state not in (self.WAITING, self.RUNNING)


class NamedTable(models.Model):
    """
    Which table a content type stands for, so that what names the content type outlives the model's name.

    See `synchro.moved`.
    """

    #: A number, since the content type itself may be removed.
    content_type = models.BigIntegerField(primary_key=True)
    app_label = models.CharField(max_length=100)
    model = models.CharField(max_length=100)
    db_table = models.CharField(max_length=255)
    #: The content type of the model that the table belongs to now, where this one's is gone.
    successor = models.BigIntegerField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.app_label}.{self.model}: {self.db_table}"


class CaptureSwitch(models.Model):
    """
    Of SQLite only: while there is a row, triggers log nothing. It is there for the time of one statement.

    Its foreign key, which is checked at the end of the transaction, can never hold: there is no row 0. So no
    transaction can commit with the switch on, whatever becomes of the process that put it there.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    never = models.ForeignKey("self", models.DO_NOTHING, db_index=False, related_name="+", default=0)

    class Meta:
        default_permissions = ()
        constraints = (
            models.CheckConstraint(condition=models.Q(id=1), name="synchro_captureswitch_one"),
            models.CheckConstraint(condition=models.Q(never=0), name="synchro_captureswitch_never"),
        )

    def __str__(self) -> str:
        return "on"
