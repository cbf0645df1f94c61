"""The transformer's settings."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from common.settings import without_prefix
from serving.settings import ServerSettings


class TransformerSettings(ServerSettings):
    # While the predictor computes, too: with a pass or two under way, a processor is left over.
    busy_poll_requests: ClassVar[int] = 4
    old_names: ClassVar[dict[str, str]] = ServerSettings.old_names | without_prefix(
        "max_image_bytes",
        "max_image_pixels",
        "max_raster_pixels",
        "decode_threads",
        "default_top_k",
        "predictor_timeout_seconds",
        "predictor_attempts",
        "wake_predictor",
    )
    old_names |= {"max_batch_size": "BATCH_INSTANCES"}

    max_image_bytes: int = Field(
        16 << 20, ge=64, description="largest encoded image, after base64 is undone"
    )
    max_json_bytes: int = Field(
        32 << 20, ge=1024, description="largest JSON of a body; larger images are sent as they are"
    )
    max_image_pixels: int = Field(
        40_000_000, ge=1, description="most pixels of an image that is decompressed whole"
    )
    max_request_pixels: int = Field(
        200_000_000, ge=1, description="most pixels of all images of one request together"
    )
    max_waiting_pixels: int = Field(
        200_000_000,
        ge=1,
        description="most pixels of large pictures that wait or are decoded; more are refused",
    )
    max_raster_pixels: int = Field(
        160_000_000, ge=1, description="most pixels of a TIFF that is cut into tiles"
    )
    max_raster_part_bytes: int = Field(
        128 << 20,
        ge=1 << 20,
        description="most bytes that a strip or a row of tiles of a TIFF decompresses to",
    )
    decode_threads: int = Field(
        0, ge=0, description="threads that decode images; 0: the processors of the cgroup's quota"
    )
    default_top_k: int = Field(3, ge=1, description="classes listed where a request names no top_k")
    predictor_timeout_seconds: float = Field(
        20.0, gt=0, description="time the predictor has for one call, retries included"
    )
    predictor_attempts: int = Field(
        3, ge=1, le=5, description="calls before 502 or 503 is passed on; other errors never retry"
    )
    predictor_max_bytes: int = Field(
        32 << 20, ge=1024, description="most bytes of one call to the predictor, and of its answer"
    )
    max_batch_size: int = Field(
        32, ge=1, description="most instances of different requests in one call; 1: none share one"
    )
    max_queue_delay_seconds: float = Field(
        0.02,
        ge=0,
        le=10,
        description="longest time that a request waits for others to share a call",
    )
    picture_statistics: bool = Field(
        True, description="count what pictures and answers are like, by which drift is seen"
    )
    wake_predictor: bool = Field(
        True,
        description="be ready once the predictor is, which wakes both together; off: ready at once",
    )
