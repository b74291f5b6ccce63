# Needs only Python 3.11 or later and make. Everything is installed into .venv, nothing elsewhere.
#
#   make demo                  analyse the bundled sample, write demo/
#   make demo FILE=clip.mp4    the same for any video or picture
#   make test                  style, types and tests (installs torch and the other laboratory packages)
#   make lint                  style and types only
#   make clean                 remove what demo and test wrote; make distclean removes .venv too
#
# PYTHON chooses the interpreter, TORCH the build of torch (see README, "Development").

SAMPLES := src/unmask/samples
FILE ?= $(SAMPLES)/manipulated.mp4
TORCH ?= torch==2.13.0
FITS := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)

VENV := .venv
BIN := $(VENV)/bin
PICTURES := %.jpg %.jpeg %.png %.webp %.heic %.JPG %.JPEG %.PNG %.HEIC
ANNOTATED := demo/annotated.$(if $(filter $(PICTURES),$(FILE)),png,mp4)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet

.PHONY: help demo test lint clean distclean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/installed
	@mkdir -p demo
	@rm -f demo/analysis_report.json demo/annotated.*
	$(BIN)/unmask detect "$(FILE)" --output demo/analysis_report.json
	$(BIN)/unmask visualize "$(FILE)" --predictions demo/analysis_report.json --output $(ANNOTATED) --quiet
	@echo
	@echo "Written: demo/analysis_report.json and $(ANNOTATED)"
ifeq ($(FILE),$(SAMPLES)/manipulated.mp4)
	@echo "This sample is a still portrait, filmed by a moving camera made in software, its face"
	@echo "drawn anew at low resolution and blended back (docs/samples.md). It is no test of accuracy."
	@echo "The same without the alteration (a filmed still, not a living person):"
	@echo "  make demo FILE=$(SAMPLES)/untouched.mp4"
endif

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:
	rm -rf demo build .pytest_cache .mypy_cache .ruff_cache .hypothesis

distclean: clean
	rm -rf $(VENV)

# Stamps: an installation is repeated only after pyproject.toml changed.
$(VENV)/created:
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(FITS)' || { \
	  echo "unmask needs Python 3.11 or later; name one with: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) comes without venv or ensurepip; install them (on Debian and Ubuntu: the package" >&2; \
	  echo "python3-venv), or name another Python with: make PYTHON=..." >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: pyproject.toml | $(VENV)/created
	@echo "Installing unmask into $(VENV) (a minute or two, once)"
	@$(PIP) install --editable .
	@touch $@

# torch first and named again below, so that pip never chooses another build of it.
$(VENV)/installed-dev: pyproject.toml | $(VENV)/created
	@echo "Installing unmask with its laboratory and test packages into $(VENV) (some minutes, once)"
	@$(PIP) install "$(TORCH)"
	@$(PIP) install "$(TORCH)" --editable ".[train,dev]"
	@touch $@ $(VENV)/installed
