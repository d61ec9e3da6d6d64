# Every target sets up what it needs; a second run finds it done.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
TEST_PROCESSES ?= 3

.PHONY: demo federation-demo test all-tests test-fast test-long coverage bench lint style types lock

demo: $(VENV)/.installed ## the studio, on http://127.0.0.1:7860
	$(RUN) app.py --port 7860

federation-demo: $(VENV)/.installed ## studio, host and eight virtual designers; three rounds, on https://127.0.0.1:7860
	$(RUN) -m federation.demo --fresh

test: style ## rules and format; then types, and beside them all tests
	$(MAKE) -j 2 types all-tests

all-tests: $(VENV)/.installed-dev # more processes than two cores: some tests wait for a round
	$(RUN) -m pytest -q -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test-fast: $(VENV)/.installed-dev ## the unit tests alone
	$(RUN) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not long"

coverage: $(VENV)/.installed-dev ## how much of the code the unit tests run, file by file
	$(RUN) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not long" --cov --cov-report=term

test-long: $(VENV)/.installed-dev ## twenty kills of a running federation, and of a companion; one hostile designer in eight; the paper's preset; the wheel in a clean environment
	$(RUN) -m pytest -q -m long -s

bench: $(VENV)/.installed-dev ## time, memory and arithmetic beside known networks
	$(RUN) -m benchmarks.inference --json
	$(RUN) -m benchmarks.page --json
	$(RUN) -m benchmarks.aggregation --json
	$(RUN) -m benchmarks.companion --json
	$(RUN) -m benchmarks.training --json
	$(RUN) -m benchmarks.deployment --json

lock: $(VENV)/.installed-dev ## requirements.lock from requirements.txt: everything below it too, each with its hashes
	$(RUN) -m uv pip compile requirements.txt --universal --python-version 3.11 --generate-hashes --no-annotate \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -o requirements.lock -q

lint: style types ## rules, format and types

style: $(VENV)/.installed-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(VENV)/.installed-dev
	$(RUN) -m mypy

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(RUN)
	$(RUN) -m pip install -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt requirements.txt | $(RUN)
	$(RUN) -m pip install -r requirements-dev.txt
	touch $(VENV)/.installed $@
