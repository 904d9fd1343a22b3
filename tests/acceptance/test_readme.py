"""The README's example runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.conftest import ROOT, Service


def test_the_example_runs(service: Service) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    script = "\n".join(blocks).replace("http://127.0.0.1:8000", service.url)
    environment = {**os.environ, "STAC_INGEST_URL": service.url}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == "success"
    assert said[1] == "example:blue:image1 (1, 150, 200) 32633"
    assert said[2].startswith(f"image1 {service.url}/assets/example:blue/image1/blue-")
