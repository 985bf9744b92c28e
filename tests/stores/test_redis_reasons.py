"""Why a Redis does not let us in, of the errors that no server of a test gives."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest
from redis.exceptions import (
    AuthenticationWrongNumberOfArgsError,
    BusyLoadingError,
    ConnectionError,
    RedisError,
    TimeoutError,
)

from retell_ws.stores.redis_reasons import reason


def wrapped(cause: OSError) -> RedisError:
    """Wrap an error of the system's as the library does."""
    made = ConnectionError("Error 1 connecting to canary:6379")
    made.__cause__ = cause
    return made


def of_tls(word: str) -> ssl.SSLError:
    made = ssl.SSLError(1, "canary")
    made.reason = word
    return made


def of_certificate(code: int) -> ssl.SSLCertVerificationError:
    made = ssl.SSLCertVerificationError(1, "canary")
    made.verify_code = code
    return made


@pytest.mark.parametrize(
    ("exc", "word"),
    [
        (wrapped(socket.gaierror(-2, "canary")), "host's name"),
        (wrapped(PermissionError(errno.EACCES, "canary")), "not ours to read"),
        (wrapped(OSError(errno.EHOSTUNREACH, "canary")), "no way to its host"),
        (wrapped(of_certificate(10)), "expired"),
        (wrapped(of_certificate(62)), "another host"),
        (wrapped(of_tls("WRONG_VERSION_NUMBER")), "speaks no TLS"),
        (wrapped(of_tls("TLSV1_3_ALERT_NONSENSE")), "NONSENSE"),
        (wrapped(of_tls("SSLV3_ALERT_HANDSHAKE_FAILURE")), "ssl_certfile"),
        (TimeoutError("canary"), "in time"),
        (BusyLoadingError("canary"), "again"),
        (AuthenticationWrongNumberOfArgsError("canary"), "7.0"),
        (ConnectionError("max number of clients reached"), "maxclients"),
        (ConnectionError("Connection closed by server."), "hangs up"),
    ],
)
def test_each_has_its_words_and_quotes_nothing(exc: RedisError, word: str) -> None:
    assert word in reason(exc)
    assert "canary" not in reason(exc)
