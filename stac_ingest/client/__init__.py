"""The SDK: catalog objects over HTTP. It talks plain STAC wherever STAC has a way to say it."""

from stac_ingest.client.band import Band, ClassBand, GenericBand, MaskBand, MicrowaveBand, SpectralBand
from stac_ingest.client.collection import BandCollection, Collection, ProductCollection
from stac_ingest.client.connection import Client
from stac_ingest.client.deletion import DeletionTaskStatus
from stac_ingest.client.image import Image
from stac_ingest.client.image_collection import ImageCollection
from stac_ingest.client.product import Product
from stac_ingest.client.reading.download import DownloadFileFormat
from stac_ingest.client.reading.geocontext import GeoContext
from stac_ingest.client.reading.scaling import ScalingMode
from stac_ingest.client.searching.searches import BandSearch, ImageSearch, ImageUploadSearch, ProductSearch, Search
from stac_ingest.client.searching.summary import ImageSummaryResult
from stac_ingest.client.uploading.uploads import ImageUpload, ImageUploadCollection, upload_images
from stac_ingest.errors import (
    AttributeValidationError,
    BadRequestError,
    ClientError,
    ConflictError,
    DeletedObjectError,
    ForbiddenError,
    GatewayTimeoutError,
    GoneError,
    MethodNotAllowedError,
    NotFoundError,
    RateLimitError,
    ServerError,
    StacIngestError,
    UnauthorizedError,
    UnsavedObjectError,
    UploadFailedError,
    ValidationError,
)
from stac_ingest.filters import Expression, Property, properties
from stac_ingest.models.bands import ProcessingStep
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.enums import (
    AggregateDateField,
    BandType,
    Codec,
    Colormap,
    DataType,
    DocumentState,
    ImageUploadEventSeverity,
    ImageUploadEventType,
    ImageUploadStatus,
    ImageUploadType,
    Interval,
    OverviewResampler,
    ResampleAlgorithm,
    ResolutionUnit,
    StorageState,
    TaskState,
)
from stac_ingest.models.image import File
from stac_ingest.models.upload import ImageUploadEvent, ImageUploadOptions, UploadProblem
from stac_ingest.models.values import Resolution

__all__ = [
    "AggregateDateField",
    "AttributeValidationError",
    "BadRequestError",
    "Band",
    "BandCollection",
    "BandSearch",
    "BandType",
    "ClassBand",
    "Client",
    "ClientError",
    "Codec",
    "CogProfile",
    "Collection",
    "Colormap",
    "ConflictError",
    "DataType",
    "DeletedObjectError",
    "DeletionTaskStatus",
    "DocumentState",
    "DownloadFileFormat",
    "Expression",
    "File",
    "ForbiddenError",
    "GatewayTimeoutError",
    "GenericBand",
    "GeoContext",
    "GoneError",
    "Image",
    "ImageCollection",
    "ImageSearch",
    "ImageSummaryResult",
    "ImageUpload",
    "ImageUploadCollection",
    "ImageUploadEvent",
    "ImageUploadEventSeverity",
    "ImageUploadEventType",
    "ImageUploadOptions",
    "ImageUploadSearch",
    "ImageUploadStatus",
    "ImageUploadType",
    "Interval",
    "MaskBand",
    "MethodNotAllowedError",
    "MicrowaveBand",
    "NotFoundError",
    "OverviewResampler",
    "ProcessingStep",
    "Product",
    "ProductCollection",
    "ProductSearch",
    "Property",
    "RateLimitError",
    "ResampleAlgorithm",
    "Resolution",
    "ResolutionUnit",
    "ScalingMode",
    "Search",
    "ServerError",
    "SpectralBand",
    "StacIngestError",
    "StorageState",
    "TaskState",
    "UnauthorizedError",
    "UnsavedObjectError",
    "UploadFailedError",
    "UploadProblem",
    "ValidationError",
    "properties",
    "upload_images",
]
