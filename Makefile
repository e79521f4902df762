# Each target is a command that you can also type after `. .venv/bin/activate`.
PYTHON ?= python3
# The number of GPUs that NVIDIA's driver lists. By hand: GPU=0 or GPU=1.
ifneq ($(filter-out help clean,$(MAKECMDGOALS)),)
GPU ?= $(shell command -v nvidia-smi >/dev/null && timeout 30 nvidia-smi --list-gpus 2>/dev/null | grep -c '^GPU .*UUID')
endif
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# DVC runs stages with SHELL, which runs no commands for service users, and asks for USER, who has no name in some containers.
export SHELL := /bin/sh
export USER ?= $(shell id -u)
unexport PYTHONHOME PYTHONPATH # .venv has its own, as with `. .venv/bin/activate`

.DEFAULT_GOAL := help
.PHONY: help setup repro verify bench bench-gpu test test-fast soak lint types check lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready $(if $(filter-out 0 no false off,$(GPU)),.venv/cuda) ## Make .venv, with CUDA where there is a GPU (GPU=0: without); compile resnet/native
	@.venv/bin/python -m resnet.native.library

# requirements.lock is complete, so pip need not look for what the packages depend on; it might choose other versions.
.venv/packages: requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	"Python 3.11, 3.12 or 3.13 is needed, but $(PYTHON) is %d.%d: name another one, as in: make PYTHON=python3.12 repro" % v)'
	@test ! -L .venv || { echo ".venv is a link to $$(readlink .venv), which make would empty: remove the link."; exit 1; }
	@echo "Making .venv from requirements.lock; it downloads the packages (3.6 GB in .venv) and takes 2 to 5 minutes."
	@$(PYTHON) -m venv --clear .venv
	@.venv/bin/pip install --disable-pip-version-check --quiet --no-deps --require-hashes -r requirements.lock
	@touch $@

# TensorFlow's CUDA libraries. What is asked for and does not work stops here, with the next step, and not in the middle of a run.
.venv/cuda: .venv/ready requirements-gpu.lock
	@echo "Installing NVIDIA's CUDA libraries from requirements-gpu.lock: 2.6 GB to download, 4.2 GB in .venv; GPU=0 does without."
	@.venv/bin/pip install --disable-pip-version-check --quiet --no-deps --require-hashes -r requirements-gpu.lock
	@.venv/bin/python -m commands.checkup.gpus
	@touch $@

# An editable install: it makes the program train-resnet, which runs the code of this folder, and Prefect finds its plugin by it.
.venv/ready: .venv/packages pyproject.toml
	@.venv/bin/pip install --disable-pip-version-check --quiet --no-deps --no-index --no-build-isolation --editable .
	@.venv/bin/train-resnet repair
	@touch $@

repro: setup ## Run the stages that are not up to date, from the data to the report
	@train-resnet check
	@train-resnet verify --cache --at-most 4
	dvc repro
	@echo 'The report is reports/index.html. Next, for your own images: . .venv/bin/activate, then train-resnet advise FOLDER'

bench: setup ## Compare with Keras, PyTorch and OpenVINO, in .venv-bench
	@test -e .venv-bench/ready || (python -m venv --clear .venv-bench && \
		.venv-bench/bin/pip install --disable-pip-version-check --quiet --no-deps --require-hashes -r requirements.lock && \
		.venv-bench/bin/pip install --disable-pip-version-check --quiet "torch==2.13.*" && touch .venv-bench/ready)
	@.venv-bench/bin/python -m resnet.native.library
	.venv-bench/bin/python -m benchmarks

# PyTorch brings CUDA libraries of another version than TensorFlow's, in the same folders: it has an environment of its own.
bench-gpu: setup ## Measure on a GPU what is missing in benchmarks/results-gpu.md, with PyTorch in .venv-torch
	@test -e .venv-torch/ready || (python -m venv --clear .venv-torch && \
		.venv-torch/bin/pip install --disable-pip-version-check --quiet "torch==2.13.*" numpy && touch .venv-torch/ready)
	python -m benchmarks.gpu --torch .venv-torch/bin/python

test: setup ## Run all tests
	pytest

test-fast: setup ## Run the tests that start no process and take no seconds, in less than a minute
	pytest -m "not slow"

soak: setup ## Run the long tests: 100,000 mutated images, and the trials of docs/survival.md
	python -m tests.soak.mutated_images
	python -m tests.soak

verify: setup ## Compare data, models and DVC's cache with the hashes in dvc.lock
	train-resnet verify

lint: setup ## Check style
	ruff check .
	ruff format --check .

types: setup ## Check types
	mypy

check: lint types test ## Check style and types and run all tests, as CI does

lock: setup ## Update requirements.lock and requirements-gpu.lock from pyproject.toml
	pip install --quiet uv
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra dev --upgrade --output-file requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra dev --extra gpu --constraints requirements.lock \
		$$(sed -n 's/^\([A-Za-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock) \
		--output-file requirements-gpu.lock pyproject.toml

clean: ## Remove the environment and caches; data, models and reports stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
