"""E-mail by SMTP: one kept connection to one server, and a clear word for each refusal."""

import asyncio
import logging
import os
import re
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.policy import SMTPUTF8
from email.utils import parseaddr
from urllib.parse import unquote, urlsplit

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from trainhub.adapters.email_message import message, recipient, written
from trainhub.core.notifications import Notification, TryLater, Undeliverable

logger = logging.getLogger("trainhub.mail")

# E-mails that wait for the connection or have it: one is made while another is sent.
AT_ONCE = 2
# Seconds to connect, encrypt and log in; and as many again to hand over one e-mail.
TIMEOUT_SECONDS = 10.0
# E-mails after which a connection is replaced, and seconds after which it is closed.
MESSAGES_A_CONNECTION = 100
CONNECTION_SECONDS = 60.0
# Seconds for a polite goodbye.
QUIT_SECONDS = 2.0
# Seconds until the next try: greylisting servers ask for one to five minutes.
LATER_SECONDS = 60.0
# Seconds until the next try when the server has no connection to spare.
BUSY_SECONDS = 15.0
# The answer of a server that closes the connection (RFC 5321, 3.8).
BUSY = 421
# Seconds until an old connection is looked at again that was in use.
RETIRE_AGAIN_SECONDS = 1.0
USUAL_PORTS = {"smtp": 587, "smtps": 465}
# The code of RFC 3463, the only part of an answer that never quotes an address.
_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b")


class MailFailed(Exception):
    """The mail server could not be used; the message says why, without personal data."""


@dataclass(slots=True)
class _Connection:
    """A connected client. It is never connected a second time: aiosmtplib may hang in that."""

    client: SMTP
    opened: float = field(default_factory=time.monotonic)
    messages: int = 0

    @property
    def usable(self) -> bool:
        age = time.monotonic() - self.opened
        fresh = self.messages < MESSAGES_A_CONNECTION and age < CONNECTION_SECONDS
        return fresh and self.client.is_connected


class SmtpMail:
    """A notifications.Sender for e-mail.

    `url` is smtp://, which is encrypted by STARTTLS if the server offers it and always if there
    are credentials, or smtps://, which is encrypted from the start. Certificates are verified.
    `say` is told each step in words.
    """

    at_once = AT_ONCE

    def __init__(
        self,
        url: str,
        mail_from: str,
        public_url: str = "",
        *,
        trust: ssl.SSLContext | None = None,
        say: Callable[[str], None] = logger.debug,
    ) -> None:
        parts = urlsplit(url)
        self._tls = parts.scheme == "smtps"
        self._host = parts.hostname or ""
        self._port = parts.port or USUAL_PORTS[parts.scheme]
        self._user = None if parts.username is None else unquote(parts.username)
        self._password = None if parts.password is None else unquote(parts.password)
        self._from = mail_from
        self._sender = parseaddr(mail_from)[1]
        self._public_url = public_url
        self._trust = trust
        self._say = say
        self._connection: _Connection | None = None
        self._turn = asyncio.Lock()
        self._closing: asyncio.TimerHandle | None = None

    async def send(self, notification: Notification) -> str:
        """Return when the mail server has taken the e-mail.

        Raises Undeliverable if the server refuses the address or the text for good, TryLater if
        it asks for a later try, and MailFailed if it cannot be used.
        """
        made = message(notification, self._from, self._public_url, datetime.now(UTC))
        to = recipient(notification)
        wide = not to.addr_spec.isascii()
        content = written(made, SMTPUTF8.clone(cte_type="8bit")) if wide else written(made)
        async with self._turn:
            kept = self._connection is not None and self._connection.usable
            try:
                return await self._hand_over(to.addr_spec, content, wide)
            except SMTPServerDisconnected:
                if not kept:
                    raise MailFailed(f"{self._host} dropped the connection") from None
            # The server closed a kept connection, as it may at any time. It has no text yet.
            try:
                return await self._hand_over(to.addr_spec, content, wide)
            except SMTPServerDisconnected:
                raise MailFailed(f"{self._host} dropped the connection") from None

    async def close(self) -> None:
        """Say goodbye to the server, for a short while."""
        connection, self._connection = self._connection, None
        if self._closing is not None:
            self._closing.cancel()
        if connection is not None and connection.client.is_connected:
            with suppress(SMTPException, OSError, TimeoutError):
                async with asyncio.timeout(QUIT_SECONDS):
                    await connection.client.quit()
            connection.client.close()

    async def _hand_over(self, to: str, content: bytes, wide: bool) -> str:
        """Bring one e-mail to the server.

        Raises SMTPServerDisconnected if the connection was dropped before the text was sent.
        """
        connection = await self._connected()
        client = connection.client
        if wide and not client.supports_extension("smtputf8"):
            raise Undeliverable(
                "the e-mail address has letters outside ASCII, which the mail server cannot "
                "deliver to (it has no SMTPUTF8)"
            )
        connection.messages += 1
        sane = False
        step = "the sender"
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                options = ["SMTPUTF8", "BODY=8BITMIME"] if wide else []
                encoding = "utf-8" if wide else "ascii"
                await client.mail(self._sender, options=options, encoding=encoding)
                self._say("the server accepts the sender")
                step = "the recipient"
                await client.rcpt(to, encoding=encoding)
                self._say("the server accepts the recipient")
                step = "the text"
                answer = await client.data(content)
            sane = True
        except SMTPResponseException as error:
            if error.code == BUSY and step == "the sender" and connection.messages > 1:
                raise SMTPServerDisconnected("idle for too long") from None
            sane = client.is_connected and await self._reset(client)
            raise self._refusal(error, step) from None
        except SMTPServerDisconnected:
            if step == "the text":
                raise MailFailed(f"{self._host} dropped the connection in the text") from None
            raise
        except (SMTPException, OSError, TimeoutError) as error:
            raise MailFailed(_why(self._host, error)) from None
        finally:
            if not sane:  # also if the caller gave up in the middle
                self._drop(connection)
        self._say(f"the server has taken the e-mail: {answer.code}{_enhanced(answer.message)}")
        return f"taken by {self._host}"

    async def _reset(self, client: SMTP) -> bool:
        try:
            async with asyncio.timeout(QUIT_SECONDS):
                await client.rset()
        except (SMTPException, OSError, TimeoutError):
            return False
        return True

    async def _connected(self) -> _Connection:
        if self._connection is not None and self._connection.usable:
            return self._connection
        await self.close()
        self._say(f"connecting to {self._host}, port {self._port}")
        client = SMTP(
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password,
            use_tls=self._tls,
            start_tls=False if self._tls else None if self._user is None else True,
            tls_context=self._trust,
            timeout=TIMEOUT_SECONDS,
        )
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await client.connect()
                # Asked now, so that a refusal is the connection's and not an e-mail's.
                if client.is_ehlo_or_helo_needed:
                    await client.ehlo()
        except SMTPResponseException as error:
            if error.code < 500:
                raise self._refusal(error, "the connection") from None
            raise MailFailed(
                f"{self._host} refuses the hub: it answered {_answer(error)}"
            ) from None
        except (SMTPException, OSError, TimeoutError) as error:
            raise MailFailed(_why(self._host, error)) from None
        finally:
            if not client.is_connected or client.is_ehlo_or_helo_needed:
                client.close()
        self._say_how(client)
        self._connection = _Connection(client)
        loop = asyncio.get_running_loop()
        self._closing = loop.call_later(CONNECTION_SECONDS, self._retire, self._connection)
        return self._connection

    def _say_how(self, client: SMTP) -> None:
        tls = client.get_transport_info("ssl_object")
        how = "not encrypted" if tls is None else f"encrypted by {tls.version()}, verified"
        who = "no login" if self._user is None else "logged in"
        wide = "takes" if client.supports_extension("smtputf8") else "does not take"
        self._say(f"connected: {how}; {who}; the server {wide} addresses outside ASCII")

    def _retire(self, connection: _Connection) -> None:
        """Close an old connection, later if an e-mail uses it now."""
        if self._connection is not connection:
            return
        if not self._turn.locked():
            self._drop(connection)
            return
        loop = asyncio.get_running_loop()
        self._closing = loop.call_later(RETIRE_AGAIN_SECONDS, self._retire, connection)

    def _drop(self, connection: _Connection) -> None:
        connection.client.close()
        if self._connection is connection:
            self._connection = None
            if self._closing is not None:
                self._closing.cancel()

    def _refusal(self, error: SMTPResponseException, step: str) -> Exception:
        """Return what an answer of 4xx or 5xx means for the notification."""
        words = f"the mail server answered {_answer(error)} to {step}"
        if error.code == BUSY:
            return TryLater(words, BUSY_SECONDS)
        if error.code < 500:
            return TryLater(words, LATER_SECONDS)
        if step == "the sender":  # the hub's fault, which the operator mends
            return MailFailed(f"{words}: check --mail-from")
        return Undeliverable(words)


def _answer(error: SMTPResponseException) -> str:
    return f"{error.code}{_enhanced(error.message)}"


def _enhanced(text: str) -> str:
    match = _ENHANCED.match(text)
    return f" {match[1]}" if match else ""


def _why(host: str, error: BaseException) -> str:
    """Return why a server cannot be used, in words that quote neither password nor address."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(causes) < 5:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    for each in causes:
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"the certificate of {host} cannot be verified: {each.verify_message}"
    if any(isinstance(each, TimeoutError) for each in causes):
        return f"{host} did not answer within {TIMEOUT_SECONDS:g} s"
    text = str(error)
    if "STARTTLS" in text.upper():
        return f"{host} does not offer STARTTLS, and the hub sends no password without it"
    if "AUTH" in text.upper():
        return f"{host} offers no login that the hub knows"
    for each in causes:
        if isinstance(each, OSError) and each.errno:
            # gaierror has codes of its own, and asyncio's texts are not for people.
            text = str(each.strerror) if each.errno < 0 else os.strerror(each.errno)
            return f"{host} cannot be reached: {text}"
    return f"{host} cannot be used: {type(error).__name__}"
