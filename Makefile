# Everything from a fresh checkout with Python 3.11 or newer and make:
#   make demo     the sample video from pixels to a report
#   make test     lint, types and the whole test suite
#
# Options for pip go into PIP_ARGS; pip's own PIP_* variables and configuration hold as well. On Linux
# pip's usual torch brings several gigabytes of CUDA libraries. Where no NVIDIA GPU is to be used, name
# an index with CPU builds of torch:
#   make demo PIP_ARGS="--extra-index-url ADDRESS"

VENV ?= .venv
PIP_ARGS ?=
DEMO := runs/sheared_monolayer
BIN := $(VENV)/bin
PINNED := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-full test-gui lint format screenshots sample setup clean clean-all
.DELETE_ON_ERROR:

help:
	@echo "make demo       install, analyse the sample video and write $(DEMO)/report.html"
	@echo "make test       install, then lint, type check and test everything"
	@echo "make test-full  the same, then the learner against gases of known law (hours)"
	@echo "make test-gui   install, then test the napari plugin only"
	@echo "make lint       ruff and mypy only"
	@echo "make format     let ruff rewrite the layout of the code"
	@echo "make screenshots  make the pictures of docs/napari.md again"
	@echo "make sample     make the sample videos again, with their ground truth"
	@echo "make setup      install into $(VENV) only"
	@echo "make clean      remove caches, builds and the demo's results"
	@echo "make clean-all  remove $(VENV) too"

demo: $(VENV)/.installed sample_videos/sheared_monolayer.mp4
	$(BIN)/colloidlab run sample_videos/sheared_monolayer.mp4 -o $(DEMO)
	@test -s $(DEMO)/report.html
	@echo $(DEMO)/report.html

test: $(VENV)/.installed-test
	@.ci/display-packages
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n auto --dist loadfile

test-full: test
	$(BIN)/colloidlab benchmark learner

test-gui: $(VENV)/.installed-test
	@.ci/display-packages
	$(BIN)/python -m pytest tests/gui

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Of a run of its own, which has the scale of the sample; it is made where it is not there.
screenshots: $(VENV)/.installed-test
	@.ci/display-packages
	XDG_CONFIG_HOME=$$(mktemp -d) QT_API=pyqt6 xvfb-run -a -s '-screen 0 1600x1200x24' \
		$(BIN)/python docs/make_screenshots.py runs/screenshots

sample: $(VENV)/.installed
	$(BIN)/colloidlab sample sheared_monolayer -o sample_videos
	$(BIN)/colloidlab sample brownian -o sample_videos

setup: $(VENV)/.installed

# The videos are part of the repository; this makes one only where it is absent.
sample_videos/%.mp4: | $(VENV)/.installed
	$(BIN)/colloidlab sample $* -o sample_videos

# A stamp stands for a complete installation and is older than what it was made from when that changes.
$(VENV)/.installed: $(PINNED)
	@.ci/virtual-environment $(VENV)
	$(BIN)/python -m pip install $(PIP_ARGS) -c constraints.txt -e .
	@.ci/system-libraries $(BIN)/python
	@touch $@

$(VENV)/.installed-test: $(PINNED)
	@.ci/virtual-environment $(VENV)
	$(BIN)/python -m pip install $(PIP_ARGS) -c constraints.txt -e ".[test]"
	@.ci/system-libraries $(BIN)/python
	@touch $@ $(VENV)/.installed

clean:
	rm -rf build dist colloidlab.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage $(DEMO)
	find colloidlab tests -name __pycache__ -type d -prune -exec rm -rf {} +

clean-all: clean
	rm -rf $(VENV)
