# Each target sets up all it needs in .venv; the second time is quick.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DOCS_INSTALLED := .venv/.docs-installed

.PHONY: demo test test-slow lint docs install

demo: install  ## a study on rendered scenes and its report
	$(BIN)/segtune run demo
	$(BIN)/segtune report demo --out demo-report.html

test: install  ## everything but the tests marked slow, in two processes of one torch thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: install  ## the rest: long ones without Ray, then whole studies on a local Ray cluster
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "slow and not ray" -n 2 --dist load
	$(BIN)/python -m pytest -m "slow and ray"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy platform/segtune model/srft_galore model/segcore search_spaces tests platform/docs

docs: $(DOCS_INSTALLED)  ## the site, site/index.html: READMEs, docstrings and a study in a notebook
	$(BIN)/mkdocs build --config-file platform/docs/mkdocs.yml

install: $(INSTALLED)

$(INSTALLED): pyproject.toml model/srft_galore/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	@echo "Installing torch, Ray and the rest into .venv (some 7 GB, a few minutes) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt -e ./model/srft_galore -e '.[test,lint]'
	@touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e ./model/srft_galore -e '.[docs]'
	@touch $@
