"""Code of others that runs for REMOTE's objects: what it may do, and what it did."""
