"""Captures every change of the watched models and replays it into another database."""
