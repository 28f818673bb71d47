"""
A project of well-known packages, on two databases: Wagtail, Oscar, taggit, mptt, treebeard, django-simple-history,
django-polymorphic, guardian, parler, allauth.

``docs/with-*.md`` are about it: its settings of synchro, and the commands, are read from these pages.
"""
