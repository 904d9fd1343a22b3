"""Bringing a database to the schema that this release needs: pgstac, procrastinate, then our own tables.

All of it happens under one advisory lock, so that any number of processes may try at once.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import procrastinate
import psycopg
from pypgstac.db import PgstacDB
from pypgstac.migrate import Migrate

from stac_ingest.errors import StacIngestError

PGSTAC_VERSION = "0.10.0"
PGSTAC_SETTINGS = {"context": "on", "context_stats_ttl": "1 second", "additional_properties": "true"}
QUERYABLES: dict[str, dict[str, Any]] = {
    "keywords": {"title": "Tags", "type": "array", "items": {"type": "string"}},
    "eo:cloud_cover": {"title": "Cloud cover (%)", "type": "number", "minimum": 0, "maximum": 100},
    "platform": {"title": "Platform", "type": "string"},
    "gsd": {"title": "Ground sample distance (m)", "type": "number"},
    "created": {"title": "Created", "type": "string", "format": "date-time"},
    "updated": {"title": "Updated", "type": "string", "format": "date-time"},
    "published": {"title": "Published", "type": "string", "format": "date-time"},
    "view:azimuth": {"title": "Azimuth of the sensor (°)", "type": "number"},
    "view:incidence_angle": {"title": "Incidence angle (°)", "type": "number"},
    "view:off_nadir": {"title": "Off nadir (°)", "type": "number"},
    "view:sun_azimuth": {"title": "Azimuth of the sun (°)", "type": "number"},
    "view:sun_elevation": {"title": "Elevation of the sun (°)", "type": "number"},
    "ingest:alt_cloud_fraction": {"title": "Cloud fraction by another method", "type": "number"},
    "ingest:bright_fraction": {"title": "Bright fraction", "type": "number"},
    "ingest:fill_fraction": {"title": "Fill fraction", "type": "number"},
    "ingest:view_angle": {"title": "View angle (°)", "type": "number"},
    "ingest:roll_angle": {"title": "Roll angle (°)", "type": "number"},
    "ingest:area": {"title": "Area (km²)", "type": "number"},
}
"""What pgstac is told of properties; it would sort and compare others as texts."""
INDEXED = ["keywords"]


class MigrationError(StacIngestError):
    """The database cannot be brought to this release's schema."""


def migrate(url: str) -> None:
    """Bring the database at `url` up to date; does nothing where that is done.

    Raises:
        MigrationError: The database is out of reach, lacks PostGIS, or holds a newer pgstac.
    """
    try:
        with psycopg.connect(url, autocommit=True) as guard:
            guard.execute("SELECT pg_advisory_lock(hashtext('stac-ingest migrate'))")
            _require_postgis(guard)
            _migrate_pgstac(url)
            _migrate_procrastinate(url)
            _migrate_ours(url)
    except psycopg.OperationalError as error:
        raise MigrationError(
            f"The database cannot be reached; start it, or correct STAC_INGEST_DATABASE_URL: {_one_line(error)}"
        ) from error
    except psycopg.Error as error:
        raise MigrationError(f"The database could not be migrated: {_one_line(error)}") from error


def _one_line(error: psycopg.Error) -> str:
    return " ".join(str(error).split())


def _require_postgis(connection: psycopg.Connection) -> None:
    found = connection.execute("SELECT FROM pg_available_extensions WHERE name = 'postgis'").fetchone()
    if found is None:
        raise MigrationError(
            "The database server has no PostGIS; install it (on Debian: apt-get install postgresql-VERSION-postgis-3)."
        )


def _migrate_pgstac(url: str) -> None:
    with psycopg.connect(url) as connection:
        exists = connection.execute("SELECT to_regclass('pgstac.migrations') IS NOT NULL").fetchone()
        version = None
        if exists and exists[0]:
            row = connection.execute("SELECT version FROM pgstac.migrations ORDER BY datetime DESC LIMIT 1").fetchone()
            version = row and row[0]
    if version != PGSTAC_VERSION:
        with PgstacDB(dsn=url) as database:
            Migrate(database).run_migration(toversion=PGSTAC_VERSION)
    with psycopg.connect(url, options="-c search_path=pgstac,public") as connection:
        connection.cursor().executemany(
            "INSERT INTO pgstac_settings (name, value) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE pgstac_settings.value <> excluded.value",
            list(PGSTAC_SETTINGS.items()),
        )
        missing = connection.execute(
            "SELECT count(*) < %s FROM queryables WHERE name = ANY (%s)", (len(QUERYABLES), list(QUERYABLES))
        ).fetchone()
        if missing and missing[0]:
            connection.execute(
                "SELECT upsert_queryables(%s, NULL, %s)",
                (psycopg.types.json.Jsonb({"properties": QUERYABLES}), INDEXED),
            )


def _migrate_procrastinate(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS procrastinate")
        row = connection.execute("SELECT to_regclass('procrastinate.procrastinate_jobs') IS NULL").fetchone()
    if row and row[0]:
        connector = procrastinate.SyncPsycopgConnector(
            conninfo=url, kwargs={"options": "-c search_path=procrastinate,public"}
        )
        with procrastinate.App(connector=connector).open() as app:
            app.schema_manager.apply_schema()


def _migrate_ours(url: str) -> None:
    schema = resources.files("stac_ingest.database").joinpath("schema.sql").read_text()
    with psycopg.connect(url) as connection:
        connection.execute(schema)
