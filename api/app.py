"""The application, put together from its settings: `uvicorn --factory api.app:create_app`."""

from __future__ import annotations

from importlib.metadata import version

from brotli_asgi import BrotliMiddleware
from fastapi import APIRouter, FastAPI
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.models import (
    ItemCollectionUri,
    JSONResponse,
    create_get_request_model,
    create_post_request_model,
    create_request_model,
)
from stac_fastapi.pgstac.config import Settings
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from api import assets, deletions, health, uploads
from api.errors import add_error_handlers
from api.forwarded import ForwardedMiddleware
from api.lifespan import lifespan
from api.limits import LimitsMiddleware
from api.middleware import HeadMiddleware, PublicHrefsMiddleware, WriteKeyMiddleware
from api.stac import sortables
from api.stac.bulk import BulkTransactions, BulkTransactionsClient
from api.stac.client import CatalogClient, SearchBody
from api.stac.extensions import extensions
from api.stac.transactions import Transactions, TransactionsClient
from stac_ingest.database.cluster import address_of
from stac_ingest.settings import ApiSettings, ServiceSettings, load
from stac_ingest.storage import open_store


def create_app(service: ServiceSettings | None = None, settings: ApiSettings | None = None) -> FastAPI:
    """Return the service; settings that are not given come from the environment."""
    service = service or load(ServiceSettings)
    settings = settings or load(ApiSettings)
    database_url = service.database_url or address_of(service.data_dir)
    store = open_store(service.resolved_store_url)
    app = FastAPI(
        title=settings.title,
        version=version("stac-ingest"),
        description=settings.description,
        root_path=settings.root_path,
        openapi_url="/api",
        docs_url="/api.html",
        redoc_url=None,
        lifespan=lifespan(database_url, store, settings.max_file_bytes),
        middleware=_middlewares(settings, store.url),
    )
    for part in (uploads, deletions, assets, health, sortables):
        app.include_router(part.router)
    _add_stac_api(app, settings)
    add_error_handlers(app)
    return app


def _middlewares(settings: ApiSettings, store_url: str) -> list[Middleware]:
    """Return them from the outermost in: a request passes from first to last, its answer from last to first."""
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=["*"],
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
            allow_headers=[
                *("Authorization", "Content-Type", "Content-Digest", "Range"),
                *(
                    "If-Match",
                    "If-None-Match",
                    "If-Modified-Since",
                    "If-Unmodified-Since",
                    "If-Range",
                    "Idempotency-Key",
                ),
            ],
            expose_headers=["Accept-Ranges", "Content-Length", "Content-Range", "ETag", "Location", "Allow"],
            max_age=600,
        ),
        Middleware(WriteKeyMiddleware, api_keys=settings.api_keys),
        Middleware(LimitsMiddleware),
        Middleware(HeadMiddleware),
        # Ranges of a compressed answer would be ranges of something else, so assets and events stay as they are.
        Middleware(BrotliMiddleware, excluded_handlers=[r"^/assets/", r"^/uploads/[^/]+/events$"]),
        Middleware(ForwardedMiddleware),
        Middleware(PublicHrefsMiddleware, store_url=store_url),
    ]


def _add_stac_api(app: FastAPI, settings: ApiSettings) -> None:
    # Everything that stac-fastapi would else take from the environment is said here.
    stac_settings = Settings(
        _env_file=None,
        stac_fastapi_title=settings.title,
        stac_fastapi_description=settings.description,
        stac_fastapi_landing_id="stac-ingest",
        stac_fastapi_version=version("stac-ingest"),
        enabled_extensions=None,
        enable_transactions_extensions=True,
        enable_response_models=False,
        enable_direct_response=False,
        validate_extensions=False,
        use_api_hydrate=False,
        prefix_path="",
        root_path=settings.root_path,
        openapi_url="/api",
        docs_url="/api.html",
    )
    offered = extensions(stac_settings)
    search_model = create_post_request_model(offered.search, base_model=SearchBody)
    collection_search = offered.collection_search
    StacApi(
        app=app,
        router=APIRouter(),
        settings=stac_settings,
        extensions=[
            *offered.search,
            *offered.item_collection,
            Transactions(  # type: ignore[call-arg]
                client=TransactionsClient(), settings=stac_settings, response_class=JSONResponse
            ),
            BulkTransactions(client=BulkTransactionsClient()),  # type: ignore[call-arg]
            collection_search,
        ],
        client=CatalogClient(  # type: ignore[call-arg]
            landing_page_id="stac-ingest",
            title=settings.title,
            description=settings.description,
            pgstac_search_model=search_model,
        ),
        response_class=JSONResponse,
        items_get_request_model=create_request_model(
            model_name="ItemCollectionUri",
            base_model=ItemCollectionUri,
            extensions=offered.item_collection,
            request_type="GET",
        ),
        search_get_request_model=create_get_request_model(offered.search),
        search_post_request_model=search_model,
        collections_get_request_model=collection_search.GET,
        middlewares=[],
    )
