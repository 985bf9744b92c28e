"""A server that speaks S3, in a process of its own: moto's, or the one `RETELL_WS_TEST_S3` gives the address of."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from ..machine import free_port

__all__ = ["Bucket", "bucket"]

START_S = 30.0


class Bucket:
    """An empty bucket.

    Attributes:
        where: As the setting `archive` has it.
        environment: What a process needs to reach it.
    """

    def __init__(self, endpoint: str) -> None:
        name = f"calls-{uuid.uuid4().hex[:12]}"
        self.where = f"s3://{name}/transcripts of ours"
        self.environment: Mapping[str, str] = {
            "AWS_ACCESS_KEY_ID": "canary",
            "AWS_SECRET_ACCESS_KEY": "canary",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT": endpoint,
            "AWS_ALLOW_HTTP": "true",
        }
        asking = urllib.request.Request(f"{endpoint}/{name}", method="PUT")
        with urllib.request.urlopen(asking) as answer:
            assert answer.status == 200


@contextmanager
def serving() -> Iterator[str]:
    if endpoint := os.environ.get("RETELL_WS_TEST_S3"):
        yield endpoint
        return
    if not all(importlib.util.find_spec(name) for name in ("moto", "flask", "flask_cors")):
        pytest.skip("no server that speaks S3: pip install 'moto[s3]' flask flask-cors")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        give_up = time.monotonic() + START_S
        while True:
            try:
                with urllib.request.urlopen(endpoint):
                    break
            except urllib.error.URLError:
                assert process.poll() is None and time.monotonic() < give_up, "the server does not answer"
                time.sleep(0.05)
        yield endpoint
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with serving() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Give an empty bucket, which this process can reach."""
    made = Bucket(s3_endpoint)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made
