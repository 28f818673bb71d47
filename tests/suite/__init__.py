"""What ``make test`` does: linters, then the tests on every pair of backends. Needs the standard library only."""
