.DEFAULT_GOAL := help
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --frozen --all-extras

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

setup:  ## Install everything from the lock file (gets uv by pip where it is missing)
	@command -v uv >/dev/null || test -x .uv/bin/uv || python3 -m pip install --quiet --target .uv uv
	$(UV) sync --frozen --all-extras --quiet

test: setup  ## Run the tests, but those in a browser (.ci/run runs all)
	$(RUN) pytest -n 2 --dist loadfile --ignore tests/browser

torture: setup  ## Kill everything at random while terminals are at work (minutes; ARGS="--seed 7")
	$(RUN) python -m tests.torture $(ARGS)

doors: setup  ## Three doors, 500 people, two networks cut, a door killed (minutes; ARGS="--entries 90")
	$(RUN) pytest tests/doors --entries 500 $(ARGS)

check: setup  ## Lint, types, import rules
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports

demo: setup  ## Run the whole system on this machine, on real photos (ARGS="--headless --json")
	$(RUN) countenance demo $(ARGS)

FACES := ../shared/faces
PACKS := $(basename $(notdir $(wildcard face_engine/packs/*.toml)))
SOURCE := ORL (Samaria & Harter 1994), and public photos of ageitgey/face_recognition and serengil/deepface

texts: setup  ## Bring new texts into the catalogues of translations
	$(RUN) python -m tests.catalogues

.PHONY: pictures
pictures: setup  ## Make the pictures in docs/images anew, from the running demo
	$(RUN) python -m tests.pictures

calibrations: setup  ## Make the packs' calibrations anew, from the photos in ../shared (minutes)
	for pack in $(PACKS); do $(RUN) countenance calibrate $$pack --source "$(SOURCE)" \
	--people $(FACES)/people --people $(FACES)/celebrities --small $(FACES)/orl \
	--output face_engine/packs/$$pack.calibration.json || exit 1; done

.PHONY: help setup test torture doors check demo texts calibrations
