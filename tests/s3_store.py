"""An S3 server on loopback that can be made to fail, for tests of remotes that are a bucket."""

import base64
import hashlib
import io
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

KEY, SECRET = "key", "secret"  # moto takes any
BUCKET = "bucket"
# What botocore reads. Without the last one, it asks a server of Amazon's machines for credentials where it has none.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/no/such/file",
    "AWS_SHARED_CREDENTIALS_FILE": "/no/such/file",
}
# Answers of S3 by their code: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_ANSWERS = {
    "InternalError": "500 Internal Server Error",
    "SlowDown": "503 Slow Down",
    "AccessDenied": "403 Forbidden",
    "InvalidAccessKeyId": "403 Forbidden",
    "SignatureDoesNotMatch": "403 Forbidden",
    "RequestTimeTooSkewed": "403 Forbidden",
    "XAmzContentSHA256Mismatch": "400 Bad Request",
    "BadDigest": "400 Bad Request",
}
IN_ANSWERS = ("cut answer", "short answer", "flipped answer")
IN_UPLOADS = ("cut upload", "flipped upload")
KINDS = ("InternalError", "SlowDown", "AccessDenied", "hang", "reset", "lost answer", *IN_ANSWERS, *IN_UPLOADS)

Environ = dict[str, Any]
Start = Callable[..., Any]


@dataclass(frozen=True)
class Fault:
    """A fault of the server or of the way to it.

    Attributes:
        kind: a code of S3 (the server answers with this error), `hang` (it does not answer), `reset` (the connection is lost
            before the request is done), `lost answer` (after it is done), `cut upload` (in the middle of an upload),
            `flipped upload` (a bit of an upload changes), `cut answer` (the connection is lost in the middle of an answer),
            `short answer` (it is complete, with half of the content), `flipped answer` (a bit of the content changes).
        after: the number of requests that pass before it, of those that can have it.
        count: the number of requests that have it.
        share: where in the content it is, from 0 to 1.
    """

    kind: str
    after: int = 0
    count: int = 1
    share: float = 0.5

    def fits(self, method: str, length: int) -> bool:
        """Whether a request can have this fault."""
        if self.kind in IN_UPLOADS:
            return method in {"PUT", "POST"} and length > 0
        return method == "GET" or self.kind not in IN_ANSWERS


class _Quiet(MotoRequestHandler):
    def log(self, *_: Any) -> None:
        """Prints nothing."""

    def connection_dropped(self, error: BaseException, environ: Environ | None = None) -> None:
        """Closes the connection; werkzeug would keep it open."""
        self.close_connection = True


class Store:
    """An S3 server with one empty bucket; a context that runs it.

    Attributes:
        fault: what befalls the next requests.
        requests: the method and path of each request since the last fault began.
        struck: the number of them that had the fault.
        checks_uploads: whether it compares uploads with the hashes that come with them, as S3 does and moto does not.
    """

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.requests: list[str] = []
        self.checks_uploads = True
        self._fitting = self.struck = 0
        self._lock = threading.Lock()
        self._calmed = threading.Event()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._port = 0
        self._makes = False
        self._server: BaseWSGIServer | None = None

    def __enter__(self) -> "Store":
        self.start()
        known = [bucket["Name"] for bucket in self.client.list_buckets()["Buckets"]]  # moto has one memory for all its servers
        self._makes = BUCKET not in known
        if self._makes:
            self.client.create_bucket(Bucket=BUCKET)
        return self

    def __exit__(self, *_: object) -> None:
        self._calm()
        if self._makes:
            self.clear()
            self.client.delete_bucket(Bucket=BUCKET)
        self.stop()

    @property
    def url(self) -> str:
        """Its address, which stays the same when it is stopped and started again."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that clients need for it."""
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL": self.url}

    def start(self) -> None:
        """Starts to answer."""
        self._server = make_server("127.0.0.1", self._port, self, threaded=True, request_handler=_Quiet)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stops; connections are refused from now on."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """Has a fault as long as the context lasts."""
        self.requests, self._fitting, self.struck = [], 0, 0
        self.fault = fault
        try:
            yield
        finally:
            self._calm()

    def _calm(self) -> None:
        """Ends the fault, and lets requests that hang go on."""
        self.fault = None
        self._calmed.set()
        self._calmed = threading.Event()

    @cached_property
    def client(self) -> Any:
        """A client that takes no notice of DVC."""
        return boto3.client(
            "s3", endpoint_url=self.url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1"
        )

    def names(self, prefix: str = "") -> list[str]:
        """The names of the objects below a prefix."""
        found = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in found for entry in page.get("Contents", ())]

    def clear(self) -> None:
        """Removes all objects."""
        for name in self.names():
            self.client.delete_object(Bucket=BUCKET, Key=name)

    def read(self, name: str) -> bytes:
        """The content of an object."""
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=name)["Body"].read()
        return content

    def write(self, name: str, content: bytes) -> None:
        """Writes an object."""
        self.client.put_object(Bucket=BUCKET, Key=name, Body=content)

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        """The WSGI application: moto, with the fault before or behind it."""
        method, length = environ["REQUEST_METHOD"], int(environ.get("CONTENT_LENGTH") or 0)
        fault = self._next(f"{method} {environ['REQUEST_URI']}", method, length)
        kind = fault.kind if fault else ""
        if kind == "reset":
            raise ConnectionResetError
        if kind == "hang":
            self._calmed.wait(60)
            raise ConnectionResetError
        if kind in _ANSWERS:
            environ["wsgi.input"].read(length)
            return _refuse(kind, method, start_response)
        if fault and kind == "cut upload":
            environ["wsgi.input"].read(int(fault.share * length))
            raise ConnectionResetError
        body = environ["wsgi.input"].read(length)
        if fault and kind == "flipped upload":
            body = _flipped(body, fault.share)
        refused = _mismatch(environ, body) if self.checks_uploads else ""
        if refused:
            return _refuse(refused, method, start_response)
        environ["wsgi.input"] = io.BytesIO(body)
        return self._answer(environ, start_response, fault)

    def _next(self, request: str, method: str, length: int) -> Fault | None:
        """The fault of a request, if it has one."""
        with self._lock:
            self.requests.append(request)
            fault = self.fault
            if fault is None or not fault.fits(method, length):
                return None
            self._fitting += 1
            strikes = fault.after < self._fitting <= fault.after + fault.count
            self.struck += strikes
            return fault if strikes else None

    def _answer(self, environ: Environ, start_response: Start, fault: Fault | None) -> Iterable[bytes]:
        """Moto's answer, with the fault."""
        given: list[Any] = []
        answer = self._moto(environ, lambda *arguments: given.extend(arguments))
        content = b"".join(answer)
        status, headers, *_ = given
        kind = fault.kind if fault else ""
        if kind == "lost answer":
            raise ConnectionResetError
        if fault is None or not content:
            start_response(status, headers)
            return [content]
        part = content[: int(fault.share * len(content))]
        if kind == "cut answer":
            start_response(status, headers)
            return _lost_after(part)
        damaged = part if kind == "short answer" else _flipped(content, fault.share)
        # Without the checksums, by which botocore would find it: other storages than Amazon's send none.
        others = [(name, value) for name, value in headers if not name.lower().startswith(("content-length", "x-amz-checksum"))]
        start_response(status, [*others, ("Content-Length", str(len(damaged)))])
        return [damaged]


def _refuse(code: str, method: str, start_response: Start) -> Iterable[bytes]:
    """An error as S3 answers it; an answer to HEAD has no content."""
    content = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code} of the test</Message></Error>".encode()
    start_response(_ANSWERS[code], [("Content-Type", "application/xml"), ("Content-Length", str(len(content)))])
    return [] if method == "HEAD" else [content]


def _lost_after(part: bytes) -> Iterator[bytes]:
    yield part
    raise ConnectionResetError


def _flipped(content: bytes, share: float) -> bytes:
    bit = int(share * (8 * len(content) - 1))
    return content[: bit // 8] + bytes([content[bit // 8] ^ 1 << bit % 8]) + content[bit // 8 + 1 :]


def _mismatch(environ: Environ, body: bytes) -> str:
    """The code with which S3 refuses an upload that differs from the hashes in its head; empty if it does not."""
    sha256 = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
    if len(sha256) == 64 and sha256 != hashlib.sha256(body).hexdigest():
        return "XAmzContentSHA256Mismatch"
    crc = environ.get("HTTP_X_AMZ_CHECKSUM_CRC32")
    if crc and crc != base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode():
        return "BadDigest"
    return ""
