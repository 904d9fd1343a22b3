"""What tests of every tier share: a real PostgreSQL, a real service, and images made for the occasion."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import httpx2
import hypothesis
import numpy as np
import psycopg
import pytest
import rasterio
from rasterio.transform import from_origin

import stac_ingest
from stac_ingest.client.connection import Client
from stac_ingest.database.cluster import running_cluster
from stac_ingest.database.migrate import migrate
from stac_ingest.models.enums import DataType

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
READY_SECONDS = 60

# The same examples each time, so that a red run is a change's fault; and no test asserts a time.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make fuzz` and `make fuzz-cog`."""
    parser.addoption("--long", action="store_true", help="generate thousands of requests or files, not dozens")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith(("STAC_INGEST_", "STAC_FASTAPI_", "PG")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a PostgreSQL of our own, for the whole session."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as url:
        yield url


@pytest.fixture(scope="session")
def template_database(cluster_url: str) -> str:
    """Name of a database that is migrated, to be cloned."""
    name = "template_migrated"
    with psycopg.connect(cluster_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    migrate(_database(cluster_url, name))
    return name


@pytest.fixture(scope="session")
def make_database(cluster_url: str, template_database: str) -> Callable[[], str]:
    """Return a function that clones the migrated database, and returns the address of the clone."""

    def make() -> str:
        name = f"test_{uuid4().hex}"
        with psycopg.connect(cluster_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template_database}")
        return _database(cluster_url, name)

    return make


@pytest.fixture
def database_url(make_database: Callable[[], str]) -> str:
    """Address of a migrated database that this test has to itself."""
    return make_database()


def _database(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


@dataclass
class Service:
    """API and worker as processes, on a database and a data folder of their own."""

    database_url: str
    data_dir: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start `api` or `worker`."""
        environment = {
            **os.environ,
            "STAC_INGEST_DATABASE_URL": self.database_url,
            "STAC_INGEST_DATA_DIR": str(self.data_dir),
            "STAC_INGEST_PORT": str(self.port),
            **self.environment,
        }
        process = subprocess.Popen([sys.executable, "-m", "stac_ingest", name], env=environment, cwd=ROOT)
        self.processes[name] = process
        return process

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(f"{self.url}/healthz").status_code == 200:
                    return
            time.sleep(0.1)
        raise TimeoutError(f"the API at {self.url} did not become ready")

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_service(database_url: str, data_dir: Path, *names: str, **environment: str) -> Iterator[Service]:
    """Run the named parts of the service."""
    service = Service(database_url, data_dir, environment, free_port())
    try:
        for name in names:
            service.start(name)
        if "api" in names:
            service.wait_until_ready()
        yield service
    finally:
        service.stop()


@pytest.fixture(scope="session")
def service(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running API and worker, shared by the session; tests keep apart by the ids of their products."""
    with running_service(make_database(), tmp_path_factory.mktemp("data"), "api", "worker") as started:
        yield started


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    """The SDK's connection to the running service."""
    with Client(service.url) as connection:
        yield connection


@pytest.fixture
def http(service: Service) -> Iterator[httpx2.Client]:
    """Plain HTTP to the running service."""
    with httpx2.Client(base_url=service.url, timeout=60) as connection:
        yield connection


ProductMaker = Callable[..., stac_ingest.Product]


@pytest.fixture
def make_product(client: Client) -> ProductMaker:
    """Return a function that saves a product with spectral bands of one type in one file."""

    def make(
        *bands: str, data_type: DataType | None = DataType.UINT16, product_id: str | None = None, **attributes: Any
    ) -> stac_ingest.Product:
        product = stac_ingest.Product(client, id=product_id or f"test:{uuid4().hex[:12]}", **attributes)
        product.save()
        for index, name in enumerate(bands):
            stac_ingest.SpectralBand(client, product=product, name=name, data_type=data_type, band_index=index).save()
        return product

    return make


GeotiffMaker = Callable[..., Path]


@pytest.fixture
def make_geotiff(tmp_path: Path) -> GeotiffMaker:
    """Return a function that writes a GeoTIFF of random pixels."""

    def make(
        name: str = "image.tif",
        *,
        count: int = 1,
        size: tuple[int, int] = (40, 60),
        dtype: str = "uint16",
        seed: int = 0,
        **profile: Any,
    ) -> Path:
        generator = np.random.default_rng(seed)
        pixels = generator.integers(1, 200, (count, *size)).astype(dtype)
        path = tmp_path / name
        settings = {
            "driver": "GTiff",
            "count": count,
            "height": size[0],
            "width": size[1],
            "dtype": dtype,
            "crs": "EPSG:32633",
            "transform": from_origin(500_000, 5_000_000, 10, 10),
            **profile,
        }
        with rasterio.open(path, "w", **settings) as dataset:
            dataset.write(pixels)
        return path

    return make


def upload_done(image: stac_ingest.Image, files: Any, **options: Any) -> stac_ingest.ImageUpload:
    """Upload and wait; the test looks at how it ended."""
    upload = image.upload(files, **options)
    upload.wait_for_completion(timeout=60)
    return upload


def stac_schemas() -> ModuleType:
    """Return the module of STAC schemas beside the project; skips where there is none."""
    folder = SHARED / "acceptance"
    if not (folder / "stac_schemas.py").exists():
        pytest.skip("the STAC schemas are not beside this checkout")
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("stac_schemas")
    finally:
        sys.path.remove(str(folder))


def schema_errors(stac: dict[str, Any]) -> list[str]:
    """Return what is invalid in a STAC object, by the schemas beside the project; skips where there are none."""
    from stac_ingest.stac import SCHEMA_PATH, schema_document

    ours = {url: schema_document(url) for url in stac.get("stac_extensions", []) if url.endswith(SCHEMA_PATH)}
    found: list[str] = stac_schemas().errors(stac, known_elsewhere=ours)
    return found
