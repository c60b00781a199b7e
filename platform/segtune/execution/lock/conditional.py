"""Writes to an object store that are made only where nobody else has written meanwhile.

pyarrow's file systems have none, so that boto3 makes them: at the same address, in the same region
and with the same credentials as pyarrow.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pyarrow.fs import S3FileSystem

from segtune.results.storage import Place

_TAKEN = (404, 409, 412)
"""What a store answers where it is not as the condition says: nothing is there to be replaced,
somebody else writes now, or has written."""


class NotOffered(OSError):
    """The store makes no such writes, or can't be asked."""


@dataclass(frozen=True)
class Found:
    """An object as it was found."""

    content: bytes
    version: str
    age: timedelta
    """Since it was written, by the store's own clock."""


@dataclass
class ConditionalFile:
    """An object of S3, or of a store that speaks its language. Contents must differ from write to
    write: versions are told by them."""

    place: Place
    version: str = ""
    """Of what was last written through this object."""
    _client: Any = field(init=False)
    _key: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.place.filesystem, S3FileSystem):
            raise NotOffered(f"{self.place} is not in S3")
        bucket, _, key = self.place.path.partition("/")
        self._key = {"Bucket": bucket, "Key": key}
        self._client = boto3.client("s3", **_as_pyarrow(self.place))

    def create(self, content: bytes) -> bool:
        """Write it if it is not there; whether it was not.

        Raises:
            NotOffered: see there.
        """
        return self._put(content, IfNoneMatch="*")

    def check_that_conditions_count(self, content: bytes) -> None:
        """See that it can't be created once more; some stores take no notice of conditions.

        Raises:
            NotOffered: it can; it is removed.
        """
        if self.create(content):
            with suppress(FileNotFoundError):  # another run has just found out the same
                self.place.remove()
            raise NotOffered(f"{self.place}: the store takes no notice of If-None-Match")

    def replace(self, content: bytes, version: str) -> bool:
        """Write it if it still is of a version; whether it was.

        Raises:
            NotOffered: see there.
        """
        return self._put(content, IfMatch=version)

    def look(self) -> Found | None:
        """What is there now.

        Raises:
            NotOffered: see there.
        """
        try:
            answer = self._client.get_object(**self._key)
            content = answer["Body"].read()
        except ClientError as error:
            if _status(error) == 404:
                return None
            raise NotOffered(str(error)) from error
        except BotoCoreError as error:
            raise NotOffered(str(error)) from error
        written: datetime = answer["LastModified"]
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return Found(content, answer["ETag"], now - written)

    def _put(self, content: bytes, **condition: str) -> bool:
        try:
            answer = self._client.put_object(**self._key, Body=content, **condition)
        except ClientError as error:
            if _status(error) in _TAKEN:
                return False
            raise NotOffered(str(error)) from error
        except BotoCoreError as error:
            raise NotOffered(str(error)) from error
        self.version = answer["ETag"]
        return True


def _status(error: ClientError) -> int:
    status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status


def _as_pyarrow(place: Place) -> dict[str, Any]:
    """Arguments for a client that reaches what pyarrow reaches by a storage's URI. What that leaves
    open both take from the environment and from ~/.aws, as AWS's own tools do."""
    uri = urlsplit(place.root)
    options = dict(parse_qsl(uri.query))
    found: dict[str, Any] = {"region_name": options.get("region", place.filesystem.region)}
    if endpoint := options.get("endpoint_override"):
        scheme = options.get("scheme", "https")
        found["endpoint_url"] = endpoint if "://" in endpoint else f"{scheme}://{endpoint}"
    found["config"] = Config(
        # Stores other than AWS's need not know checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return found
