# Both `make demo` and `make test` set up what they need on a fresh Debian machine, as root.
.PHONY: demo test check bench soak clean

.venv: pyproject.toml uv.lock
	@scripts/install
	@touch .venv

demo: .venv
	@scripts/hosttools
	@PYTHONPATH=demo:tests .venv/bin/python demo/story.py

test: .venv
	@scripts/hosttools
	@scripts/check

check: .venv
	@scripts/check

bench: .venv
	@scripts/hosttools wrk
	@PYTHONPATH=demo:tests .venv/bin/python bench/run.py

soak: .venv
	@scripts/hosttools
	@PYTHONPATH=demo:tests .venv/bin/python bench/soak.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
