"""What needs an extra: each folder is an app of its own, for ``INSTALLED_APPS``."""
