"""Which row of REMOTE is which row of LOCAL."""
