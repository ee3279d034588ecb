# The front door. `make` fills .venv; everything below runs from it.

set shell := ["bash", "-euo", "pipefail", "-c"]

export PATH := justfile_directory() / ".venv/bin:" + env("PATH")

# Show what there is
default:
    @just --list --unsorted

# Format, lint, floors, types, dependencies: no test
lint:
    ruff format --check
    ruff check
    lint-imports
    basedpyright
    deptry src

# What must hold before a commit: lint and the fast tests
check: lint
    pytest -m "not slow" -n 2

# Everything: lint and all tests
test: lint
    pytest -n 2

# Rewrite the files in the house format
format:
    ruff check --fix
    ruff format

# The speed benchmarks, beside the raw limits of this machine
bench *arguments:
    python benchmarks/end_to_end.py {{ arguments }}
    python benchmarks/isolation.py {{ arguments }}

# Write the generated pages of docs/ anew: after a change to settings, verbs, routes, errors, events
docs:
    python docs/generate.py

# Start a server on this machine
serve *arguments:
    stafett serve {{ arguments }}

# Compile the pinned requirements anew from pyproject.toml (needs uv and a package index)
requirements *arguments:
    {{ compile }} --group dev {{ arguments }} pyproject.toml -o requirements/dev.txt
    {{ compile }} {{ arguments }} -c requirements/dev.txt pyproject.toml -o requirements/runtime.txt
    {{ compile }} {{ arguments }} -c requirements/dev.txt requirements/build.in -o requirements/build.txt
    {{ compile }} {{ arguments }} requirements/npm.in -o requirements/npm.txt

# No index address and no header: the files are the same wherever they are compiled.
compile := "uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-header"
