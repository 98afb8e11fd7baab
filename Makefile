# make demo   everything in one go: environment, install, and the main job on shipped images
# make test   the same environment; format, lint, types, tests and doctests

PYTHON ?= python3
# On Linux PyPI's torch brings gigabytes of CUDA; this index has the build for CPUs. It is asked
# for torch alone, and passed over when out of reach. `make TORCH_INDEX=` takes PyPI's build.
TORCH_INDEX ?= $(if $(filter Linux,$(shell uname -s)),https://download.pytorch.org/whl/cpu)
OUT ?= quant-out/demo

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

.PHONY: help demo test lint format clean
.DELETE_ON_ERROR:

help:
	@echo "make demo     quantize the network that ships with the package; results in $(OUT)"
	@echo "make test     format check, lint, types, tests and doctests, as CI runs them"
	@echo "make lint     format check, lint and types only"
	@echo "make format   rewrite the files in the project's format"
	@echo "make clean    remove the environment and everything that was built"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v < (3, 11) and sys.exit("error: Python 3.11 \
	or later is needed, saw %d.%d. Name another one: make PYTHON=python3.12" % v[:2])'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { \
	  echo "error: '$(PYTHON)' cannot make an environment in $(VENV)." \
	       "On Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@echo "Installing into $(VENV) (about 400 MB to download, once) ..."
	@test -z "$(TORCH_INDEX)" || $(PIP) -q --no-deps --retries 1 --timeout 15 \
	  --extra-index-url "$(TORCH_INDEX)" torch 2>/dev/null || true # what failed, the next line says
	@$(PIP) --editable ".[dev]"
	@touch $@

demo: $(STAMP)
	$(BIN)/quant demo --out $(OUT)
	@echo "Look at $(OUT)/report.html; the graphs are $(OUT)/*/model.onnx"

test: lint
	$(BIN)/python -m pytest -n 2 --doctest-modules quant tests

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info quant-out .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
