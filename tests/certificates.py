"""A certificate for `localhost` that a test makes and trusts."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["certificate", "trusting"]


def certificate(directory: Path) -> tuple[Path, Path]:
    """Make one that lasts an hour.

    Returns:
        A file with it, and one with it and its key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, both = directory / "cert.pem", directory / "both.pem"
    pem = made.public_bytes(serialization.Encoding.PEM)
    chain.write_bytes(pem)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "key.pem").write_bytes(secret)
    both.write_bytes(pem + secret)
    return chain, both


def trusting(chain: Path, *, offers: tuple[str, ...] = ()) -> ssl.SSLContext:
    """Make a client's context that trusts the certificate, and nothing else.

    Args:
        chain: The certificate.
        offers: Protocols to offer by ALPN.
    """
    context = ssl.create_default_context(cafile=str(chain))
    if offers:
        context.set_alpn_protocols(list(offers))
    return context
