# `make help` lists what there is. Every target makes its own set-up (tools/setup.sh).
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
STAMP := $(VENV)/.vitgen-ready
WORKERS ?= 2

# Tools that are run by name (the simulators' makefiles call a plain `python`) are the environment's.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

DEMO_BITS := 4/8
DEMO_TRAIN := build/vit_digits_train
DEMO_BUILD := build/vit_digits
DEMO_CHECKPOINT := $(DEMO_TRAIN)/checkpoint.safetensors

.PHONY: help setup demo test check lint bench bench-published bench-page

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

setup: $(STAMP)  ## make .venv with all that the other targets need

$(STAMP): pyproject.toml tools/setup.sh
	@tools/setup.sh $(VENV) $@

demo: $(STAMP)  ## train a small ViT, build its accelerator, prove it bit by bit
	vitgen train --model vit_digits --bits $(DEMO_BITS) --out $(DEMO_TRAIN)
	vitgen build --model vit_digits --bits $(DEMO_BITS) --checkpoint $(DEMO_CHECKPOINT) \
	    --verify csim --out $(DEMO_BUILD)
	vitgen eval $(DEMO_BUILD)

lint: $(STAMP)  ## ruff and mypy
	ruff check .
	mypy

test: lint  ## lint and all but the slow tests
	pytest -n $(WORKERS) -m "not slow"

check: lint  ## lint and every test
	pytest -n $(WORKERS)

bench: $(STAMP)  ## the benchmarks, one after the other
	@for file in benchmarks/[a-z]*.py; do \
	    module=$${file%.py}; \
	    echo "== $$module"; \
	    python -um "$${module//\//.}"; \
	done

bench-published: $(STAMP)  ## our designs beside published ones: a table and a picture
	python -m benchmarks.published

bench-page: $(STAMP)  ## put the results of the benchmarks into docs/performance.md
	python -m benchmarks.support.page
