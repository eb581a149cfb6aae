# Each target sets up what it needs first: packages, .venv, QEMU. A second call skips that.
SHELL := /bin/bash
PYTHON_VENV := .venv/bin/python
ARGS ?=
export PYTHON

.PHONY: help setup images run test test-slow test-all soak lint bench matrix vacuity leaks qemu-all lock clean distclean

help:
	@echo 'make run        boot the catalogue, print the verdict table   (ARGS="timers -t pc-tcg" goes to trapgate run)'
	@echo 'make test       lint, types and tests, the catalogue among them   (ARGS="-k hpet" goes to pytest)'
	@echo 'make test-slow  the tests that make test excludes because they take minutes'
	@echo 'make test-all   both, on every target that this host can run'
	@echo 'make soak       the catalogue 50 times on a busy host, 20,000 runs in one go: half an hour'
	@echo 'make lint       ruff and mypy only'
	@echo 'make bench      times of runs, compared with a bare QEMU'
	@echo 'make matrix     compare every target and QEMU that this host can run'
	@echo 'make leaks      find state that a guest leaves to the next guest of a warm machine   (two minutes)'
	@echo 'make vacuity    do the probes fail if a step of their program is missing?   (minutes; ARGS=--triggers: faster)'
	@echo 'make images     the bootable images, below images/'
	@echo 'make qemu-all   the QEMUs of Debian'"'"'s other suites, below qemus/   (ARGS=sid: of this suite only)'
	@echo 'make lock       renew requirements.lock from the environment'
	@echo 'make clean      remove what was built;  make distclean: the environment too'

setup:
	@scripts/setup.sh

images: images/.built

images/.built: $(shell find harness guest -name '*.py' -o -name '*.asm' -o -name '*.toml') | setup
	@echo 'Building the images'
	@.venv/bin/trapgate images > images/.built.tmp || { cat images/.built.tmp; rm images/.built.tmp; exit 1; }
	@mv images/.built.tmp $@

run: setup images
	@.venv/bin/trapgate run $(ARGS)

lint: setup
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check --quiet || { .venv/bin/ruff format --diff; exit 1; }
	@.venv/bin/mypy --no-error-summary

test: lint
	@$(PYTHON_VENV) -m pytest -n 2 --dist worksteal -m 'not slow' tests guest/probes $(ARGS)

test-slow: setup
	@$(PYTHON_VENV) -m pytest -n 2 -m slow tests $(ARGS)

test-all: lint
	@TRAPGATE_THOROUGH=1 $(PYTHON_VENV) -m pytest -n 2 tests guest/probes --trapgate-target all $(ARGS)

soak: setup
	@TRAPGATE_THOROUGH=1 TRAPGATE_ROUNDS=50 $(PYTHON_VENV) -m pytest -v tests/integration/test_repeat.py tests/integration/test_endurance.py $(ARGS)

bench: setup
	@.venv/bin/trapgate bench $(ARGS)

matrix: setup
	@.venv/bin/trapgate matrix $(ARGS)

leaks: setup
	@.venv/bin/trapgate leaks $(or $(ARGS),--target q35-tcg --target pc-tcg --target microvm-tcg)

vacuity: setup
	@.venv/bin/trapgate vacuity $(if $(findstring --triggers,$(ARGS)),,--first --check docs/vacuity.json) $(ARGS)

qemu-all:
	@scripts/qemu-all.sh $(ARGS)

lock: setup
	@{ echo '# Every package of the development environment, pinned. To renew: make lock'; \
	   .venv/bin/python -m pip freeze --all --exclude-editable --exclude pip; } > requirements.lock

clean:
	rm -rf build dist report bench.json .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find harness guest tests -name __pycache__ -type d -prune -exec rm -rf {} +
	find images -mindepth 1 ! -name README.md -delete

distclean: clean
	rm -rf .venv qemus *.egg-info
