# Everything sets itself up: a virtual environment in .venv, Node packages beside package.json.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
VERSION := 0.1.0
WHEEL := dist/parrotlet-$(VERSION)-py3-none-any.whl
VSIX := dist/parrotlet-$(VERSION).vsix
EXTENSION := vscode-extension
SOURCES := $(shell find server tokenizer training -type f -not -path '*/__pycache__/*' -not -name 'kernel-*')

.PHONY: help
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

# Two stages of the same environment: what a user gets, and what a developer adds. Kernels are
# compiled on the way, where there is a C compiler.
KERNELS := $(addprefix server/parrotlet_server/backends/native/,kernel.c processor.c build.py)
.venv/plain: pyproject.toml constraints.txt $(KERNELS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Parrotlet needs Python 3.11 or later: make PYTHON=python3.12")'
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || { echo "no venv module: apt install python3-venv"; rm -rf .venv; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/dev: .venv/plain
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,cluster,dev]'
	touch $@

$(EXTENSION)/node_modules/.ready: $(EXTENSION)/package.json $(EXTENSION)/package-lock.json
	npm --prefix $(EXTENSION) ci --no-audit --no-fund --loglevel=error
	touch $@

.PHONY: setup
setup: .venv/dev $(EXTENSION)/node_modules/.ready ## install all that development needs

.PHONY: run
run: .venv/plain ## complete a real file at several cursors, in the terminal
	@$(BIN)/parrotlet demo

.PHONY: test
test: setup ## all tests of Python and TypeScript
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile
	npm --prefix $(EXTENSION) test

.PHONY: soak
soak: .venv/dev ## a server under load for SECONDS=3600: replies counted, memory watched
	$(BIN)/python -m tests.soak --seconds $(or $(SECONDS),3600) $(ARGS)

# Their own environment: llama.cpp is compiled, which takes some minutes.
PEERS := .cache/peers/bin/python
LLAMA := llama-cpp-python==0.3.36
.cache/peers/llama.cpp:
	$(PEERS) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .cache/peers
	CMAKE_ARGS="-DLLAVA_BUILD=OFF $${CMAKE_ARGS:-}" $(PEERS) -m pip install --quiet --disable-pip-version-check numpy $(LLAMA)
	touch $@

# The package's sources hold the server too, but it installs only the library. Without a page for
# browsers and without TLS nothing is fetched while it is built.
LLAMA_SOURCES := .cache/peers/sources
.cache/peers/bin/llama-server: | .cache/peers/llama.cpp
	command -v cmake >/dev/null || { echo "no cmake: apt install cmake"; exit 1; }
	rm -rf $(LLAMA_SOURCES)
	$(PEERS) -m pip download --quiet --disable-pip-version-check --no-binary :all: --no-deps --dest $(LLAMA_SOURCES) $(LLAMA)
	tar -xzf $(LLAMA_SOURCES)/*.tar.gz -C $(LLAMA_SOURCES) --strip-components 1
	cmake -S $(LLAMA_SOURCES)/vendor/llama.cpp -B $(LLAMA_SOURCES)/build -DCMAKE_BUILD_TYPE=Release \
		-DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF \
		-DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF
	cmake --build $(LLAMA_SOURCES)/build --target llama-server --parallel $${CMAKE_BUILD_PARALLEL_LEVEL:-2}
	mv $(LLAMA_SOURCES)/build/bin/llama-server $@
	rm -rf $(LLAMA_SOURCES)

.cache/peers/engines: .cache/peers/llama.cpp
	$(PEERS) -m pip install --quiet --disable-pip-version-check ctranslate2==4.8.5 openvino==2026.4.1 safetensors==0.8.0
	touch $@

.PHONY: test-peers
test-peers: .venv/dev .cache/peers/llama.cpp .cache/peers/bin/llama-server ## our model in llama.cpp and behind its server, which are compiled for it; not in CI
	$(BIN)/python -m pytest tests/peers

.PHONY: e2e
e2e: setup $(VSIX) ## a real VS Code with the real extension, server and model
	tests/e2e/run.sh $(VSIX)

.PHONY: lint
lint: setup ## formatters, linters and type checkers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	npm --prefix $(EXTENSION) run check
	npm --prefix $(EXTENSION) run lint

.PHONY: format
format: setup ## put every file into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	npm --prefix $(EXTENSION) run format

$(WHEEL): .venv/dev $(SOURCES)
	$(BIN)/python -m build --wheel --outdir dist .

.PHONY: wheel
wheel: $(WHEEL) ## the Python distribution, model inside

$(VSIX): $(WHEEL) constraints.txt $(EXTENSION)/node_modules/.ready $(shell find $(EXTENSION) -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/bundled/*' -not -path '*/out/*')
	npm --prefix $(EXTENSION) run package

.PHONY: vsix
vsix: $(VSIX) ## the VS Code extension, wheel inside

.PHONY: corpus
corpus: .venv/dev ## a corpus of the standard library and all that is installed here
	$(BIN)/parrotlet corpus build --out $(or $(OUT),corpora/installed) --validation-share 0.1 stdlib 'dist:*'

.PHONY: bench-corpus
bench-corpus: .venv/dev ## filters and de-duplication beside CodeParrot's, on CORPUS=folder
	$(BIN)/parrotlet bench corpus $(or $(CORPUS),$(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("stdlib"))'))

.PHONY: bench-train
bench-train: .venv/dev ## this training loop beside CodeParrot's, Trainer and nanoGPT's
	$(BIN)/parrotlet bench train $(ARGS)

.PHONY: bench-engine
bench-engine: .venv/dev .cache/peers/engines ## this engine beside llama.cpp, CTranslate2, OpenVINO and transformers
	$(BIN)/parrotlet bench engine --progress $(ARGS)

.PHONY: evaluate
evaluate: .venv/dev ## all measures of MODEL=folder on HOLDOUT=corpora/holdout; ARGS for tasks
	$(BIN)/parrotlet evaluate all --corpus $(or $(HOLDOUT),corpora/holdout) --out $(or $(OUT),runs/evaluation) $(if $(MODEL),--model $(MODEL)) $(ARGS)

.PHONY: train
train: .venv/dev ## train by RECIPE=name-or-file; run again to resume; ARGS for options
	$(BIN)/parrotlet train $(or $(RECIPE),cpu-9m) $(ARGS)

.PHONY: clean
clean: ## remove what was built, but no corpora and runs
	rm -rf dist build .cache $(EXTENSION)/dist $(EXTENSION)/bundled
