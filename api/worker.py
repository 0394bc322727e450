"""A worker: the service from the environment, as each process makes it."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from multiprocessing.process import BaseProcess

from fastapi import FastAPI

from api import audit
from api.app import create
from api.settings import api_settings


def app() -> FastAPI:
    """The service; where another process started this one, it ends with that."""
    audit.log.setLevel(logging.INFO)
    if not audit.log.handlers:
        audit.log.addHandler(logging.StreamHandler())
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    return create(api_settings(os.environ))


def _end_with(parent: BaseProcess) -> None:
    """What a killed parent leaves behind would keep its port."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
