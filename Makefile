PYTHON ?= python3
PORT ?= 8080
VENVS ?= .venv
PIP = pip --disable-pip-version-check --no-input install -qq
# Another wheel index for torch, such as PyTorch's own for CPU builds; see Dockerfile.predictor.
TORCH_INDEX ?=
TORCH_OPTION = $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
SEEDS ?= 0
MODEL ?= mnist
export VENVS

.DEFAULT_GOAL := help
.PHONY: help run predict evaluate train test lint lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENVS)/predictor.done $(VENVS)/transformer.done  ## start the service on localhost:$PORT
	@$(VENVS)/transformer/bin/python -m local --port $(PORT) $(foreach m,$(REVISIONS),--model $(m))

predict: $(VENVS)/transformer.done  ## classify IMAGE=path with MODEL=name as a table
	@$(VENVS)/transformer/bin/python -m client.predict --port $(PORT) --model $(MODEL) $(IMAGE)

evaluate: $(VENVS)/training.done $(VENVS)/predictor.done $(VENVS)/transformer.done  ## the test set of MODEL over HTTP
	@$(VENVS)/training/bin/python -m training.evaluate_service --model $(MODEL) $(if $(REVISION),--revision $(REVISION)) $(if $(URL),--url $(URL))

train: $(VENVS)/training.done  ## train PRESET (or MODEL) with SEEDS and write a revision
	@$(VENVS)/training/bin/python -m training --preset $(or $(PRESET),$(MODEL)) --seeds $(SEEDS) $(ARGS)

test: $(VENVS)/training.done $(VENVS)/predictor.done $(VENVS)/transformer.done  ## all tests that need no cluster
	@$(VENVS)/training/bin/python -m pytest $(ARGS)

lint: $(VENVS)/training.done  ## ruff and mypy
	@$(VENVS)/training/bin/ruff check .
	@$(VENVS)/training/bin/ruff format --check .
	@$(VENVS)/training/bin/mypy

lock:  ## pin requirements/*.in anew (needs uv)
	@for name in transformer predictor training; do \
	  uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header \
	    requirements/$$name.in -o requirements/$$name.txt; done

clean:  ## remove the environments and caches
	rm -rf $(VENVS) build .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENVS)/transformer.done: requirements/transformer.txt
	@$(call environment,transformer)
	@touch $@

$(VENVS)/predictor.done: requirements/predictor.txt requirements/predictor-torch.txt
	@$(call environment,predictor)
	@$(VENVS)/predictor/bin/$(PIP) $(TORCH_OPTION) -r requirements/predictor-torch.txt
	@touch $@

$(VENVS)/training.done: requirements/training.txt requirements/training-torch.txt
	@$(call environment,training)
	@$(VENVS)/training/bin/$(PIP) $(TORCH_OPTION) -r requirements/predictor-torch.txt
	@$(VENVS)/training/bin/$(PIP) --no-deps $(TORCH_OPTION) -r requirements/training-torch.txt
	@touch $@

define environment
command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.10 or newer, or say PYTHON=…"; exit 1; }; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed; $(PYTHON) is $$($(PYTHON) -V)"; exit 1; }; \
echo "installing $(VENVS)/$(1)"; \
rm -rf $(VENVS)/$(1) && $(PYTHON) -m venv $(VENVS)/$(1) || { echo "cannot make a virtual environment (on Debian: apt install python3-venv)"; exit 1; }; \
$(VENVS)/$(1)/bin/$(PIP) --require-hashes -r requirements/$(1).txt
endef
