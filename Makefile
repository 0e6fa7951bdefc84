# Every target builds .venv when it is missing or unfinished and reuses it otherwise. `make help` lists them.

PYTHON ?= python3
# Processes of the tests, two more than the cores of a small machine: many tests wait for servers and killed processes.
WORKERS ?= 4
# For the speed benchmarks: a folder of images (synthetic ones where it is empty), and threads.
DATA ?=
THREADS ?= 1
# For the fuzzing; the inputs follow from the seed, which is random unless given.
SECONDS ?= 3600
SEED ?=

VENV := .venv
BIN := $(VENV)/bin
# Written when everything is installed: a .venv without it is incomplete and is built again.
STAMP := $(VENV)/installed
PIP := $(BIN)/python -m pip
IMAGES := $(if $(DATA),--data $(DATA))
# ONNX Runtime for browsers: the page that runs a bundle on the device needs it. The npm package has neither licence nor
# third-party notices: those in VENDOR are from the Python package onnxruntime of the same version; update both together.
ORT_WEB := onnxruntime-web@1.30.0
VENDOR := src/dspkd/deploy/serve/static/vendor
PROJECT := --editable '.[export,serve,tensorboard]' --group dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo docs web test check lint format fuzz bench constraints licences sbom

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP) ## Distil on synthetic lesions, start to end, and write a report into runs/demo
	$(BIN)/dspkd demo --out runs/demo

docs: $(STAMP) ## Build the documentation site, with the command and Python references, into build/site
	rm -rf build/docs && mkdir -p build && cp -r docs build/docs
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -c docs build/docs build/site
	@echo "documentation: build/site/index.html"

web: ## Fetch ONNX Runtime for browsers by npm, verify its checksums, and put it into the web page
	rm -rf build/web && mkdir -p build/web
	cd build/web && npm pack --silent $(ORT_WEB) && tar -xzf onnxruntime-web-*.tgz
	cp $(VENDOR)/SHA256SUMS build/web/package/dist/
	cd build/web/package/dist && sha256sum --check --strict SHA256SUMS
	cp build/web/package/dist/ort-wasm-simd-threaded.wasm $(VENDOR)/
	@# Named .js: many web servers do not know .mjs.
	cp build/web/package/dist/ort.wasm.bundle.min.mjs $(VENDOR)/ort.wasm.bundle.min.js

# A file's tests stay on one worker, which then builds their fixtures (a small trained run, say) once. The files begin in
# the order of tests/conftest.py.
test: $(STAMP) ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

check: lint test ## Everything that a change must pass: format, lint, types, import layers, tests

lint: $(STAMP) ## Static checks: format, lint, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports
	$(BIN)/python .ci/licences.py --check

format: $(STAMP) ## Format the code and fix what the linter can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: $(STAMP) ## Damaged and hostile input of every kind for SECONDS, an hour by default; what fails is kept in build/fuzz
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python -m fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

bench: $(STAMP) ## Measure speed and memory beside torchdistill and torchvision: some 20 minutes on two idle cores
	$(PIP) install --quiet --no-deps torchdistill==1.1.5
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest benchmarks/bench_terms.py --batch 2 --rounds 3 --benchmark-columns=median,iqr
	$(BIN)/python benchmarks/bench_generators.py
	$(BIN)/python benchmarks/bench_loader.py $(IMAGES)
	$(BIN)/python benchmarks/bench_growth.py $(IMAGES)
	$(BIN)/python benchmarks/bench_teacher_cache.py $(IMAGES) --threads $(THREADS)
	$(BIN)/python benchmarks/bench_teacher_cache.py $(IMAGES) --threads $(THREADS) --size 96 --batch 32 --images 96
	$(BIN)/python benchmarks/bench_end_to_end.py $(IMAGES) --threads $(THREADS)

constraints: $(STAMP) build/tools/installed ## Update .venv to the newest versions that pyproject.toml admits, and pin them
	$(PIP) install --upgrade --upgrade-strategy eager pip setuptools $(PROJECT)
	@{ sed -n '/^#/p' constraints.txt; $(PIP) freeze --all --exclude-editable | LC_ALL=C sort --ignore-case; } > constraints.new
	@mv constraints.new constraints.txt
	build/tools/bin/uv --quiet pip compile constraints.txt --generate-hashes --no-deps --no-header --no-annotate \
		--no-emit-index-url --python-version 3.11.7 --output-file build/hashed.txt > build/uv.log
	@{ sed -n '1p' constraints-hashed.txt; cat build/hashed.txt; } > constraints.new
	@mv constraints.new constraints-hashed.txt
	$(BIN)/python .ci/licences.py
	@touch $(STAMP)

licences: $(STAMP) ## List the licences of the pinned packages, and fail where one is not known to be acceptable
	$(BIN)/python .ci/licences.py

# These tools have their own environment: what they need is no part of what they list.
build/tools/installed:
	$(PYTHON) -m venv --clear build/tools
	build/tools/bin/python -m pip install --quiet cyclonedx-bom==7.5.0 uv
	@touch $@

sbom: $(STAMP) build/tools/installed ## Write build/sbom.json, the list of all packages in .venv in the format CycloneDX
	build/tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file build/sbom.json $(VENV)

# An update that fails (no network, say) keeps the old stamp; one that is killed does not.
$(STAMP): pyproject.toml constraints.txt
	@if test -f $(STAMP); then mv $(STAMP) $(VENV)/before; \
	else echo "Building $(VENV); torch needs some 2.7 GB"; $(PYTHON) -m venv --clear $(VENV); fi
	$(PIP) install --quiet --constraint constraints.txt --upgrade pip setuptools && \
	$(PIP) install --quiet --constraint constraints.txt $(PROJECT) || \
	{ test ! -f $(VENV)/before || mv $(VENV)/before $(STAMP); exit 1; }
	@rm -f $(VENV)/before
	@touch $(STAMP)
