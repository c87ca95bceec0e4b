# `make quickstart` and `make test` install everything they need into .venv. Only Python 3.11 or newer is required.
# The first Python that is new enough and can create a virtual environment is used; `make PYTHON=...` overrides it.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import ensurepip, venv, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; \
	done)
VENV := .venv
BIN := $(VENV)/bin
# OpenMP threads that spin while they wait slow everything down on few shared cores.
export OMP_WAIT_POLICY := PASSIVE
export TOKENIZERS_PARALLELISM := false
export HF_HUB_DISABLE_TELEMETRY := 1
export ORT_DISABLE_TELEMETRY := 1

.PHONY: help quickstart demo test lint format docs hub-code dist setup clean

help:
	@echo "make quickstart   draw a benchmark, train a tiny CAAN, show what it retrieves"
	@echo "make test         run the linters, the type checker and all tests"
	@echo "make demo         search photos by drawing in the browser (PHOTOS=folder for your own photos)"
	@echo "make lint         run the linters and the type checker"
	@echo "make format       fix what ruff can fix"
	@echo "make docs         build the documentation site into site/"
	@echo "make hub-code     copy the model code into the published models in hub/"
	@echo "make dist         build the distributions and try the wheel in bare environments"
	@echo "make clean        remove the virtual environment and caches"

quickstart: setup
	$(BIN)/caan quickstart --overwrite

demo: setup
	$(BIN)/caan-demo $(if $(PHOTOS),"$(PHOTOS)")

test: setup lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet -f docs/site/mkdocs.yml

hub-code: setup
	$(BIN)/caan-hub sync-code

dist: setup
	PYTHON=$(CURDIR)/$(BIN)/python bash .ci/release

setup: $(VENV)/.installed

# The stamp file is written last, so that an interrupted installation starts again. Changed dependencies are installed.
$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is required (Debian: apt install python3-venv)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --no-input --progress-bar off -q -e '.[demo,dev,export,minilm,scale,serve,tensorboard,train]'
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache dist site
