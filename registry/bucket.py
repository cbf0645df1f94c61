"""An S3 bucket as a store of objects: AWS, GCS by its S3 interface, MinIO, SeaweedFS, …"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from registry.errors import ConflictError, ExistsError, NotFoundError, StoreError
from registry.objects import ObjectStore, Stored

CONNECTIONS = 32
OLD_HEADS_DAYS = 30
"""How long versions of the history's head are kept that are not the newest."""
UNFINISHED_DAYS = 7
MISSING = ("NoSuchKey", "404", "NotFound")
# Two conditional writes at once: S3 may say 409 where others say 412.
UNMET = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


class BucketStore(ObjectStore):
    """Keys below a prefix of a bucket.

    The endpoint and the credentials are found as AWS's own tools find them
    (``AWS_ENDPOINT_URL_S3``, ``AWS_ACCESS_KEY_ID``, ``AWS_PROFILE``, a role, …).
    """

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.url = f"s3://{bucket}/{self._prefix}".rstrip("/")
        config = Config(
            max_pool_connections=CONNECTIONS,
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 4},
            # Stores that speak S3 rarely have a host name a bucket.
            s3={"addressing_style": "auto"},
        )
        try:
            self._client: Any = boto3.client("s3", config=config)
        except (BotoCoreError, ValueError) as error:
            raise StoreError(f"{self.url}: {error}") from None

    def create(self, key: str, data: bytes) -> None:
        # A retry of a write that did succeed finds its own object: whoever writes knows its bytes.
        with self._errors(key, unmet=ExistsError(f"{self.url}/{key} exists")):
            self._client.put_object(**self._at(key), Body=data, IfNoneMatch="*")

    def replace(self, key: str, data: bytes, etag: str) -> None:
        changed = ConflictError(f"{self.url}/{key} was changed meanwhile")
        with self._errors(key, unmet=changed, missing=changed):
            self._client.put_object(**self._at(key), Body=data, IfMatch=etag)

    def read(self, key: str) -> Stored:
        with self._errors(key):
            found = self._client.get_object(**self._at(key))
            return Stored(found["Body"].read(), found["ETag"])
        raise AssertionError("unreachable")

    def keys(self, prefix: str) -> Iterator[str]:
        yield from (key for key, _ in self.marks(prefix))

    def marks(self, prefix: str) -> Iterator[tuple[str, str]]:
        with self._errors(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for item in page.get("Contents", ()):
                    yield item["Key"].removeprefix(self._prefix), item["ETag"]

    def delete(self, key: str) -> None:
        with self._errors(key), contextlib.suppress(NotFoundError):
            self._client.delete_object(**self._at(key))

    def set_up(self) -> list[str]:
        done = []
        try:
            with self._errors("", missing=NotFoundError(self.url)):
                self._client.head_bucket(Bucket=self._bucket)
        except NotFoundError:
            with self._errors(""):
                self._client.create_bucket(Bucket=self._bucket, **self._place())
            done.append(f"made the bucket {self._bucket}")
        with self._errors(""):
            versioning = self._client.get_bucket_versioning(Bucket=self._bucket)
            if versioning.get("Status") != "Enabled":
                self._client.put_bucket_versioning(
                    Bucket=self._bucket, VersioningConfiguration={"Status": "Enabled"}
                )
                done.append("versioning is on: what is deleted can be had again")
            if not self._has_rules():
                self._client.put_bucket_lifecycle_configuration(
                    Bucket=self._bucket, LifecycleConfiguration={"Rules": self._rules()}
                )
                done.append(
                    f"old heads of the history go after {OLD_HEADS_DAYS} days, "
                    f"unfinished uploads after {UNFINISHED_DAYS}"
                )
        return done

    def _place(self) -> dict[str, Any]:
        region = self._client.meta.region_name
        if region in (None, "us-east-1", "aws-global"):
            return {}
        return {"CreateBucketConfiguration": {"LocationConstraint": region}}

    def _has_rules(self) -> bool:
        try:
            found = self._client.get_bucket_lifecycle_configuration(Bucket=self._bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchLifecycleConfiguration":
                return False
            raise
        return bool(found.get("Rules"))  # somebody's own rules are left alone

    def _rules(self) -> list[dict[str, Any]]:
        return [
            {
                "ID": "vision-old-heads",
                "Status": "Enabled",
                "Filter": {"Prefix": f"{self._prefix}history/head.json"},
                "NoncurrentVersionExpiration": {"NoncurrentDays": OLD_HEADS_DAYS},
            },
            {
                "ID": "vision-unfinished-uploads",
                "Status": "Enabled",
                "Filter": {"Prefix": self._prefix},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UNFINISHED_DAYS},
            },
        ]

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    @contextlib.contextmanager
    def _errors(
        self,
        key: str,
        unmet: Exception | None = None,
        missing: Exception | None = None,
    ) -> Iterator[None]:
        """The store's errors as the registry's; ``unmet`` where a write's condition is not met."""
        try:
            yield
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if unmet is not None and code in UNMET:
                raise unmet from None
            if code in MISSING:
                raise missing or NotFoundError(f"{self.url}/{key} is not there") from None
            said = error.response["Error"].get("Message") or code
            raise StoreError(f"{self.url}: {said} ({code})") from None
        except BotoCoreError as error:
            raise StoreError(f"{self.url}: {error}") from None
