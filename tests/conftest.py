"""How the tests run: Hypothesis without deadlines and always with the same examples; unit and flow tests offline.

`--hypothesis-profile=deep` looks further, with new examples each time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from pytest_socket import disable_socket, enable_socket

HERE: Final = Path(__file__).parent
OFFLINE: Final = (HERE / "unit", HERE / "flow")

settings.register_profile(
    "ci",
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("deep", settings.get_profile("ci"), max_examples=5000, derandomize=False)
settings.load_profile("ci")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests of one package need no network, and get none; sockets of this machine's file system stay."""
    if any(folder in item.path.parents for folder in OFFLINE):
        disable_socket(allow_unix_socket=True)


def pytest_runtest_teardown() -> None:
    """The next test may be allowed more."""
    enable_socket()
