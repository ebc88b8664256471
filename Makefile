# One virtual environment, .venv, with the versions of constraints.txt. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PINS := pyproject.toml constraints.txt
comma := ,
KERNELS := setup.py $(wildcard model/kernels/*.[ch])

# What the service computes on: cuda where a driver answers, cpu elsewhere. CUDA needs torch, which is
# gigabytes; a CPU does without.
ifndef DEVICE
DEVICE := $(shell nvidia-smi --list-gpus 2>/dev/null | grep -q GPU && echo cuda || echo cpu)
endif
EXTRAS := service$(comma)client$(comma)raw$(if $(filter cuda,$(DEVICE)),$(comma)cuda)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE ?= expofuse:$(VERSION)$(if $(filter cpu,$(DEVICE)),-cpu)

# Tests run in this many processes. A file stays in one of them, for the sake of its fixtures; in the
# order of the command the run ends on short doctests, so that no process waits long for the other.
WORKERS ?= 2
PARALLEL := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# `gpu-check` installs nothing: a machine that is lent may reach no registry.
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))

# Installed extras, as stamps: `serve` needs less than `test`, whose packages hold those of `serve`.
SERVICE := $(VENV)/.installed-service-$(DEVICE)
DEV := $(VENV)/.installed-dev
# Most modules of these packages are never imported, and the others compile as they first are.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help venv venv-dev serve test test-slow test-all coverage bench bench-quick gpu-check lint docs format constraints openapi dashboard manifests lock licences set-version release-check image clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

venv: $(SERVICE)  ## .venv with the pinned dependencies of the service

venv-dev: $(DEV)  ## the same, with those of the trainer and the tests

serve: $(SERVICE)  ## the service on 127.0.0.1:8000; DEVICE=cuda or cpu instead of what is found
	EXPOFUSE_DEVICE=$${EXPOFUSE_DEVICE:-$(DEVICE)} $(BIN)/expofuse serve

test: $(DEV)  ## every test that takes seconds, and the doctests
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL) --doctest-modules tests deploy expofuse model service trainer

test-slow: $(DEV)  ## those that take longer (as root, with docker.io, buildah and mmdebstrap: the image too)
	$(BIN)/python -m pytest -m slow $(PARALLEL) tests

test-all: $(DEV)  ## both in one run, shorter than one after the other
	$(BIN)/python -m pytest $(PARALLEL) --doctest-modules tests deploy expofuse model service trainer

gpu-check:  ## on a machine with a GPU: the tests that need one, then its measurements, in minutes
	$(GPU_PYTHON) -m bench.gpu_check

coverage: $(DEV)  ## branch coverage of model and service, subprocesses included
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL) --cov --cov-report=term-missing:skip-covered tests

bench: $(DEV)  ## time and memory of everything beside its peers, to bench/results (an hour, on a quiet machine)
	$(BIN)/python -m bench

bench-quick: $(DEV)  ## small versions of the same, to bench/results/quick (two minutes)
	$(BIN)/python -m bench --quick

lint: $(DEV)  ## format, lint, types, import contracts, Dockerfile
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile deploy/trainer.Dockerfile

docs: $(DEV)  ## the documents as a site that needs no network, to site/index.html; a broken link fails
	$(BIN)/python -m docs.write_reference
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --builder html docs site

format: $(DEV)  ## put the code into the house's form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# To move a version: change pyproject.toml, `pip install --upgrade` it into .venv, `make constraints`, `make test`.
constraints:  ## write what .venv has installed to constraints.txt
	{ echo '# Versions of every extra, from `make constraints`. torch is pinned without its build:'; \
	  echo '# the index that pip uses decides between the CPU and the CUDA build of that version.'; \
	  $(BIN)/python -m pip freeze --all --exclude-editable --exclude expofuse \
	    | sed -E 's/^(torch==[0-9.]+)\+.*/\1/; /^(nvidia-(nvimgcodec|nvjpeg|cuda-nvrtc)|cuda-(bindings|pathfinder))/b; /^(nvidia-|cuda-|triton==|pip==|wheel==)/d'; } > constraints.txt.new
	mv constraints.txt.new constraints.txt

manifests: $(DEV)  ## write k8s/components/monitoring and the Helm chart from their sources, with kubectl
	$(BIN)/python -m deploy.write_monitoring
	$(BIN)/python -m deploy.chart

lock: $(DEV)  ## write requirements-*.lock, with the hashes of what the images install
	$(BIN)/python -m deploy.release.lock

licences: $(DEV)  ## write docs/licences.md; one that is not allowed fails
	$(BIN)/python -m deploy.release.licences

set-version: $(DEV)  ## give the project and its images another version: make set-version TO=1.1.0
	$(BIN)/python -m deploy.release.version $(TO)
	$(MAKE) manifests openapi

release-check: $(DEV)  ## what a release must pass beside the tests
	$(BIN)/python -m deploy.release.check

openapi: $(DEV)  ## write the description of the API to docs/openapi.json
	$(BIN)/python -m service.http.openapi > docs/openapi.json.new
	mv docs/openapi.json.new docs/openapi.json

dashboard: $(DEV)  ## write the dashboard of Grafana to deploy/grafana/dashboards
	$(BIN)/python -m deploy.grafana.dashboard

image:  ## the container image, with docker; DEVICE=cuda or cpu
	docker build --build-arg DEVICE=$(DEVICE) --build-arg REVISION=$$(git rev-parse HEAD) \
	  --build-arg CREATED=$$(git log -1 --format=%cI) --tag $(IMAGE) .

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage htmlcov site build dist *.egg-info

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null \
	  || { echo "$(PYTHON) not found: expofuse needs Python 3.11 or newer (make PYTHON=...)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
	  "expofuse needs Python 3.11 or newer; $(PYTHON) is %d.%d (make PYTHON=...)" % v[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' \
	  || { echo "$(PYTHON) has no venv module (Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(if $(filter cpu cuda,$(DEVICE)),,$(error expected DEVICE=cpu or DEVICE=cuda, got '$(DEVICE)'))

$(SERVICE): $(PINS) $(KERNELS) | $(BIN)/python
	@echo 'installing the service for: $(DEVICE) ($(if $(filter cuda,$(DEVICE)),minutes the first time: PyTorch is large,a minute or two the first time))'
	$(INSTALL) --editable '.[$(EXTRAS)]'
	touch $@

$(DEV): $(PINS) $(KERNELS) | $(BIN)/python
	$(INSTALL) --editable '.[$(EXTRAS),heic,jxl,nvimagecodec,otel,ray,trainer,docs,dev]'
	touch $(SERVICE) $@
