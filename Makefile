# What start.py does, and needs no make for; and, below, what those who work on the course need.
#   make lab ARGS=--no-browser    make test ARGS="-k metrics"    make lab PYTHON=python3.12
PYTHON ?= python3
ARGS ?=
BIN = $(if $(filter Windows_NT,$(OS)),Scripts,bin)
IN_VENV = . .venv/$(BIN)/activate &&
unexport PYTHONHOME PYTHONPATH  # they would mix other packages in

.PHONY: help lab test setup clean quick notebooks golden bench bench-grading lock
help:
	@awk -F ': .*## ' '/^[a-z-]+: .*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile
	@echo 'Further arguments go into ARGS: make test ARGS="-k metrics". Another Python: PYTHON=...'

lab: ## open JupyterLab on the first notebook
test: ## run every test, the notebooks included
setup: ## only set up, as all others do at first
clean: ## remove .venv and the caches
lab test:
	@$(PYTHON) start.py $@ $(ARGS)
setup clean:
	@$(PYTHON) start.py $@

# not in the bundle: begin
quick: ## run the tests that together take under a minute
	@$(PYTHON) start.py test tests -m "not slow and not browser" $(ARGS)
notebooks: setup ## execute and save all notebooks
	@$(IN_VENV) course notebooks $(ARGS)
golden: setup ## write the golden files that are missing or of older weights
	@$(IN_VENV) python tests/golden_files.py $(ARGS)
bench: setup ## measure speed beside other codecs, as JSON
	@$(IN_VENV) python tests/benchmark.py $(ARGS)
bench-grading: setup ## measure grading beside nbgrader and Otter-Grader
	@$(IN_VENV) python tests/benchmark_grading.py $(ARGS)

# uv keeps the versions that still fit (ARGS=--upgrade: the newest of all, ARGS="-P torch": of one)
# and finds packages where UV_DEFAULT_INDEX says. Each build of PyTorch pins its CUDA by itself.
lock: ## write constraints.txt anew: what pyproject.toml asks for, on every platform
	@$(PYTHON) -m venv .lock && .lock/$(BIN)/pip install --quiet uv
	@.lock/$(BIN)/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
	    --only-binary :all: --extra test --no-annotate --custom-compile-command "make lock" \
	    --output-file constraints.txt $(ARGS) pyproject.toml
	@sed -i.old -E '/^(cuda-|nvidia-|triton=)/d' constraints.txt && rm constraints.txt.old
# not in the bundle: end
