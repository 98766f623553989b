"""TLS by a certificate and its key: modern versions and ciphers, and new files as they come."""

import logging
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificates

from trainhub.process.file_watch import FileWatch

logger = logging.getLogger("trainhub.tls")

# For TLS 1.2; those of TLS 1.3 are all sound. Forward secrecy and authenticated encryption only.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


# Issuers renew a month before the end. A fortnight before it something is wrong.
RENEW_BEFORE = timedelta(days=14)


class BadCertificate(Exception):
    """The certificate or its key cannot be used; the message says what to do."""


class Certificate:
    """The pair of files that the hub shows, as they were when they were last sound."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises BadCertificate."""
        self._certificate, self._key = certificate, key
        self._watch = FileWatch((certificate, key))
        self.context = make_context(certificate, key)
        self._ends = _end_of(certificate)

    def renewed(self) -> bool:
        """Whether `context` is another one now: the files were changed, and are sound.

        A pair that is not is logged once, and the old one stays.
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
    """Return the end of a certificate that OpenSSL has just read; of a chain's first one."""
    return load_pem_x509_certificates(certificate.read_bytes())[0].not_valid_after_utc


def make_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's side of TLS 1.2 and 1.3. Raises BadCertificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])

    def locked() -> str:
        raise BadCertificate(f"{key} has a passphrase, which the hub cannot ask for: take it off")

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
