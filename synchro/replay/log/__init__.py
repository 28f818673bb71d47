"""The log of changes: from entries to batches, and what is left of both afterwards."""
