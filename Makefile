# Each target installs what it needs first; nothing else has to be run before.

SHELL := /bin/bash
PYTHON := .venv/bin/python
UV := .uv/bin/uv
UV_VERSION := 0.13.9
RESOLVE := $(UV) pip compile --quiet --universal --python-version 3.12 --generate-hashes \
  --custom-compile-command "make lock"

.DEFAULT_GOAL := help

.PHONY: help
help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: serve
serve: install  ## Run everything: database, API and worker (Ctrl-C stops it)
	@STAC_INGEST_END_WITH=$$PPID exec .venv/bin/stac-ingest serve

.PHONY: test
test: install  ## Run the whole test suite
	@exec $(PYTHON) -m pytest -q -n auto --maxprocesses 4 --dist loadfile

.PHONY: fuzz
fuzz: install  ## Send thousands of requests that are generated from our OpenAPI; none may fail the service
	@exec $(PYTHON) -m pytest -q tests/api/test_fuzz.py --long

.PHONY: fuzz-cog
fuzz-cog: install  ## Write thousands of generated COGs, and read them beside GDAL and tifffile
	@exec $(PYTHON) -m pytest -q tests/raster/test_cog.py -k whatever --long

.PHONY: lint
lint: install  ## Check style, types, imports, the layout, and that public names are documented
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	$(PYTHON) -m pytest -q tests/unit/test_layout.py tests/unit/test_exports.py tests/unit/test_catalog_model.py

.PHONY: docs
docs: install  ## Build the documentation into build/docs
	$(PYTHON) -m sphinx -E -W --keep-going -q -b html docs build/docs

.PHONY: bench
bench: install  ## Measure the memory and the speed of an upload of 1 GiB, beside a plain PUT
	@exec $(PYTHON) -m benchmarks.upload_memory

.PHONY: bench-api
bench-api: install .venv-peers/installed  ## Measure the STAC API beside stock stac-fastapi-pgstac (ARGS="--items 5000")
	@docker/system-packages wrk
	@exec $(PYTHON) -u -m benchmarks.api $(ARGS)

.PHONY: bench-scale
bench-scale: install  ## Measure how searches slow down from 10,000 to 1,000,000 items (ARGS="--keep FOLDER")
	@exec $(PYTHON) -u -m benchmarks.scale $(ARGS)

.PHONY: bench-cog
bench-cog: install .venv-peers/installed  ## Measure the making of COGs beside rio-cogeo and GDAL (ARGS="--keep FOLDER")
	@exec $(PYTHON) -u -m benchmarks.cog $(ARGS)

.PHONY: install
install: system .venv/installed  ## Install system packages that are missing, and the locked environment

.PHONY: system
system:
	@docker/system-packages

.venv/installed: requirements.lock pyproject.toml .python-version $(UV)
	@$(UV) venv --quiet --allow-existing .venv
	@$(UV) pip install --quiet --require-hashes --requirement requirements.lock
	@$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv-peers/installed: benchmarks/peers.lock .python-version $(UV)
	@$(UV) venv --quiet --allow-existing .venv-peers
	@$(UV) pip install --quiet --python .venv-peers --require-hashes --requirement benchmarks/peers.lock
	@touch $@

$(UV):
	@echo "Installing uv …"
	@python3 -m venv .uv
	@.uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.PHONY: lock
lock: $(UV)  ## Resolve requirements.lock anew from pyproject.toml, and benchmarks/peers.lock from peers.in
	$(RESOLVE) --all-extras --group dev --output-file requirements.lock pyproject.toml
	$(RESOLVE) --constraint requirements.lock --output-file benchmarks/peers.lock benchmarks/peers.in

.PHONY: images
images:  ## Build the container images with buildah (docker/README.md)
	@docker/build-images
