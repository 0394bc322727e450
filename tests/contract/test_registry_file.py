"""`feast apply` is killed: the registry is the one of before, or the new one, and never half of it, or empty.

`FEAST_KILLS=200` kills as many processes in the middle of it.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView
from feast.infra.registry.file import FileRegistryStore
from feast.protos.feast.core.Registry_pb2 import Registry
from feast.repo_config import RegistryConfig

from feature_repo import features
from feature_repo.registry_file import WholeFileRegistryStore

KILLS: Final = int(os.environ.get("FEAST_KILLS", "2"))
REPO: Final = Path(features.__file__).parent
DECLARED: Final = [each for each in vars(features).values() if isinstance(each, (Entity, FeatureView, FeatureService))]
VIEWS: Final = {each.name for each in DECLARED if isinstance(each, FeatureView)}


class Dies(BaseException):
    """The process is killed here: nothing that follows is done."""


def killed_at(step: int, write: Any) -> bool:
    """Do something that is killed in front of one of the functions that it calls in C; whether it was."""
    left = step

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal left
        if event == "c_call" and argument is not sys.setprofile:
            left -= 1
            if left < 0:
                sys.setprofile(None)
                raise Dies

    sys.setprofile(count)
    try:
        write()
    except Dies:
        return True
    finally:
        sys.setprofile(None)
    return False


def broken_at(kind: type[FileRegistryStore], path: Path, before: Registry, after: Registry) -> list[int]:
    """The steps of a write at which a kill leaves neither the one registry nor the other."""
    config = RegistryConfig(path=str(path))
    names = [[view.spec.name for view in each.feature_views] for each in (before, after)]
    found = []
    for step in range(10_000):
        path.write_bytes(before.SerializeToString())
        killed = killed_at(step, lambda: kind(config, path.parent).update_registry_proto(after))
        there = [view.spec.name for view in Registry.FromString(path.read_bytes()).feature_views]
        if there not in names:
            found.append(step)
        if not killed:
            assert there == names[1]
            return found
    raise AssertionError("it did not end")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # who is killed closes no file
def test_a_registry_is_written_whole_or_not_at_all_and_feasts_own_is_not(store: FeatureStore, tmp_path: Path) -> None:
    after = Registry.FromString((Path(store.repo_path).parent / "var/registry.db").read_bytes())
    before = Registry.FromString(after.SerializeToString())
    del before.feature_views[1:]
    assert broken_at(WholeFileRegistryStore, tmp_path / "whole.db", before, after) == []
    assert broken_at(FileRegistryStore, tmp_path / "stock.db", before, after) != []


def apply(repo: str) -> None:
    """What `feast apply` does."""
    FeatureStore(repo).apply(DECLARED)


def test_killed_at_random_an_apply_leaves_a_registry_that_can_be_read(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = tmp_path / "feature_repo"
    shutil.copytree(REPO, repo, ignore=shutil.ignore_patterns("__pycache__"))
    chance, server = random.Random(3), multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.contract.test_registry_file"])
    apply(str(repo))
    started = time.monotonic()
    apply(str(repo))
    lasts, killed = 1.5 * (time.monotonic() - started), 0
    for _ in range(KILLS):
        process = server.Process(target=apply, args=(str(repo),))
        process.start()
        process.join(chance.uniform(0, lasts))
        process.kill()
        process.join()
        killed += process.exitcode != 0
        read = FeatureStore(str(repo))
        assert {view.name for view in read.list_feature_views()} == VIEWS
    print(f"{killed} of {KILLS} applies were killed before their end; the registry was read after each")
    assert killed
