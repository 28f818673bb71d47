"""What people do with the applications, by the packages' own functions, on the database that is ``default``."""
