# Needs nothing but Python 3.11 or newer, git and make. Everything that is made goes to .venv* and .cache.

PYTHON ?= python3
# make test PAIRS="sqlite mysql-postgresql" ARGS="-k natural -x"
PAIRS ?=
ARGS ?=

.PHONY: help demo check test lint format docs messages servers servers-stop clean python

help:
	@echo 'make demo          the example, on two SQLite files'
	@echo 'make check         linters, and the quickest tests on SQLite, in less than a minute'
	@echo '                   ARGS="tests/replay/log -x" has them be others'
	@echo 'make test          linters, and the whole suite on every backend'
	@echo '                   PAIRS="sqlite applications spicy-neighbours docs" ARGS="-k natural" choose'
	@echo 'make lint          ruff, mypy and import-linter'
	@echo 'make format        ruff rewrites the code'
	@echo 'make docs          build the site of the documentation in .cache/docs; a warning is an error'
	@echo 'make messages      collect the texts into the catalogues and compile them (needs gettext)'
	@echo 'make servers       start the database servers and print how to reach them'
	@echo 'make servers-stop  stop them'
	@echo 'make clean         remove everything that was made in this folder'

python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.13 ..." if sys.version_info < (3, 11) else 0)'

demo: python
	@$(PYTHON) -m tests.suite.venv demo
	@.venv-demo/bin/python example/demo.py

test: python
	@$(PYTHON) -m tests.suite --pairs '$(PAIRS)' --arguments '$(ARGS)'

check: python
	@$(PYTHON) -m tests.suite.check $(ARGS)

lint: python
	@$(PYTHON) -m tests.suite.venv main
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
	.venv/bin/lint-imports

docs: python
	@$(PYTHON) -m tests.suite.docs

messages: python
	@$(PYTHON) -m tests.suite.venv main
	.venv/bin/python -m tests.messages

format: python
	@$(PYTHON) -m tests.suite.venv main
	.venv/bin/python -m ruff check --fix .
	.venv/bin/python -m ruff format .

servers: python
	@$(PYTHON) -m tests.backends start

servers-stop: python
	@$(PYTHON) -m tests.backends stop

clean: servers-stop
	rm -rf .venv .venv-* .cache .tox *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
