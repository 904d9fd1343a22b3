"""The embedded cluster and the migrations."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from stac_ingest.database import cluster, queries
from stac_ingest.database.migrate import PGSTAC_VERSION, MigrationError, migrate


def fetch(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
        return row and row[0]


def test_many_processes_may_migrate_at_once(cluster_url: str) -> None:
    with psycopg.connect(cluster_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated_by_many")
    url = f"{cluster_url.rpartition('/')[0]}/migrated_by_many"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrate(url), range(4)))
    assert fetch(url, "SELECT pgstac.get_version()") == PGSTAC_VERSION
    assert fetch(url, "SELECT count(*) FROM pgstac.queryables WHERE name = 'keywords'") == 1
    assert fetch(url, "SELECT to_regclass('procrastinate.procrastinate_jobs') IS NOT NULL") is True
    assert fetch(url, "SELECT to_regclass('stac_ingest.uploads') IS NOT NULL") is True


def test_tags_are_indexed(database_url: str) -> None:
    with psycopg.connect(database_url, options="-c search_path=pgstac,public") as connection:
        connection.execute('SELECT create_collection(\'{"id": "c", "type": "Collection"}\')')
        connection.execute(
            'SELECT create_item(\'{"id": "i", "collection": "c", "geometry": {"type": "Point",'
            ' "coordinates": [0, 0]}, "properties": {"datetime": "2024-01-01T00:00:00Z"}}\')'
        )
    found = fetch(database_url, "SELECT count(*) FROM pg_indexes WHERE indexdef ILIKE '%gin%keywords%'")
    assert isinstance(found, int)
    assert found >= 1


def test_a_database_without_the_server_is_named() -> None:
    with pytest.raises(MigrationError, match="STAC_INGEST_DATABASE_URL"):
        migrate("postgresql://nobody@127.0.0.1:1/nothing")


def test_the_cluster_keeps_its_data_and_takes_over_from_a_killed_one(tmp_path: Path) -> None:
    with cluster.running_cluster(tmp_path) as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        assert cluster.address_of(tmp_path) == url
    with pytest.raises(cluster.ClusterError, match="stac-ingest serve"):
        cluster.address_of(tmp_path)
    with cluster.running_cluster(tmp_path) as url:
        assert fetch(url, "SELECT answer FROM kept") == 42
        postmaster = int((tmp_path / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        time.sleep(0.2)
    with cluster.running_cluster(tmp_path) as url:
        assert fetch(url, "SELECT answer FROM kept") == 42


def test_a_server_that_outlived_its_service_is_stopped_first(tmp_path: Path) -> None:
    with cluster.running_cluster(tmp_path) as first, cluster.running_cluster(tmp_path) as second:
        assert fetch(second, "SELECT 1") == 1
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(first)


def test_the_cluster_listens_on_loopback_with_a_password(tmp_path: Path) -> None:
    with cluster.running_cluster(tmp_path) as url:
        assert fetch(url, "SHOW listen_addresses") == "127.0.0.1"
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url.replace(url.split(":")[2].split("@")[0], "wrong"))
    assert (tmp_path / "postgres" / "password").stat().st_mode & 0o077 == 0


def test_a_data_folder_of_another_version_is_named(tmp_path: Path) -> None:
    with cluster.running_cluster(tmp_path):
        pass
    (tmp_path / "postgres" / "cluster" / "PG_VERSION").write_text("9\n")
    with pytest.raises(cluster.ClusterError, match="PostgreSQL 9"), cluster.running_cluster(tmp_path):
        pass


def test_missing_postgresql_and_missing_postgis_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_has_postgis", lambda folder: False)
    with pytest.raises(cluster.ClusterError, match=r"without PostGIS.*apt-get install.*postgis-3"):
        cluster.find_postgres()
    monkeypatch.setattr(cluster, "_version", lambda folder: 0)
    with pytest.raises(cluster.ClusterError, match=r"PostgreSQL 15 or newer was not found.*apt-get install"):
        cluster.find_postgres()


def test_every_query_has_a_name_and_a_statement() -> None:
    assert len(queries()) > 20
    assert all(statement.rstrip().endswith(";") for statement in queries().values())
