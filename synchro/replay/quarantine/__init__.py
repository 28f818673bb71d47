"""Changes that REMOTE refuses: which, why, and where they are kept."""
