"""Bring REMOTE's rows to LOCAL's present values."""
