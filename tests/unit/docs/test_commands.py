"""Every command that the documentation names tells how it is used, and does nothing else when it is asked to."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = "".join(path.read_text("utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))))
OURS = r"python -m ((?:api|dataflows|expectations|tests)(?:\.[a-z_]+)*)"
COMMANDS = sorted({*re.findall(OURS, PAGES), *re.findall(OURS, (ROOT / "Makefile").read_text())})


def said(module: str, *arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """How a command ends, and what it says on the terminal."""
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    for name in (module, f"{module}.__main__"):  # it is run anew, whoever imported it
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name="__main__", alter_sys=False)
    out, err = capsys.readouterr()
    return f"{ended.value.code}: {out}{err}"


def test_there_are_many() -> None:
    assert {"api", "api.demo", "api.lint", "dataflows.replay", "expectations.report", "tests.benchmarks"} < {*COMMANDS}


@pytest.mark.parametrize("module", COMMANDS)
def test_a_command_tells_how_it_is_used_and_refuses_what_it_does_not_know(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(module, "--help", monkeypatch=monkeypatch, capsys=capsys)
    assert told.startswith(f"0: usage: python -m {module} ")
    assert len(told.splitlines()) >= 3, "it says what it does"
    refused = said(module, "--nonsense", monkeypatch=monkeypatch, capsys=capsys)
    assert refused.startswith(f"2: usage: python -m {module} ")
