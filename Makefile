# Works on a machine with nothing but make and Python 3.11 or newer: no uv, no just, no database.
# Fills .venv once (pinned, every file checked by its hash) and leaves a stamp; the second call is instant.

VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test check clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.stamp-runtime ## Set up, start Stafett, deliver one event, show it, go on serving
	@exec $(BIN)/stafett demo

test: $(VENV)/.stamp-dev ## Set up and run everything: lint, types, floors, all tests
	@$(BIN)/just test

check: $(VENV)/.stamp-dev ## Set up and run lint, types, floors and the fast tests
	@$(BIN)/just check

clean: ## Remove the environment and every cache (not your data)
	rm -rf $(VENV) dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The newest Python that really runs: a version manager may offer names that start nothing.
# An environment that is there already and works is taken as it is.
$(VENV)/.stamp-python:
	@set -e; \
	usable='import sys; sys.exit(sys.version_info < (3, 11))'; \
	if $(BIN)/python -c "$$usable" 2>/dev/null; then \
	  $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null; \
	  touch $@; exit 0; \
	fi; \
	for python in python3.13 python3.12 python3.11 python3; do \
	  if $$python -c "import venv, ensurepip; $$usable" 2>/dev/null; then \
	    echo "Making $(VENV) with $$($$python -c 'import sys; print("Python", sys.version.split()[0])')"; \
	    $$python -m venv --clear $(VENV); touch $@; exit 0; \
	  fi; \
	done; \
	echo "Stafett needs Python 3.11 or newer with its venv module" \
	  "(Debian and Ubuntu: apt install python3-venv)." >&2; \
	exit 1

# The admin's scripts and styles come from npm, once; a machine without it gets one from PyPI.
$(VENV)/.stamp-runtime: pyproject.toml package-lock.json requirements/build.txt requirements/runtime.txt | $(VENV)/.stamp-python
	@echo "Installing Stafett"
	@$(INSTALL) --require-hashes -r requirements/build.txt -r requirements/runtime.txt
	@command -v npm >/dev/null || $(INSTALL) --require-hashes -r requirements/npm.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.stamp-dev: requirements/dev.txt $(VENV)/.stamp-runtime
	@echo "Installing what the tests need"
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@
