"""What a process of the API has in memory: nothing of what takes long to load, and that it never uses."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"feast", "pandas", "great_expectations", "bytewax"}
IMPORT_ALL = """
import importlib, pkgutil, sys
import api
loaded = lambda: print(*sorted({each.partition(".")[0] for each in sys.modules}))
for each in pkgutil.walk_packages(api.__path__, "api."):
    if not each.name.startswith("api.demo") and (each.name == "api.__main__" or not each.name.endswith("__main__")):
        importlib.import_module(each.name)
loaded()
import dataflows.aggregate
loaded()
"""


def test_no_module_of_the_api_loads_what_it_does_not_use() -> None:
    """A step of a flow, loaded after them, is found out, so that this is known to test something."""
    run = subprocess.run([sys.executable, "-c", IMPORT_ALL], check=True, capture_output=True, text=True)
    before, after = (set(line.split()) for line in run.stdout.splitlines())
    assert {"api", "feature_repo", "redis", "fastapi"} <= before
    assert (before & HEAVY, after & HEAVY) == (set(), {"bytewax"})
