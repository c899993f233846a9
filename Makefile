# make demo   from nothing: a virtual environment, padmask with everything, and a look at sample_data
# make test   the same start, then the quick tests: two minutes
# make test-all  make test, then the slow tests: six minutes
# make lowest the smoke tests with the lowest versions of what padmask needs
# make lint   style and types;  make format mends the style
# make readme writes the commands' help into the README
# make bench  padmask beside what people use instead
# make soak   10^8 tokens through every pair of formats;  make fuzz MINUTES=5 runs random cases

# TensorFlow has builds for 3.11 to 3.13: the newest of these that is here, else any python3.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo $$p && exit; done; echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lowest lint format readme bench soak fuzz clean

help:
	@sed -n 's/^# //p' $(MAKEFILE_LIST) | head -8

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "padmask needs Python 3.11 or newer; $(PYTHON) is older. Say which: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "$(PYTHON) has no venv module. On Debian: apt install python3-venv"; rm -rf $(VENV); exit 1; }

# What is installed, as marks: they are made again when what they depend on changes.
$(VENV)/.core: $(BIN)/python pyproject.toml
	$(PIP) install --quiet --editable '.[dev]'
	@touch $@

$(VENV)/.verify: $(VENV)/.core
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 14))'; then \
		echo "Installing TensorFlow, about 2 GiB ..."; $(PIP) install --quiet --editable '.[verify]'; \
	else \
		echo "TensorFlow has no build for this Python: what needs it is left out."; \
	fi
	@touch $@

$(VENV)/.bench: $(VENV)/.verify
	$(PIP) install --quiet --editable '.[bench]'
	@touch $@

demo: $(VENV)/.verify
	@PATH="$(abspath $(BIN)):$$PATH" sh sample_data/demo.sh

# pytest compiles the tests. It keeps the compiled files, and saves half a minute in each run.
unexport PYTHONDONTWRITEBYTECODE
TEST := $(BIN)/python -m pytest -q -n auto --dist loadfile

test: $(VENV)/.verify
	$(TEST)

test-all: test
	$(TEST) -m slow

lowest: $(BIN)/python
	$(BIN)/python tests/lowest.py $(VENV)-lowest

lint: $(VENV)/.core
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.core
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

readme: $(VENV)/.core
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tests/write_readme.py

bench: $(VENV)/.bench
	$(BIN)/python tests/bench/bench.py

soak: $(VENV)/.core
	PADMASK_LOAD=large $(BIN)/python -m pytest -q -m slow tests/cli/test_large_inputs.py
	$(BIN)/python tests/soak.py

MINUTES ?= 5
fuzz: $(VENV)/.core
	$(TEST) -m hypothesis --hypothesis-profile fuzz
	$(BIN)/python tests/fuzz/run.py all --minutes $(MINUTES)

clean:
	rm -rf $(VENV) $(VENV)-lowest .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
