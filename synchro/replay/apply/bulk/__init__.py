"""Models whose rows are plain in a batch: they go to REMOTE whole parts at a time, with nothing decided for one row."""
