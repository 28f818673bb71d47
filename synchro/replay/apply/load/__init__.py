"""A batch of a load: the rows of a range of keys, straight into a table where nothing is to be asked, or as others."""
