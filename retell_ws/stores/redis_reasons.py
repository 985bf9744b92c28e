"""Says why a Redis does not let us in, and what in the URL to change. Of an error's own text nothing is quoted: it may
have a part of what was configured.
"""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    BusyLoadingError,
    NoPermissionError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

__all__ = ["reason"]

ANOTHER_HOST: Final = frozenset({62, 64})
"""OpenSSL's numbers for a certificate whose names, or addresses, are others than the URL's."""

TOO_OLD: Final = 10
"""OpenSSL's number for a certificate that has expired."""

UNREACHABLE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})

OUR_OWN: Final = "ssl_certfile=FILE&ssl_keyfile=FILE"

TLS: Final = {
    "CERTIFICATE_REQUIRED": f"it wants a certificate of ours: {OUR_OWN} behind the URL's `?`",
    "HANDSHAKE_FAILURE": f"TLS does not come about: perhaps it wants a certificate of ours, {OUR_OWN}",
    "UNKNOWN_CA": "it does not trust our certificate: ssl_certfile is to be one of an authority it knows",
    "BAD_CERTIFICATE": "it does not trust our certificate: ssl_certfile is to be one of an authority it knows",
    "CERTIFICATE_EXPIRED": "our certificate has expired: see ssl_certfile",
    "CERTIFICATE_UNKNOWN": "it does not trust our certificate: see ssl_certfile",
    "KEY_VALUES_MISMATCH": "our certificate and our key do not belong together: see ssl_certfile and ssl_keyfile",
    "NO_CERTIFICATE_OR_CRL_FOUND": "a file that the URL names has no certificate: see ssl_ca_certs",
    "WRONG_VERSION_NUMBER": "it speaks no TLS there: `redis://`, or another port",
}
"""By the ends of OpenSSL's words, whose beginnings tell the version of TLS."""


def reason(exc: BaseException) -> str:
    """Say why, in words that follow a colon.

    Args:
        exc: What the library raised.
    """
    match exc:
        case AuthenticationError():
            return "it refuses user or password"
        case AuthenticationWrongNumberOfArgsError():
            return "it knows passwords and no users: run Redis 7.0 or newer"
        case NoPermissionError():  # of all that a connection begins with, only this wants a right
            return "our user may not choose a database: ACL SETUSER … +select, or database 0 in the URL"
        case ResponseError():
            return "it has no database of that number: 0 in the URL is always there"
        case BusyLoadingError():
            return "it is still reading its data from disk: again in a minute"
    cause = _cause(exc)
    match cause:
        case ssl.SSLCertVerificationError():
            return _of_certificate(cause.verify_code)
        case ssl.SSLError():
            said = cause.reason or ""
            known = (words for end, words in TLS.items() if said.endswith(end))
            return next(known, f"TLS does not come about{f' ({said})' if said else ''}")
        case ConnectionRefusedError():
            return "nobody listens there"
        case socket.gaierror():
            return "nobody knows its host's name"
        case FileNotFoundError():
            return "a file that the URL names is not there"
        case PermissionError():
            return "a file that the URL names is not ours to read"
        case TimeoutError() | RedisTimeoutError():
            return "it does not answer in time"
        case OSError() if cause.errno in UNREACHABLE:
            return "there is no way to its host"
    return "it takes no more connections: see its maxclients" if "max number" in str(exc) else "it hangs up"


def _cause(exc: BaseException) -> BaseException:
    """Give the system's own error, which the library wraps in its own."""
    while (inner := exc.__cause__ or exc.__context__) is not None and isinstance(inner, OSError):
        exc = inner
    return exc


def _of_certificate(code: int) -> str:
    if code in ANOTHER_HOST:
        return "its certificate is for another host than the URL's"
    if code == TOO_OLD:
        return "its certificate has expired"
    return "nobody we trust vouches for its certificate: ssl_ca_certs=FILE behind the URL's `?` names who does"
