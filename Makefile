# make run: the demo. make test: the tests. Both set up .venv from the lock files first.
# The tests have three lanes: make quick in a minute, make test before a change lands, make soak
# at night. Most of them wait for a process: six workers keep two cores busy.
PYTHON ?= python3
BIN := .venv/bin
# The tests start some thousand processes: without its bytecode each of them compiles trainhub.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run quick slow test soak bench bench-quick peers coverage lint pictures format audit contract lock clean

run: .venv/.run
	@$(BIN)/python run.py --demo

WORKERS ?= 6
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

quick: .venv/.dev
	$(PYTEST) -m "not slow and not soak"

slow: .venv/.dev
	$(PYTEST) -m "slow and not soak"

test: .venv/.dev
	$(PYTEST) -m "not soak"

# How much each test that is marked as `sized` does here; its file says what is counted.
SOAK := MAIL_KILLS=50 KILL_CYCLES=500 AUDIT_KILLS=25 POWER_CUTS=20 MONGOD_KILLS=20 FAILOVERS=10 STOPS=30 \
	AWAY_SECONDS=60 AWAY_COMMANDS=100000 REFUSED_COMMANDS=5000 POISON_COMMANDS=2000 \
	CHURN_SECONDS=60 HALF_OPEN=10000 LISTENERS=1000 CYCLES=50000 FLIPS=10000 CUT_STEP=1 \
	FUZZ_FRAMES=1000000 FUZZ_REQUESTS=100000 FUZZ_SOCKETS=20000 AUTOBAHN=all \
	JOURNEYS=3000 CONVERSATIONS=3000 RANDOM=1
soak: .venv/.dev
	env $(SOAK) $(PYTEST) -m "soak or sized"

# What sockets and broadcasts cost. The benches print times, and fail only if an event is missing.
# Those with WRITE=--write replace their part of docs/evidence/performance.md.
WRITE ?=
bench: .venv/.dev
	$(BIN)/python bench/publish.py $(WRITE)
	$(BIN)/python bench/fanout.py
	$(BIN)/python bench/fanout.py --arrival
	$(BIN)/python bench/growth.py
	$(BIN)/python bench/latency.py
	$(BIN)/python bench/idle_sockets.py
	$(BIN)/python bench/reconnect_storm.py
	$(BIN)/python bench/durable_commands.py
	$(BIN)/python bench/journal.py
	$(BIN)/python bench/control_room.py

# A small size, for CI: each socket gets each event exactly once, also those that it missed.
bench-quick: .venv/.dev
	$(BIN)/python bench/publish.py --sockets 400 --rounds 1 --events 20 --commands 50 --peers off
	$(BIN)/python bench/reconnect_storm.py --sockets 400 --rounds 1
	$(BIN)/python bench/idle_sockets.py --sockets 400 --rounds 1 --idle 1
	$(BIN)/python bench/latency.py --rooms 2 --rounds 1 --rate 20 --seconds 2

# What make bench compares the hub with, apart from it. Peers that are not installed are left out.
PEERS := build/peers
peers:
	@mkdir -p $(PEERS)
	cp bench/peers/package.json $(PEERS)
	cd $(PEERS) && npm install --no-audit --no-fund && node node_modules/bun/install.js
	$(PYTHON) -m venv $(PEERS)/venv
	$(PEERS)/venv/bin/python -m pip install --quiet -r bench/peers/requirements.txt

# The floor under what the quick tests reach; a hub that a test starts as a process does not count.
coverage: .venv/.dev
	$(PYTEST) -m "not slow and not soak" --cov --cov-report=
	$(BIN)/coverage report --skip-covered --fail-under=95

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/prose.py *.md docs
	$(BIN)/python tools/prose.py --code trainhub clients/python static contract examples bench tests run.py .ci

# Each page at three widths, in build/pictures/, to be looked at; and the pictures of the docs.
pictures: .venv/.dev
	$(BIN)/python tools/pictures.py

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Asks whether a vulnerability is known in a locked package. pip-audit and its thirty packages live apart.
AUDIT := pip-audit==2.10.1
audit:
	@$(PYTHON) -m venv build/audit
	@: >build/audit.json
	@build/audit/bin/python -m pip install --quiet --disable-pip-version-check '$(AUDIT)' && \
		build/audit/bin/pip-audit --no-deps --disable-pip --progress-spinner off --format json \
		-r requirements.lock -r requirements-dev.lock >build/audit.json 2>build/audit.log || true
	@$(PYTHON) .ci/audit.py build/audit.json

# The documents for machines, the JavaScript client's types and the tables of docs/, from the code.
contract: .venv/.dev
	$(BIN)/python -m contract

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
