"""A catalog of as many Landsat-like Items as wanted, the same ones each time.

An Item is made of its number alone, so that a benchmark knows what is in the catalog without asking it. Tags are on a
half, on a percent, and on one of each 100,000 Items; on the very first, too, so that no catalog is without any.
"""

from __future__ import annotations

import multiprocessing
import random
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier
from pypgstac.db import PgstacDB
from pypgstac.load import Loader
from tqdm import tqdm

from stac_ingest.database.migrate import migrate

Json = dict[str, Any]

BEGIN = datetime(2015, 1, 1, tzinfo=UTC)
YEARS = 10
SECONDS = YEARS * 365 * 86_400
STRIDE = 194_903_201
"""SECONDS times the golden ratio, without a factor in common: the Items of any catalog are spread evenly."""
RARE = 100_000
ASSETS = ("coastal", "blue", "green", "red", "nir08", "swir16", "swir22", "lwir11")
EXTENSIONS = [
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("eo/v2.0.0", "projection/v2.0.0", "raster/v2.0.0", "view/v1.0.0")
]
CHUNK = 10_000
PROCESSES = 2


def collection_id(number: int) -> str:
    """Return the id of a collection."""
    return f"landsat-{number}"


def collection(number: int) -> Json:
    """Return a collection, whose `item_assets` hold what is the same in all of its Items."""
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": collection_id(number),
        "title": f"Landsat {number}",
        "description": "Surface reflectance that was never measured.",
        "license": "other",
        "keywords": ["landsat"],
        "extent": {
            "spatial": {"bbox": [[-180, -61, 180, 76]]},
            "temporal": {"interval": [[text_of(BEGIN), text_of(BEGIN + timedelta(seconds=SECONDS))]]},
        },
        "item_assets": {name: _of_every_item(name) for name in ASSETS},
        "links": [],
    }


def item(number: int, collections: int) -> Json:
    """Return an Item; its collection is one of so many."""
    chance = random.Random(number)  # noqa: S311 - it shall be foreseen
    at = _acquired(number)
    path, row, satellite = chance.randint(1, 233), chance.randint(1, 122), chance.choice((8, 9))
    scene = f"LC0{satellite}_L2SP_{path:03}{row:03}_{at:%Y%m%d}_{number:07}_02_T1"
    west, south = chance.uniform(-180, 178), chance.uniform(-60, 73)
    size, skew = chance.uniform(1.5, 2), chance.uniform(0.1, 0.4)
    ring = [(west, south), (west + size - skew, south), (west + size, south + size), (west + skew, south + size)]
    corners = [[round(x, 5), round(y, 5)] for x, y in [*ring, ring[0]]]
    transform = [30, 0, 15 * chance.randint(10_000, 30_000), 0, -30, 15 * chance.randint(10_000, 500_000)]
    tags = [
        *(["half"] if chance.random() < 0.5 else []),
        *(["percent"] if chance.random() < 0.01 else []),
        *(["rare"] if number % RARE == 0 else []),
    ]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": EXTENSIONS,
        "id": scene,
        "collection": collection_id(number % collections),
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "bbox": [*corners[0], *corners[2]],
        "properties": {
            "datetime": text_of(at),
            "created": text_of(at + timedelta(days=2)),
            "updated": text_of(at + timedelta(days=chance.randint(3, 30))),
            "platform": f"landsat-{satellite}",
            "instruments": ["oli", "tirs"],
            "gsd": 30,
            "eo:cloud_cover": round(chance.uniform(0, 100), 2),
            "view:off_nadir": 0,
            "view:sun_azimuth": round(chance.uniform(30, 170), 5),
            "view:sun_elevation": round(chance.uniform(10, 70), 5),
            "proj:code": f"EPSG:{32600 + chance.randint(1, 60)}",
            "proj:shape": [chance.randint(7600, 7900), chance.randint(7500, 7800)],
            **({"keywords": tags} if tags else {}),
        },
        "assets": {
            name: {
                "href": f"s3://landsat/{scene}/{name}.tif",
                **_of_every_item(name),
                "proj:transform": transform,
            }
            for name in ASSETS
        },
        "links": [],
    }


def catalog(cluster_url: str, items: int, collections: int) -> str:
    """Return the address of a database that holds so many Items; loads them if the cluster does not have it yet."""
    name = f"landsat_{items}_{collections}"
    unfinished = f"{name}_unfinished"
    with psycopg.connect(cluster_url, autocommit=True) as cluster:
        if cluster.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            cluster.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(unfinished)))
            cluster.execute(SQL("CREATE DATABASE {}").format(Identifier(unfinished)))
            load(_database(cluster_url, unfinished), items, collections)
            cluster.execute(SQL("ALTER DATABASE {} RENAME TO {}").format(Identifier(unfinished), Identifier(name)))
    url = _database(cluster_url, name)
    migrate(url)
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("VACUUM (ANALYZE)")
        database.execute("CHECKPOINT")
    return url


def load(url: str, items: int, collections: int) -> None:
    """Migrate an empty database, and load so many Items as pypgstac does, in several processes."""
    migrate(url)
    whole = [text_of(BEGIN), text_of(BEGIN + timedelta(seconds=SECONDS))] * 2
    with PgstacDB(dsn=url) as database:
        Loader(database).load_collections(iter([collection(number) for number in range(collections)]))
        # Known beforehand, or every chunk would widen the partitions, and wait for the other process.
        for number in range(collections):
            bounds = [collection_id(number), *whole]
            database.query_one("SELECT check_partition(%s, tstzrange(%s, %s, '[]'), tstzrange(%s, %s, '[]'))", bounds)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, context) as pool, tqdm(total=items, unit=" items", desc="Loading") as progress:
        loaded = [pool.submit(_load, url, numbers, collections) for numbers in batched(range(items), CHUNK)]
        for chunk in as_completed(loaded):
            progress.update(chunk.result())
    with psycopg.connect(url, autocommit=True, options="-c search_path=pgstac,public") as connection:
        connection.execute("CALL run_queued_queries()")


def text_of(moment: datetime) -> str:
    """Return a moment as STAC writes it."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _load(url: str, numbers: tuple[int, ...], collections: int) -> int:
    # What follows from a partition's rows is queued, and done once at the end; a crash would only mean a new run.
    with PgstacDB(dsn=f"{url}?options=-csynchronous_commit%3Doff", use_queue=True) as database:
        Loader(database).load_items(item(number, collections) for number in numbers)
    return len(numbers)


def _of_every_item(asset: str) -> Json:
    """Return what the asset is in each Item."""
    return {
        "type": "image/tiff; application=geotiff",
        "roles": ["data"],
        "bands": [{"eo:common_name": asset}],
        "raster:scale": 2.75e-05,
    }


def _acquired(number: int) -> datetime:
    """Return when an Item was acquired: each 50th with the one before it, all others at a second of their own."""
    return BEGIN + timedelta(seconds=(number - number % 50 // 49) * STRIDE % SECONDS)


def _database(cluster_url: str, name: str) -> str:
    return f"{cluster_url.rpartition('/')[0]}/{name}"
