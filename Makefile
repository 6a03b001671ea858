# `make demo` and `make test` need nothing but Python 3.11-3.13, a C++ compiler, and Docker or Java 17 with Maven.

PYTHON := .venv/bin/python
INSTALLED := .venv/.installed
TYPED := reco_stream agents tables web tests benchmarks
# Lint runs beside the tests, which mostly wait for what they have started.
MAKEFLAGS += --jobs=2

.PHONY: demo test pytest test-faults lint format install lock clean

demo: $(INSTALLED)  ## Kafka, two workers and sample events; ONCE=1 stops after the recommendations
	@$(PYTHON) -m reco_stream demo $(if $(ONCE),--once)

test: lint pytest  ## all that CI runs

pytest: $(INSTALLED)  ## the tests alone
	$(PYTHON) -m pytest

test-faults: $(INSTALLED)  ## the long fault tests: kills, freezes, broker restarts
	$(PYTHON) -m pytest -m tier2

lint: $(INSTALLED)  ## style, format and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy --strict $(TYPED)

format: $(INSTALLED)  ## what `make lint` would complain about, where a tool can mend it
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

install: $(INSTALLED)  ## the virtual environment with the locked dependencies

$(INSTALLED): requirements-dev.lock pyproject.toml deploy/venv.sh deploy/compile_cpp.py $(wildcard reco_stream/domain/*.?pp reco_stream/engine/*.cpp tables/*.?pp)
	@sh deploy/venv.sh

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock"

lock:  ## the lock files from pyproject.toml; the only command that needs uv
	$(LOCK) --output-file requirements.lock pyproject.toml
	$(LOCK) --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

clean:  ## everything that the other targets made, the data of the demo included
	rm -rf reco_stream/*/*.so tables/*.so .venv .reco .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
