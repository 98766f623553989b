"""Mail servers for tests: aiosmtpd on the loop of the test, with faults that a test switches on."""

import asyncio
import ssl
from collections import Counter
from contextlib import asynccontextmanager
from email import message_from_bytes

from aiosmtpd.smtp import SMTP, AuthResult

USER, PASSWORD = "hub@example.org", "a/b#c?d@e: 100%"


class Mailbox:
    """An SMTP server's handler that counts each address's e-mails by their Message-ID."""

    def __init__(self):
        self.ids = Counter()
        self.addresses = set()

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        """Take the text."""
        message = message_from_bytes(envelope.content)
        self.ids[message["Message-ID"]] += 1
        self.addresses.update(envelope.rcpt_tos)
        return "250 2.0.0 queued"


class MailServer:
    """What it has taken, and how it answers from now on."""

    def __init__(self):
        self.envelopes = []
        self.port = 0
        self.connections = 0
        self.refused = 0
        # An answer to give in place of its own, by command.
        self.answers = {}
        # Seconds to wait before each answer to a text, and whether to drop the connection there.
        self.slow = 0.0
        self.drop = None
        self.sessions = set()

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        """Answer RCPT TO."""
        if "RCPT" in self.answers:
            return self.answers["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
        """Answer MAIL FROM."""
        if self.drop == "MAIL":
            server.transport.abort()
            return "421 4.4.2 not seen by the client"
        if "MAIL" in self.answers:
            self.refused += 1
            return self.answers["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        """Take the text."""
        await asyncio.sleep(self.slow)
        if self.drop == "DATA":
            server.transport.abort()
            return "421 4.4.2 not seen by the client"
        if "DATA" in self.answers:
            return self.answers["DATA"]
        self.envelopes.append((envelope, session))
        return "250 2.0.0 queued"

    def hang_up(self):
        """Close all connections, as a server does with idle ones."""
        for each in self.sessions:
            if each.transport is not None:
                each.transport.close()
        self.sessions.clear()

    def authenticate(self, server, session, envelope, mechanism, data):
        """Compare with the one user."""
        good = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=good, handled=good)


class Busy(asyncio.Protocol):
    """A server that is out of connections."""

    def connection_made(self, transport):
        """Refuse, and close."""
        transport.write(b"421 4.3.2 too many connections\r\n")
        transport.close()


class Silent(asyncio.Protocol):
    """A server that never says a word."""


@asynccontextmanager
async def mail_server(tls=None, starttls=None, **options):
    """A running server; `tls` from the start, or `starttls` when asked: (certificate, key)."""
    server = MailServer()
    loop = asyncio.get_running_loop()

    def session():
        server.connections += 1
        made = SMTP(
            server,
            hostname="localhost",
            loop=loop,
            tls_context=None if starttls is None else _context(starttls),
            authenticator=server.authenticate,
            auth_require_tls=tls is None,
            **options,
        )
        server.sessions.add(made)
        return made

    context = None if tls is None else _context(tls)
    listening = await loop.create_server(session, "127.0.0.1", 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        server.hang_up()
        # The session of a client that left in the middle of a text is still asleep.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for each in others:
            each.cancel()
        await asyncio.wait(others, timeout=5) if others else None


def _context(pair):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    return context
