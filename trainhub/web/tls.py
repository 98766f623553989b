"""TLS by a certificate and its key: modern versions and ciphers, renewed without a restart."""

import logging
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificates

from trainhub.process.file_watch import FileWatch

logger = logging.getLogger("trainhub.tls")

# Ciphers of TLS 1.2 with forward secrecy and authenticated encryption. All of TLS 1.3 have both.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
# The hub complains this long before a certificate's end: issuers renew a month before it.
RENEW_BEFORE = timedelta(days=14)


class BadCertificate(Exception):
    """The certificate or its key cannot be used; the message says what to do."""


class Certificate:
    """A certificate and its key, as the two files last held a sound pair."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read the pair. Raises BadCertificate if it cannot be used."""
        self._certificate, self._key = certificate, key
        self._watch = FileWatch((certificate, key))
        self.context = make_context(certificate, key)
        self._ends = _end_of(certificate)

    def renewed(self) -> bool:
        """Return whether `context` was replaced: the files were changed and hold a sound pair.

        A pair that cannot be used is logged once, and the old one stays.
        """
        if not self._watch.changed():
            return False
        try:
            self.context = make_context(self._certificate, self._key)
        except BadCertificate as error:
            logger.warning("the certificate before the change stays in use: %s", error)
            return False
        self._ends = _end_of(self._certificate)
        logger.info("the certificate was renewed")
        return True

    def complaints(self) -> list[str]:
        """Return that the certificate ends soon, or has ended."""
        if self._ends - datetime.now(UTC) > RENEW_BEFORE:
            return []
        return [f"the TLS certificate is good until {self._ends:%Y-%m-%d %H:%M} UTC: renew it"]


def _end_of(certificate: Path) -> datetime:
    """Return the end of a file's first certificate, which OpenSSL has just read."""
    return load_pem_x509_certificates(certificate.read_bytes())[0].not_valid_after_utc


def make_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the server's side of TLS 1.2 and 1.3. Raises BadCertificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])

    def locked() -> str:
        raise BadCertificate(f"{key} has a passphrase, which the hub cannot ask for: remove it")

    try:
        context.load_cert_chain(certificate, key, password=locked)
    except ssl.SSLError as error:
        why = error.reason or str(error)
        raise BadCertificate(
            f"{certificate} and {key} are no certificate and its key in PEM ({why}): "
            "give such a pair with --tls-cert and --tls-key"
        ) from error
    except OSError as error:
        name = next((each for each in (certificate, key) if not os.access(each, os.R_OK)), key)
        raise BadCertificate(
            f"{name} cannot be read ({error.strerror}): see --tls-cert and --tls-key"
        ) from error
    return context
