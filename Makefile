# make demo : a fresh machine to a report of every lab
# make test : the test suite
# make help : the rest

VENV   ?= .venv
PYTHON ?= python3
PY      = $(VENV)/bin/python
RUN     = $(VENV)/bin/mechscope
PIP     = $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo replicate test test-slow test-processors bench tables scoreboard real-model frontiers lint docs clean

help:
	@echo "make demo       create $(VENV), install, run every lab's quick budget: runs/index.html"
	@echo "make replicate  every lab's full budget (resumes where it stopped), and docs/replications.md"
	@echo "make test       create $(VENV), install, run the tests (under 12 minutes on two cores)"
	@echo "make test-slow  the tests that take minutes each"
	@echo "make test-processors  the tests with the kernels of other processors; ARGS=tests/model for some of them"
	@echo "make bench      speed and memory compared with other libraries, written to docs"
	@echo "make tables     the tables of families, misuse and classic names in the docs"
	@echo "make scoreboard every method on planted circuits, written to docs/scoreboard.md"
	@echo "make real-model the page, the card and the comparison of methods on a real language model (20 minutes)"
	@echo "make frontiers  sparsity against reconstruction for every dictionary architecture, written to docs/frontiers.md"
	@echo "make lint       ruff, pyright, the import contract"
	@echo "make docs       this documentation as a site with search and an API reference: site/index.html"
	@echo "make clean      remove $(VENV) and caches (reports in runs/ stay)"

# Each stamp records what the environment contains; a change of the pins makes it stale.
$(VENV)/.base: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f'mechscope needs Python 3.11 to 3.13, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11 demo')"
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (torch is the large part; some minutes the first time)"
	$(PIP) -e '.[web]'
	@touch $@

# The classic implementation is the oracle of many tests, so the peers belong to the tests' environment.
$(VENV)/.test: $(VENV)/.base
	$(PIP) -e '.[web,test,peers]'
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	$(PIP) -e '.[web,test,peers,lint]'
	@touch $@

$(VENV)/.docs: $(VENV)/.base
	$(PIP) -e '.[docs]'
	@touch $@

# The reports are written even if a step could not be finished; the exit code then reports the error.
demo: $(VENV)/.base
	$(RUN) run all --budget quick
	@echo
	@echo "The reports: runs/index.html"
	@echo "Open it in a browser. Next:"
	@echo "  $(RUN) verify    every claim with its verdict (it fails if one was not reproduced)"
	@echo "  $(RUN) serve     the web lab: models under a microscope, live figures"
	@echo "  $(RUN) doctor    what else is available, and how to get it"
	@echo "  docs/model.md          open a model yourself"

# In the tests' environment, because one claim compares a dictionary with SAELens.
replicate: $(VENV)/.test
	$(RUN) run all --budget full
	$(RUN) replications --budget full --docs docs/replications.md

test: $(VENV)/.test
	$(PY) -m pytest -q -n 2 --dist loadfile -m "not slow" $(ARGS)

test-slow: $(VENV)/.test
	$(PY) -m pytest -q -m slow $(ARGS)

test-processors: $(VENV)/.test
	$(PY) -m tests.processors $(ARGS)

bench: $(VENV)/.test
	$(PY) -m benchmarks.run
	$(PY) -m benchmarks.sweeps
	$(PY) -m benchmarks.grokking_step --wall
	$(PY) -m mechscope models get smollm2-135m
	$(PY) -m benchmarks.real_model
	$(PY) -m benchmarks.neuroscope
	$(PY) -m benchmarks.neuroscope_store
	$(PY) -m benchmarks.neuroscope_plan

tables: $(VENV)/.test
	$(PY) -m benchmarks.families
	$(PY) -m benchmarks.misuse
	$(PY) -m benchmarks.classic_interface

scoreboard: $(VENV)/.base
	$(RUN) scoreboard --docs docs/scoreboard.md
	cp runs/scoreboard/tables.json src/mechscope/scoreboard/shipped/scoreboard.json
	$(PY) -m mechscope.scoreboard.planted_records

# Runs the code of docs/real-model.md and writes what it prints and draws; then the card and the methods.
real-model: $(VENV)/.test
	$(RUN) models get smollm2-135m
	$(PY) -m docs_site.executed_page docs_site/real-model.md docs/real-model.md
	$(PY) -m mechscope.recipes.packaged_card smollm2-135m
	$(PY) -m mechscope.recipes.models_page docs/models.md
	$(RUN) scoreboard --model smollm2-135m --docs docs/scoreboard-real-model.md
	cp runs/scoreboard/smollm2-135m.json src/mechscope/scoreboard/shipped/smollm2-135m.json

frontiers: $(VENV)/.test
	$(RUN) sae sweep --preset synthetic bundled minilm --docs docs/frontiers.md

lint: $(VENV)/.lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports

# Every warning is an error: a broken link, a docstring that names a parameter which does not exist. The variable
# silences an advertisement.
docs: $(VENV)/.docs
	$(PY) -m docs_site.assemble build/docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet --strict
	$(PY) -m docs_site.links site
	@echo "The site: site/index.html"

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache build site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
