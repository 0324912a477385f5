# make demo · test · lint · bench · screenshots · icons: each makes or refreshes .venv first (the first time needs a network).
PYTHON ?= python3
VENV := .venv/bin
PYTEST := $(VENV)/python -m pytest
# So many tests at a time, each on one core. Files stay whole, for what their tests share, and in order: those of many
# small tests would come first, and the long ones last and alone.
PROCESSES ?= 2

.PHONY: help env libraries demo test lint bench screenshots icons clean

help:
	@echo "make demo         segment a real scan, then learn a structure from four annotated scans (about 10 minutes)"
	@echo "make test         run the tests"
	@echo "make lint         check style and types"
	@echo "make bench        run the side-by-side measurements"
	@echo "make screenshots   render the pictures of the Slicer module for the pages"
	@echo "make icons         draw the icons of the Slicer module from their .svg files"

env:
	@$(PYTHON) .ci/env.py

libraries:
	@$(PYTHON) .ci/libraries.py

demo: env
	@$(VENV)/medcontext demo -o out/demo

test: env libraries
	@OMP_NUM_THREADS=1 $(PYTEST) -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

lint: env
	@$(VENV)/ruff check .
	@$(VENV)/mypy

bench: env
	@$(VENV)/python Testing/Benchmarks/inference_speed.py

screenshots: env libraries
	@$(VENV)/python Testing/Harness/screenshots.py

icons: env libraries
	@$(VENV)/python Testing/Harness/icons.py

clean:
	rm -rf .venv out build .pytest_cache .mypy_cache .ruff_cache
