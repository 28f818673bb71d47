"""What both sides have changed, what decides, and what is kept on record."""
