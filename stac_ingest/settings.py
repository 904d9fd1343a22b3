"""What the service is told by its environment: one class per concern, every variable `STAC_INGEST_…`.

Settings are built once, at the edge (the CLI and the API's factory), and passed on; see docs/configuration.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from stac_ingest.errors import StacIngestError
from stac_ingest.models.values import describe

LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="STAC_INGEST_", extra="ignore", frozen=True)


class ServiceSettings(_Settings):
    """What every process of the service needs."""

    data_dir: Path = Path(".data")
    """Folder of the embedded database, the local store and scratch files."""
    database_url: str | None = None
    """PostgreSQL with PostGIS; unset: an embedded cluster in the data folder."""
    store_url: str | None = None
    """Where objects are kept: `file:///…`, `s3://…`, `gs://…`, `az://…`; unset: a folder in the data folder."""
    collections_dir: Path = Path("collections")
    """Folder of the product definitions."""

    @property
    def resolved_store_url(self) -> str:
        """The store's address, without a slash at its end."""
        return (self.store_url or (self.data_dir.resolve() / "store").as_uri()).rstrip("/")

    @property
    def scratch_dir(self) -> Path:
        """Folder in which each conversion has a folder of its own."""
        return self.data_dir.resolve() / "scratch"


class ApiSettings(_Settings):
    """What the HTTP service needs beside."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8000
    root_path: str = ""
    """Path under which a proxy shows the service, such as `/stac`."""
    api_keys: Annotated[tuple[str, ...], NoDecode] = ()
    """Keys that may write, separated by commas; unset: everyone who reaches the loopback address may."""
    max_file_bytes: int = 64 * 1024**3
    """Largest file that an upload may send."""
    title: str = "stac-ingest"
    description: str = "Images as Cloud-Optimized GeoTIFFs and STAC Items, found at once."

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split(cls, keys: object) -> object:
        return tuple(key.strip() for key in keys.split(",") if key.strip()) if isinstance(keys, str) else keys


class WorkerSettings(_Settings):
    """How a worker takes and keeps uploads."""

    worker_concurrency: Annotated[int, Field(ge=1)] = 1
    """Uploads converted at once by one worker; each conversion uses all cores while it compresses."""
    lease_seconds: float = 60
    """An upload whose worker was not heard of for so long is taken by another."""
    renew_seconds: float = 1
    """How often a worker says that it is alive, and so learns that its upload was canceled."""
    sweep_seconds: float = 15
    """How often abandoned uploads are looked for."""


class SettingsError(StacIngestError):
    """A `STAC_INGEST_…` variable holds something it cannot be."""


def load[S: _Settings](settings: type[S]) -> S:
    """Read settings from the environment; raises SettingsError, which names the variable."""
    try:
        return settings()
    except ValidationError as error:
        names = ", ".join(f"STAC_INGEST_{str(detail['loc'][0]).upper()}" for detail in error.errors())
        raise SettingsError(f"Correct {names}: {describe(error)}.") from error
