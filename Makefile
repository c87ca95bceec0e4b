# Both `make quickstart` and `make test` set up everything themselves; only Python >= 3.11 must be there.
# The first that runs, is new enough and can make a virtual environment; `make PYTHON=...` overrides.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import ensurepip, venv, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; \
	done)
VENV := .venv
BIN := $(VENV)/bin
# Spinning OpenMP threads are ruinous on few shared cores; telemetry and progress of downloads are nobody's business here.
export OMP_WAIT_POLICY := PASSIVE
export TOKENIZERS_PARALLELISM := false
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: help quickstart demo test lint format setup clean

help:
	@echo "make quickstart   set up, draw a benchmark, train a tiny CAAN, show what it retrieves"
	@echo "make test         set up, lint, run all tests"
	@echo "make demo         set up, search photos by drawing in the browser (PHOTOS=folder for your own)"
	@echo "make lint         ruff check and format check"
	@echo "make format       let ruff mend what it can"
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

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(VENV)/.installed

# The stamp is written last: an interrupted installation starts over. It is made anew when the dependencies change.
$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed (on Debian: apt install python3-venv)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --no-input --progress-bar off -q -e '.[demo,dev,export,gallery,minilm,scale,tensorboard]'
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache dist
