# `make` lists what there is. Everything happens inside .venv, made on first use.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help train sweep test test-long test-browser test-boards test-pi test-cuda lint wheels bench bench-a76 clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

train: .venv/installed ## train and report, with ARGS="model=mobilenetv3_large optimizer=sgd" if you like
	$(BIN)/python -m raspitrain $(ARGS)

sweep: .venv/installed ## the fastest batch size and number of threads: a minute or two
	$(BIN)/python -m raspitrain --multirun sweep=batch_threads throughput.seconds=2 $(ARGS)

test: .venv/installed-dev ## the tests, some five minutes on two cores
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

test-long: .venv/installed-dev ## the tests that take minutes (needs Debian's gcc-arm-none-eabi, qemu-system-arm)
	$(BIN)/python -m pytest -m long $(ARGS)

test-browser: .venv/installed-dev ## report.html in a real browser (needs Debian's chromium)
	@$(BIN)/python tests/browser.py
	$(BIN)/python -m pytest -m browser $(ARGS)

test-boards: .venv/installed-dev ## several boards, by a real sshd or in network namespaces (as root; needs Debian's openssh-server, rsync, iproute2, slurmctld, slurmd, slurm-client, munge)
	$(BIN)/python -m pytest -m boards $(ARGS)

test-pi: ## the tests and short runs on an emulated Pi 5 (as root on an x86-64 Debian; under an hour; SUITE=trixie)
	bash tests/pi/run.sh $(ARGS)

test-cuda: .venv/installed-dev ## training on an NVIDIA GPU, where there is one: under four minutes
	@$(BIN)/python tests/cuda.py
	$(BIN)/python -m pytest -m cuda tests/test_cuda.py $(ARGS)

lint: .venv/installed-dev ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheels: .venv/bin/python ## dist/raspitrain_use-…whl: models used without torch, numpy, compiler (PC and Pi)
	$(BIN)/python packaging/use_wheel.py $(ARGS)

bench: .venv/installed-bench ## our speed beside the plain loop, Lightning, skorch, LiteRT, ONNX Runtime; see benchmarks/README.md
	for name in step_time frameworks busy_neighbour time_to_accuracy data_size inference \
		start_up; do \
		$(BIN)/python -m benchmarks.$$name || exit; done

bench-a76: ## instructions, bytes and milliseconds of a step on an emulated Pi 5 (Debian or Ubuntu on x86-64, as root)
	bash benchmarks/a76/run.sh
	bash benchmarks/a76/memory.sh
	bash benchmarks/a76/inference.sh

clean: ## remove what was installed and built; outputs/ stays
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else "raspitrain needs Python 3.11 to 3.13, and this is %d.%d: give another with PYTHON=python3.x" % v)'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing into .venv (a few minutes on a Raspberry Pi)"
	$(INSTALL) -e '.[ucr]'
	touch $@

.venv/installed-bench: .venv/installed
	$(INSTALL) -e '.[ucr,bench]'
	touch $@

.venv/installed-dev: .venv/installed
	$(INSTALL) -e '.[ucr,dev]'
	touch $@
