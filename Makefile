# make demo   create a virtual environment, install padmask with all extras, and pad sample_data
# make test   create the environment and run the quick tests
# make test-all  run make test, then the slow tests (those of PyTorch only if torch is installed)
# make test-exhaustive  run the tests that repeat the others with more inputs
# make lowest run the smoke tests with the lowest supported versions of the dependencies;  make test-minimum runs more
# make dist   build and check the sdist and the wheel
# make lint   check style and types;  make format fixes the style
# make docs   build the pages as a web site;  make readme updates their help texts and outputs
# make figures draw the figure in the pages, and take pictures of the HTML reports with Chromium
# make bench  compare padmask with other tools;  make bench BENCH="--only formats" runs a part
# make messages  print all messages
# make soak   process 10^8 tokens with every pair of formats;  make fuzz MINUTES=5 runs the fuzzer

# TensorFlow has builds for Python 3.11 to 3.13. Use the newest of these versions, else any python3.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo $$p && exit; done; echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-exhaustive lowest test-minimum dist lint format docs readme figures messages bench soak fuzz clean

help:
	@sed -n 's/^# //p' $(MAKEFILE_LIST) | head -12

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "padmask needs Python 3.11 or newer, and $(PYTHON) is older. Set the version: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "$(PYTHON) has no venv module. On Debian: apt install python3-venv"; rm -rf $(VENV); exit 1; }

# Marker files of the installed extras. make installs the extras again when pyproject.toml changes.
$(VENV)/.core: $(BIN)/python pyproject.toml
	$(PIP) install --quiet --editable '.[dev]'
	@touch $@

$(VENV)/.verify: $(VENV)/.core
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 14))'; then \
		echo "Installing TensorFlow, about 2 GiB ..."; $(PIP) install --quiet --editable '.[verify]'; \
	else \
		echo "TensorFlow has no build for this Python version, so the tests of models are skipped."; \
	fi
	@touch $@

$(VENV)/.docs: $(VENV)/.core
	$(PIP) install --quiet --editable '.[docs]'
	@touch $@

$(VENV)/.bench: $(VENV)/.verify
	$(PIP) install --quiet --editable '.[bench]'
	@touch $@

demo: $(VENV)/.verify
	@PATH="$(abspath $(BIN)):$$PATH" sh sample_data/demo.sh

# pytest compiles the tests. It keeps the compiled files, and saves half a minute in each run.
unexport PYTHONDONTWRITEBYTECODE
TEST := $(BIN)/python -m pytest -q -n auto --dist loadfile

# The quick tests write their files to memory if there is room. padmask waits until each output is on disk.
MEMORY := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 4000000 { print "/dev/shm" }')

test: $(VENV)/.verify
	$(if $(MEMORY),PYTEST_DEBUG_TEMPROOT=$(MEMORY)) $(TEST)

test-all: test
	$(TEST) -m slow

test-exhaustive: $(VENV)/.verify
	$(TEST) -m exhaustive

lowest: $(BIN)/python
	$(BIN)/python tests/lowest.py $(VENV)-lowest

test-minimum: $(BIN)/python
	$(if $(MEMORY),PYTEST_DEBUG_TEMPROOT=$(MEMORY)) $(BIN)/python tests/lowest.py $(VENV)-lowest core

dist: $(VENV)/.core
	$(BIN)/python tests/dist.py dist

lint: $(VENV)/.core
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.core
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

readme: $(VENV)/.core
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tests/write_docs.py

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "Built docs/_build/html/index.html"

figures: $(VENV)/.verify
	@$(BIN)/padmask inspect sample_data/jargon.jsonl --maxlen 256,p95 --export docs/images/lengths.svg >/dev/null
	@$(BIN)/python tests/write_images.py

messages: $(VENV)/.core
	@$(BIN)/python tests/messages.py padmask

bench: $(VENV)/.bench
	$(BIN)/python tests/bench/bench.py $(BENCH)
	$(if $(BENCH),,$(BIN)/python tests/bench/packing.py)

soak: $(VENV)/.core
	PADMASK_LOAD=large $(BIN)/python -m pytest -q -m "slow or exhaustive" tests/cli/test_large_inputs.py
	$(BIN)/python tests/soak.py

MINUTES ?= 5
fuzz: $(VENV)/.core
	$(TEST) -m hypothesis --hypothesis-profile fuzz
	$(BIN)/python tests/fuzz/run.py all --minutes $(MINUTES)

clean:
	rm -rf docs/_build $(VENV) $(VENV)-lowest .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
