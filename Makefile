# Every target works on a bare machine with Python >= 3.10, make and git. PIP_* settings are honoured.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
COMFY_PYTHON ?= $(BIN)/python

.PHONY: demo test test-all comfy bench proof lint api package clean

demo: $(VENV)/.standalone
	$(BIN)/magplus demo --out demo --overwrite

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not heavy"

test-all: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

# In a real ComfyUI: make comfy COMFYUI_DIR=<checkout> COMFY_PYTHON=<its python, with pytest>; more is told in
# tests/comfy/conftest.py. The node tests run there a second time, on ComfyUI's own API.
comfy: $(VENV)/.comfy
	@test -n "$(COMFYUI_DIR)" || { echo "Set COMFYUI_DIR to a checkout of ComfyUI."; exit 2; }
	OMP_NUM_THREADS=1 $(COMFY_PYTHON) -m pytest tests/nodes -rs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/comfy -rs

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/displacement.py --seeds 1
	$(BIN)/python benchmarks/emoportraits.py
	$(BIN)/python benchmarks/flowmag.py
	$(BIN)/python benchmarks/fomm.py
	$(BIN)/python benchmarks/fsrt.py
	$(BIN)/python benchmarks/lkmag.py
	$(BIN)/python benchmarks/magnification.py --short
	$(BIN)/python benchmarks/metaportrait.py
	$(BIN)/python benchmarks/stabiliser.py

# Goes on where it was stopped: remove the folder to begin anew.
proof: $(VENV)/.standalone
	OMP_NUM_THREADS=2 $(BIN)/magplus proof --out proof

# mypy needs the checkout under its package name, whatever the folder is called.
lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p build/types && ln -sfn ../.. build/types/magplus
	MYPYPATH=build/types $(BIN)/mypy -p magplus.models -p magplus.pipeline -p magplus.nodes

$(VENV)/.standalone: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e ".[standalone]"
	touch $@

$(VENV)/.dev: $(VENV)/.standalone
	$(BIN)/python -m pip install -c constraints.txt -e ".[standalone,dev]"
	touch $@

$(VENV)/.comfy: $(VENV)/.dev
	$(BIN)/python -m pip install playwright
	touch $@

# The templates as a server's /prompt takes them: documentation, and what scripts queue.
api: $(VENV)/.standalone
	rm -f docs/api/*.json
	for file in workflows/*.json; do \
	  $(BIN)/magplus workflow "$$file" --api "docs/api/$${file##*/}" || echo "left out: $$file"; \
	done

# What the registry would build: the committed tree without what .comfyignore names.
package:
	mkdir -p build
	git archive --format=zip --output=build/node.zip HEAD -- . $$(sed -e '/^#/d' -e 's/^/:(exclude)/' .comfyignore)
	@echo "build/node.zip: $$(du -h build/node.zip | cut -f1)"

clean:
	rm -rf build demo proof
