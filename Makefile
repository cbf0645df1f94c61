# Aliases of the command `vision` (`cli/`), each in an environment that is installed first.
PYTHON ?= python3
VENVS ?= .venv
# Another wheel index for torch; CPU=1 is PyTorch's own of CPU builds, as in Dockerfile.predictor.
TORCH_INDEX ?= $(if $(CPU),https://download.pytorch.org/whl/cpu)
PORT ?= 8080
MODEL ?= mnist
SEEDS ?= 0
OVERLAY ?= minikube
PROFILE ?= vision
NAMESPACE ?= vision
TRAFFIC ?= 10
STEPS ?= 1
PEERS = kserve fastapi litserve bentoml mlserver torchserve
export VENVS

# $(call vision,ENVIRONMENT,more environments): its command, once they are there
installed = command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.10 or newer, or say PYTHON=…"; exit 1; }; \
  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed; $(PYTHON) is $$($(PYTHON) -V)"; exit 1; }; \
  $(PYTHON) -m cli.install --venvs $(VENVS) $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX)) $(1)
vision = $(call installed,$(1) $(2)) && exec $(VENVS)/$(1)/bin/python -m cli
python = $(call installed,$(1) $(2)) && $(VENVS)/$(1)/bin/python -m
# $(call option,name,value): an option where there is a value
option = $(if $(2),--$(1) '$(2)')
named = $(call option,repository,$(IMAGE_REPOSITORY)) $(call option,tag,$(TAG))
where = $(call option,namespace,$(NAMESPACE)) $(call option,service,$(SERVICE)) $(ARGS)
why = $(call option,why,$(WHY))
written = $(call option,overlay,manifests/overlays/$(OVERLAY)) $(why)
test_environments = predictor transformer edge
QUICK = not (cluster or slow or needs_browser or needs_data or needs_environments or needs_envoy or needs_helm or needs_kubectl or needs_mariadb or needs_pebble or needs_prometheus)

.DEFAULT_GOAL := help
.PHONY: help run import up monitor monitor-manifests predict evaluate train test test-quick test-kills test-hostile fuzz test-cluster bench lint lock clean \
  cluster cluster-delete platform cluster-tls lock-platform images render deploy undeploy predict-cluster expose overlay pack cards roles \
  registry data watch feedback lifecycle backup restore drill experiment canary status promote rollback history rollout

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run:  ## start MODELS="name name=revision …", or the manifest's, on localhost:$PORT; CPU=1, SERVICE=…, REVISIONS="name=1 …"
	@$(call vision,transformer,predictor) serve --port $(PORT) $(call option,models,$(MODEL_ROOT)) $(call option,service,$(SERVICE)) $(foreach m,$(REVISIONS),--model $(m)) $(MODELS)

import:  ## a revision of NAME from SOURCE (weights, program, folder, torchvision:…), with ARGS='--labels …'
	@$(call vision,training) import $(call option,models,$(MODEL_ROOT)) '$(NAME)' '$(SOURCE)' $(ARGS)

up:  ## start models, accounts, page and edge on localhost:$PORT; TLS=1: https on TLS_PORT=8443; TRIES=0
	@$(call vision,accounts,edge predictor transformer) up --port $(PORT) $(if $(TLS),--tls) $(call option,tls-port,$(TLS_PORT)) $(call option,tries,$(TRIES)) $(ARGS)

monitor:  ## Prometheus, Alertmanager and panels of what runs on localhost:$PORT, on MONITOR_PORT=9090
	@$(call vision,transformer) monitor up --transformer localhost:$(PORT) $(call option,port,$(MONITOR_PORT)) $(ARGS)

monitor-manifests:  ## write component monitoring's rules and dashboards anew from monitoring/
	@$(call vision,transformer) monitor manifests

experiment:  ## A/B/n and shadows: ARGS='start NAME --model … --variant …', status, shares, stop, list
	@$(call vision,accounts) experiment $(ARGS)

predict:  ## classify IMAGE=path with MODEL=name, as a table
	@$(call vision,transformer) predict --port $(PORT) --model $(MODEL) '$(IMAGE)'

evaluate:  ## the test set of MODEL over HTTP
	@$(call vision,training,predictor transformer) evaluate --model $(MODEL) $(call option,revision,$(REVISION)) $(call option,url,$(URL)) $(call option,data,$(DATA))

train:  ## train PRESET (or MODEL) with SEEDS and write a revision
	@$(call vision,training) train --preset $(or $(PRESET),$(MODEL)) --seeds $(SEEDS) $(ARGS)

test:  ## all tests that need no cluster
	@mkdir -p build; $(call python,training,$(test_environments)) pytest --cov --cov-report= $(ARGS); status=$$?; \
	  $(VENVS)/training/bin/python .ci/coverage_by_folder.py; exit $$status

test-quick:  ## what needs no program, no data and no second: under a minute
	@$(call python,training) pytest -m '$(QUICK)' $(ARGS)

test-kills:  ## kill every process 20 times: bills agree, runs from data to revisions end in one of two states
	@export KILLS=20; $(call python,training,$(test_environments)) pytest tests/edge/test_kill.py tests/lifecycle/test_kill.py

test-hostile:  ## HOSTILE=100000 hostile requests, and what a neighbour of their sender notices
	@export HOSTILE=$(or $(HOSTILE),100000); $(call python,training,$(test_environments)) pytest tests/hostile

fuzz:  ## the reader of bytes FUZZ=json for SECONDS (600), by atheris
	@$(call installed,training) && { $(VENVS)/training/bin/python -c 'import atheris' 2>/dev/null || $(VENVS)/training/bin/python -m pip install -q atheris; } \
	  && $(VENVS)/training/bin/python -m tests.fuzz $(or $(FUZZ),json) --seconds $(or $(SECONDS),600)

test-cluster:  ## all of a rollout on the cluster of KUBECONFIG, in a namespace of its own; CYCLES=50
	@if [ -z "$$KUBECONFIG" ]; then echo "test-cluster: skipped: KUBECONFIG names no cluster"; else \
	  $(call python,training) pytest tests/on_cluster -m cluster $(ARGS); fi

bench:  ## the service beside its peers; ARGS=--quick; NETWORKS="resnet50 mobilenet_v3_large vit_b_16": photographs
	@$(call installed,--optional $(PEERS:%=bench-%) bench-profile); \
	  $(call python,training,predictor transformer accounts edge) benchmarks$(if $(NETWORKS),.photographs $(NETWORKS)) $(ARGS)

lint:  ## ruff, mypy, imports between folders, spelling, known faults of dependencies; AUDIT=--required
	@$(call installed,training)
	@$(VENVS)/training/bin/ruff check .
	@$(VENVS)/training/bin/ruff format --check .
	@$(VENVS)/training/bin/mypy
	@$(VENVS)/training/bin/lint-imports --no-logo
	@$(VENVS)/training/bin/codespell
	@$(VENVS)/training/bin/python .ci/audit.py $(AUDIT) requirements/*.txt

# The environments' locks, from the extras of pyproject.toml. edge is one wheel; the other files
# of requirements/ are pinned by hand.
PIN = uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header
lock:  ## pin all dependencies anew (needs uv)
	@set -e; pin() { file=$$1; shift; $(PIN) pyproject.toml $$(printf -- '--extra %s ' "$$@") -o requirements/$$file.txt; }; \
	  pin transformer transformer; pin predictor predictor; pin accounts accounts; pin edge edge; \
	  pin rollout transformer rollout registry; pin lifecycle transformer predictor rollout registry lifecycle; pin disaster disaster; pin mirror mirror; pin training transformer predictor openvino accounts train registry test lint
	@$(PIN) pyproject.toml --extra openvino --constraint requirements/predictor.txt -o requirements/predictor-openvino.txt
	@set -e; for name in $(PEERS) profile; do \
	  $(PIN) benchmarks/requirements/$$name.in -o benchmarks/requirements/$$name.txt; done

clean:  ## remove the environments and caches
	rm -rf $(VENVS) build .mypy_cache .ruff_cache .pytest_cache .hypothesis

cluster:  ## minikube PROFILE with Knative and KServe; CPUS=2, MEMORY=…, DRIVER=…
	@$(call vision,transformer) cluster create --profile $(PROFILE) $(call option,cpus,$(CPUS)) $(call option,memory,$(MEMORY)) $(call option,driver,$(DRIVER))

cluster-delete:  ## the minikube PROFILE, with everything in it
	@$(call vision,transformer) cluster delete --profile $(PROFILE)

platform:  ## cert-manager, Knative, Kourier and KServe in the cluster of KUBECONFIG
	@$(call vision,transformer) cluster platform

cluster-tls:  ## certificates by ISSUER=local (http-01, dns-01), and TLS between Knative's parts
	@$(call vision,transformer) cluster tls $(call option,issuer,$(ISSUER))

lock-platform:  ## pin the manifests that `make cluster` applies by their sha256, in cluster/platform.lock
	@$(call vision,transformer) lock-platform

images:  ## build all or COMPONENTS="lifecycle …", load them into minikube; BUILDER=…, TAG=…, IMAGE_REPOSITORY=…, BUILD_ARGS=…
	@$(call vision,transformer) images --profile $(PROFILE) $(named) $(call option,builder,$(BUILDER)) \
	  $(call option,torch-index,$(TORCH_INDEX)) --arguments '$(BUILD_ARGS)' $(if $(COMPONENTS),--component $(COMPONENTS))

render:  ## write build/OVERLAY.yaml
	@$(call vision,transformer) render --overlay $(OVERLAY) $(named)

deploy:  ## apply OVERLAY, wait for a right answer; FORCE=1 undoes promotions, GATEWAY=http://…
	@$(call vision,transformer) deploy --overlay $(OVERLAY) $(named) $(call option,gateway,$(GATEWAY)) $(if $(FORCE),--force)

undeploy:  ## take OVERLAY away, its namespace included
	@$(call vision,transformer) undeploy --overlay $(OVERLAY)

predict-cluster:  ## URL, host, curl and its answer for MODEL and IMAGE; GATEWAY=http://…, KEY=…
	@$(call vision,transformer) predict-cluster --model $(MODEL) $(call option,image,$(IMAGE)) $(call option,gateway,$(GATEWAY)) $(call option,key,$(KEY))

expose:  ## a public address of the cluster's edge, or of TO=http://localhost:8080, by a tunnel (BY=cloudflared, ngrok, inlets-pro)
	@$(call vision,transformer) expose $(call option,to,$(TO)) $(call option,by,$(BY)) --model $(MODEL)

chart:  ## write charts/vision's templates anew from the manifests
	@$(call vision,transformer) cluster chart

overlay:  ## write the overlay NAME with MODELS="flowers mnist=1", else as OVERLAY; one pod each from STORAGE=s3://…
	@$(call vision,transformer) overlay --base $(OVERLAY) $(call option,models,$(MODEL_ROOT)) $(call option,storage,$(STORAGE)) '$(NAME)' $(MODELS)

pack:  ## an OCI image of REVISION of MODEL, for storageUri: oci://…; BASE=busybox.tar
	@$(call vision,transformer) pack '$(or $(MODEL_ROOT),models)/$(MODEL)/$(REVISION)' $(call option,base,$(BASE))

cards:  ## component `cards` from the revisions in MODEL_ROOT
	@$(call vision,transformer) cards $(call option,models,$(MODEL_ROOT))

roles:  ## who may do what; ARGS=--write: component `roles` from it; ARGS=--check: compare with the cluster
	@$(call vision,transformer) roles $(ARGS)

registry:  ## revisions in object storage; ARGS="publish mnist/1", list, history, pull …
	@$(call vision,rollout) registry $(ARGS)

data:  ## data sets in the registry; ARGS="add clothes folder", list, show, verify, report, pull
	@$(call vision,training) data $(ARGS)

watch:  ## better revisions of what arrives in INBOX/<model>/ (inbox); ARGS=--once
	@$(call vision,training) watch $(call option,folder,$(INBOX)) $(call option,models,$(MODEL_ROOT)) $(ARGS)

feedback:  ## what customers say was wrong, as a part for the inbox; ARGS=--help
	@$(call vision,training) feedback $(ARGS)

lifecycle:  ## runs from data to revisions; ARGS="list", show, approve, reject, start MODEL --because drift
	@$(call vision,rollout) lifecycle $(ARGS)

backup:  ## registry, accounts and NAMESPACE's objects to VISION_BACKUPS; ARGS=list, ARGS=verify, ARGS="key FILE"
	@$(call vision,disaster) backup $(call option,namespace,$(NAMESPACE)) $(ARGS)

restore:  ## the newest backup, or BACKUP=id, where nothing is
	@$(call vision,disaster) restore $(call option,namespace,$(NAMESPACE)) $(BACKUP) $(ARGS)

drill:  ## destroy, restore and compare on this machine: RPO and RTO; ARGS=--all
	@$(call vision,training,transformer predictor) drill $(ARGS)

canary:  ## give REVISION of MODEL its TRAFFIC (10) per cent; IMAGE=…, ARGS=--dry-run
	@$(call vision,rollout) canary $(MODEL) $(REVISION) --traffic $(TRAFFIC) $(call option,image,$(IMAGE)) $(why) $(where)

status:  ## who is stable, who is latest, who gets what
	@$(call vision,rollout) status $(where)

promote:  ## give the canary everything, and write OVERLAY's revision file
	@$(call vision,rollout) promote $(written) $(where)

rollback:  ## take the canary back, or go STEPS (1) down the history
	@$(call vision,rollout) rollback --steps $(STEPS) $(written) $(where)

history:  ## what was rolled out, when, by whom and why
	@$(call vision,rollout) history $(where)

rollout:  ## REVISION of MODEL step by step, on evidence, or refused; GATEWAY=http://…
	@$(call vision,rollout) rollout $(MODEL) $(REVISION) $(call option,data,$(DATA)) $(call option,gateway,$(GATEWAY)) $(call option,image,$(IMAGE)) $(written) $(where)
