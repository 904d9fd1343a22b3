"""The main job, end to end, from outside."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import SHARED, Service


def test_the_guide_holds(service: Service) -> None:
    guide = SHARED / "acceptance" / "guide.py"
    if not guide.exists():
        pytest.skip("the acceptance guide is not beside this checkout")
    environment = {**os.environ, "STAC_INGEST_URL": service.url}
    done = subprocess.run([sys.executable, guide], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["all steps held"], done.stdout + done.stderr
