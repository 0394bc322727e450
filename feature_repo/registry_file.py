"""Feast's registry in a file that is there whole or not at all, whenever `feast apply` is killed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from feast.infra.registry.file import FileRegistryStore
from feast.repo_config import RegistryConfig


class WholeFileRegistryStore(FileRegistryStore):
    """As Feast's own, which empties the file and then writes it; this one writes another, and renames it.

    Who reads meanwhile finds the registry of before, or the new one.
    """

    def _write_registry(self, registry_proto: Any) -> None:
        whole: Path = self._filepath
        aside = whole.with_name(f".{whole.name}.{os.getpid()}")
        FileRegistryStore(RegistryConfig(path=str(aside.absolute())), aside.parent)._write_registry(registry_proto)
        aside.replace(whole)
