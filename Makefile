# What can be done here. `make` alone lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROOMS := contract runtime clouds services/exporter services/importer services/transfer services/coordinator services/gateway services/bridge cli client sandbox
export STACKFERRY_SANDBOX ?= $(CURDIR)/.sandbox
SEED ?= 1
JOBS ?= 2
PYTHONS ?= python3.12 python3.13

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: system
system: ## Install the system packages that are missing (as root), or say which
	@deploy/system-packages

$(VENV)/.installed: constraints.txt $(ROOMS:%=%/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation $(ROOMS:%=-e %)
	@touch $@

.PHONY: install
install: system $(VENV)/.installed ## Set up everything: system packages, virtual environment

.PHONY: lint
lint: $(VENV)/.installed ## Format check, ruff, mypy, borders between the rooms, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

.PHONY: format
format: $(VENV)/.installed ## Format the code and sort the imports
	$(BIN)/ruff check --fix-only --quiet . || true
	$(BIN)/ruff format .

.PHONY: sandbox
sandbox: $(VENV)/.installed ## Install the sandbox clouds' own environment (a test's time is not for that)
	$(BIN)/stackferry-sandbox install

.PHONY: test
test: install lint sandbox ## Everything that must be green, against a real broker and two real clouds
	@deploy/system-packages data-plane
	@deploy/system-packages browser
	@deploy/system-packages targets
	$(BIN)/python -m pytest -n $(JOBS) -m "not chaos and not guest and not tenants and not scoreboard" $(ARGS)

.PHONY: unit
unit: $(VENV)/.installed ## What needs no broker, cloud or disk, in a minute; thorough tests are left to `make test`
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not thorough" tests/unit tests/contract $(ARGS)

.PHONY: pictures
pictures: install sandbox ## Take the pictures of the page anew, from the browser tests (docs/pictures)
	@deploy/system-packages browser
	@folder=$$(mktemp -d) && \
	STACKFERRY_PICTURES=$$folder $(BIN)/python -m pytest -q tests/clouds/test_page.py -k report && \
	cp $$folder/servers-wide.png docs/pictures/migration.png && cp $$folder/now-wide.png docs/pictures/now.png; rm -r $$folder

.PHONY: chaos
chaos: install ## Kill things while they work (SEED; SIZE: stacks, servers; KILLS while servers cross)
	SEED=$(SEED) SIZE=$(SIZE) KILLS=$(KILLS) $(BIN)/python -m pytest -m chaos $(ARGS)

.PHONY: tenants
tenants: install sandbox ## Move random tenants and judge what arrives (SEED: the first; N: how many)
	SEED=$(SEED) N=$(N) $(BIN)/python -m pytest -m tenants $(ARGS)

.PHONY: scoreboard
scoreboard: install sandbox ## Break everything, and count what comes of it (SEED, SCALE: 1 takes hours; ROWS=r1 or r3)
	@deploy/system-packages data-plane
	@deploy/system-packages scoreboard
	SEED=$(SEED) SCALE=$(SCALE) $(BIN)/python -m pytest -m scoreboard tests/scoreboard $(if $(ROWS),-k "$(ROWS)") $(ARGS)

.PHONY: pythons
pythons: system ## What needs no cloud, on each other Python that is found (PYTHONS)
	@for python in $(PYTHONS); do \
	  command -v $$python > /dev/null || { echo "$$python: not found"; continue; }; \
	  $(MAKE) -s PYTHON=$$python VENV=.pythons/$$(basename $$python) others || exit 1; \
	done

.PHONY: others
others: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not clouds and not chaos and not guest and not tenants and not scoreboard" tests $(ARGS)

.PHONY: mutants
mutants: $(VENV)/.installed .tools/.installed ## Change the code in N small ways, drawn by SEED; do tests notice? (N=100 takes 1½ hours)
	N=$(N) SEED=$(SEED) WHERE=$(WHERE) $(BIN)/python -m tests.mutants

.tools/.installed:
	$(PYTHON) -m venv .tools
	.tools/bin/pip install -q --disable-pip-version-check pip-audit==2.10.1 cyclonedx-bom==7.5.0 cosmic-ray==8.7.0
	@touch $@

.PHONY: audit
audit: .tools/.installed ## Ask PyPI whether a weakness of a dependency is known (pip-audit)
	.tools/bin/pip-audit --require-hashes --disable-pip -r constraints.txt

.PHONY: sbom
sbom: .tools/.installed install ## What is in it: a bill of materials in CycloneDX, sbom.json
	.tools/bin/cyclonedx-py environment --output-reproducible --of JSON -o sbom.json $(VENV)

.PHONY: test-guest
test-guest: install ## Conversion hosts and servers as real guests under QEMU (needs root; minutes long)
	@deploy/system-packages guests
	$(BIN)/python -m pytest -m guest $(ARGS)

.PHONY: fresh
fresh: ## The README's `make demo` and `make test` in a plain Debian 12 that has nothing of ours (as root; TARGETS=demo)
	@deploy/fresh $(TARGETS)

.PHONY: site
site: $(VENV)/.installed ## The documentation as a site, in build/site
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/site
	@echo "open build/site/index.html"

.PHONY: demo
demo: install ## Move a tenant between two real clouds on this machine
	$(BIN)/python deploy/demo.py

.PHONY: benchmark
benchmark: install ## Measure the control plane against a bare openstacksdk loop
	$(BIN)/python benchmarks/control_plane.py $(ARGS)

.PHONY: benchmark-coordinator
benchmark-coordinator: install ## Measure the coordinator with 1,000 and 10,000 servers on 16 hosts
	$(BIN)/python benchmarks/coordinator.py $(ARGS)

.PHONY: benchmark-servers
benchmark-servers: install sandbox ## Count the API calls of 60 servers and what is around them
	$(BIN)/python benchmarks/servers.py $(ARGS)

.PHONY: benchmark-gateway
benchmark-gateway: install ## Measure the gateway with 200 listeners, and 1,000 migrations
	$(BIN)/python benchmarks/gateway.py $(ARGS)

.PHONY: benchmark-bridge
benchmark-bridge: install ## Measure how many events a second the bridge carries to a file, NATS and MQTT
	deploy/system-packages targets
	$(BIN)/python benchmarks/bridge.py $(ARGS)

.PHONY: benchmark-data
benchmark-data: install ## Measure volume copies against OS Migrate's nbdkit, ssh and qemu-img, and dd (as root)
	deploy/system-packages data-plane
	$(BIN)/python benchmarks/data_plane.py $(ARGS)

.PHONY: docs
docs: $(VENV)/.installed ## Generate the generated documents
	$(BIN)/python docs/generate.py

.PHONY: constraints
constraints: ## Resolve all dependencies anew into constraints.txt (needs uv)
	uv export -q --all-packages --all-extras --all-groups --no-emit-workspace --no-header --no-annotate -o constraints.txt

.PHONY: clean
clean: ## Stop the sandbox of this folder, and delete what was built
	-for state in .sandbox .sandbox/gw*/; do test ! -x $(BIN)/stackferry-sandbox -o ! -d $$state || $(BIN)/stackferry-sandbox --state $$state destroy src dst; done
	rm -rf $(VENV) .sandbox .stackferry .pytest_cache .mypy_cache .ruff_cache .hypothesis
