"""What ``make test`` does: linters, and tests on every pair of backends. Standard library only."""
