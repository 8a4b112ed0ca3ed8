# A thin layer over start.py, which does the work and needs no make.
#   make lab ARGS=--no-browser    make test ARGS="-k metrics"    make lab PYTHON=python3.12
PYTHON ?= python3
ARGS ?=

.PHONY: help lab test quick notebooks bench bench-grading golden setup clean lock
help:
	@$(PYTHON) start.py --help
lab test quick notebooks bench bench-grading golden setup clean lock:
	@$(PYTHON) start.py $@ $(ARGS)
