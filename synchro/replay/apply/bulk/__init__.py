"""Apply models in bulk: thousands of rows by one statement, where nothing has to be decided for a single row."""
