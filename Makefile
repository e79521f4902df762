# Thin on purpose: each target is a command that can be typed after `. .venv/bin/activate`.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup repro verify bench test soak lint types check lock clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## Make .venv from requirements.lock

.venv/ready: requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	"Python 3.11, 3.12 or 3.13 is needed, but $(PYTHON) is %d.%d: name another one, as in: make PYTHON=python3.12 repro" % v)'
	@echo "Making .venv from requirements.lock; this takes a minute or two."
	@$(PYTHON) -m venv --clear .venv
	@.venv/bin/pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	@# For its entry point alone, which Prefect's commands look up; the code is used where it is.
	@.venv/bin/pip install --disable-pip-version-check --quiet --no-deps --no-index --no-build-isolation --editable .
	@.venv/bin/python -m commands.repository
	@touch $@

repro: setup ## Run the pipeline: data to report, what is up to date left as it is
	@python -m commands.check
	@python -m commands.verify --cache --at-most 4
	dvc repro

bench: setup ## Measure against Keras, PyTorch and OpenVINO, in an environment of its own
	@test -e .venv-bench/ready || (python -m venv --clear .venv-bench && \
		.venv-bench/bin/pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock && \
		.venv-bench/bin/pip install --disable-pip-version-check --quiet "torch==2.13.*" "openvino>=2026.4" && touch .venv-bench/ready)
	.venv-bench/bin/python -m benchmarks

test: setup ## Run all tests
	pytest

soak: setup ## Run what takes too long for every day: 100,000 mutated images, and the trials of docs/survival.md
	python -m tests.soak.mutated_images
	python -m tests.soak

verify: setup ## Compare data, models and DVC's cache with what dvc.lock has of them
	python -m commands.verify

lint: setup ## Check style
	ruff check .
	ruff format --check .

types: setup ## Check types
	mypy

check: lint types test ## All of the three, as CI does

lock: setup ## Renew requirements.lock from pyproject.toml
	pip install --quiet uv
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra dev --upgrade --output-file requirements.lock pyproject.toml

clean: ## Remove the environment and caches; data, models and reports stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
