# make demo · make test · make lint · make bench: each makes or refreshes .venv first (the first time needs a network).
PYTHON ?= python3
VENV := .venv/bin
PYTEST := $(VENV)/python -m pytest

.PHONY: help env demo test lint bench clean

help:
	@echo "make demo    segment a real scan, then learn a structure from four annotated scans (about 10 minutes)"
	@echo "make test    run the tests"
	@echo "make lint    check style and types"
	@echo "make bench   run the side-by-side measurements"

env:
	@$(PYTHON) .ci/env.py

demo: env
	@$(VENV)/medcontext demo -o out/demo

test: env
	@$(PYTEST)

lint: env
	@$(VENV)/ruff check .
	@$(VENV)/mypy

bench: env
	@$(VENV)/python Testing/Benchmarks/inference_speed.py

clean:
	rm -rf .venv out build .pytest_cache .mypy_cache .ruff_cache
