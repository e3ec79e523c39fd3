# Two commands do everything: `make demo` and `make test`. The environment is made at need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# DATA: a folder of labelled spectra to train on, or miles; none for the demo on made-up stars.
DATA ?=
LABELS ?=
OUT ?= demo
DOCS := $(VENV)/.docs-ready

.PHONY: demo test check docs bench clean

demo: $(READY)
	$(BIN)/starnet demo $(if $(DATA),--data "$(DATA)") $(if $(LABELS),--labels "$(LABELS)") --out "$(OUT)"

test: $(READY)
	$(BIN)/pytest -n auto tests

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

docs: $(DOCS)
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

bench: $(READY)
	@echo "One command for each figure; see benchmarks/README.md"; ls benchmarks/*.py

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit('StarNet needs Python 3.11 or newer; set PYTHON=') if sys.version_info < (3, 11) else None"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --progress-bar on -c constraints.txt -e ".[dev]"
	touch $@

$(DOCS): $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) demo docs/_build docs/jupyter_execute build src/*.egg-info
