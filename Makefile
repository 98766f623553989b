# make run: the demo. make test: the tests. Both set up .venv from the lock files first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint format audit contract lock clean

run: .venv/.run
	@$(BIN)/python run.py --demo

test: .venv/.dev
	$(BIN)/python -m pytest

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/prose.py *.md docs

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Does anybody know a hole in a locked package? pip-audit lives apart: nothing else needs its thirty.
AUDIT := pip-audit==2.10.1
audit:
	@$(PYTHON) -m venv build/audit
	@: >build/audit.json
	@build/audit/bin/python -m pip install --quiet --disable-pip-version-check '$(AUDIT)' && \
		build/audit/bin/pip-audit --no-deps --disable-pip --progress-spinner off --format json \
		-r requirements.lock -r requirements-dev.lock >build/audit.json 2>build/audit.log || true
	@$(PYTHON) .ci/audit.py build/audit.json

# For a viewer: each of the two documents as one file, with the schemas they share in it.
contract: .venv/.dev
	mkdir -p build
	for each in asyncapi openapi; do \
		$(BIN)/python tests/contract.py docs/$$each.yaml >build/$$each.yaml; done

.venv/.run: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "trainhub needs Python 3.11 or newer: make PYTHON=python3.11 …"; exit 2; }
	@$(PYTHON) -m venv .venv || { \
		echo "Python has no venv: apt install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@

.venv/.dev: .venv/.run requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@

# Pins anew what setup.cfg allows; run it with the oldest Python that is supported.
# Pins only: where this machine has its packages from stands in neither file.
LOCK := pip-compile --quiet --strip-extras --no-header --no-annotate --allow-unsafe --upgrade
lock: .venv/.dev
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/$(LOCK) --extra embedded -o requirements.lock setup.cfg
	$(BIN)/$(LOCK) -o requirements-dev.lock --extra embedded --extra dev \
		-c requirements.lock setup.cfg
	sed -i '/^--/d; /^$$/d' requirements.lock requirements-dev.lock

clean:
	rm -rf build *.egg-info clients/python/build clients/python/*.egg-info .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
