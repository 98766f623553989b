"""E-mail messages: a notification as text and HTML with all its headers."""

import functools
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from email.headerregistry import Address, BaseHeader, HeaderRegistry
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime, parseaddr
from html import escape
from typing import Any

from trainhub.core.email_address import ascii_domain, why_no_mail
from trainhub.core.notifications import Notification, Undeliverable

DEFAULT_FROM = "trainhub <trainhub@localhost>"


class _Headers(HeaderRegistry):
    """The standard headers, with a memory: most headers of a letter are those of the last one."""

    @functools.lru_cache(64)  # noqa: B019 - there is one registry, for good
    def _read(self, name: str, text: str) -> BaseHeader:
        return super().__call__(name, text)

    def __call__(self, name: str, value: Any) -> BaseHeader:
        return self._read(name, value) if type(value) is str else super().__call__(name, value)

    @functools.cache  # noqa: B019
    def __getitem__(self, name: str) -> type[BaseHeader]:
        """Return the header's class. Python makes a new class for each header."""
        return super().__getitem__(name)


class _Policy(EmailPolicy):
    """The standard policy, which does not take apart a header that already is as it is sent."""

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        plain = type(value) is str and value.isascii() and value.isprintable()
        if plain and len(name) + len(": ") + len(value) <= _LONGEST_LINE:
            return name, value
        return super().header_store_parse(name, value)


# The longest line that need not be folded (RFC 5322, 2.1.1).
_LONGEST_LINE = 78
# Every relay takes seven bits.
_POLICY = _Policy(linesep=SMTP.linesep, cte_type="7bit", header_factory=_Headers())
_SAFE_ID = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_HTML = """\
<!DOCTYPE html>
<html lang="{language}">
<head><meta charset="utf-8"><title>{subject}</title></head>
<body style="font-family: sans-serif; line-height: 1.5; max-width: 40em">
<h1 style="font-size: 1.2em">{subject}</h1>
{paragraphs}
</body>
</html>
"""


def recipient(notification: Notification) -> Address:
    """Return the address, its domain in ASCII. Raises Undeliverable if no e-mail can go there."""
    reason = why_no_mail(notification.to)
    if reason is not None:
        raise Undeliverable(reason)
    local, _, domain = notification.to.rpartition("@")
    return Address(username=local, domain=ascii_domain(domain))


def message(
    notification: Notification, mail_from: str, public_url: str, at: datetime
) -> EmailMessage:
    """Return the e-mail. Raises Undeliverable for an address or a text that no e-mail can have.

    Its Message-ID is the same at every try. All e-mails of a topic to one address refer to one
    made-up first message, which mail programs show as one conversation.
    """
    to = recipient(notification)
    name, sender = parseaddr(mail_from)
    domain = sender.rpartition("@")[2]
    subject = _line(notification.subject)
    made = EmailMessage(policy=_POLICY)
    with _encodable():
        made["From"] = str(Address(name, addr_spec=sender))
        made["To"] = str(to)
        made["Subject"] = subject
        made["Date"] = format_datetime(at)
        made["Message-ID"] = f"<{_safe(notification.id)}@{domain}>"
        if notification.topic:
            # A digest of both, so that the id tells no one what it is about.
            thread = _digest(f"{notification.topic}\n{notification.to.casefold()}")
            made["In-Reply-To"] = made["References"] = f"<{thread}.topic@{domain}>"
        made["List-Unsubscribe"] = f"<{_unsubscribe(sender, public_url)}>"
        made["Auto-Submitted"] = "auto-generated"
        language = notification.language
        language = language if _LANGUAGE.fullmatch(language) else "en"
        link = f"{public_url.rstrip('/')}/{notification.link}" if notification.link else ""
        link = link if public_url else ""
        made.set_content("\n\n".join(filter(None, (notification.body, link))) + "\n")
        page = _html(language, subject, notification.body, link)
        # The page cannot have its own digest. Python would look for a text that is not in it.
        made.make_alternative(boundary=f"=_{_digest(page)}")
        made.add_alternative(page, subtype="html")
        made["Content-Language"] = language  # last: earlier, the first part would get it
    return made


def written(made: EmailMessage, policy: "EmailPolicy[Any]" = _POLICY) -> bytes:
    """Return the e-mail as it is sent. Raises Undeliverable for a text that no e-mail can have."""
    with _encodable():
        return made.as_bytes(policy=policy)


@contextmanager
def _encodable() -> Iterator[None]:
    try:
        yield
    except UnicodeError as error:
        # A UnicodeError quotes the text, which is a passenger's.
        raise Undeliverable("the text has characters that no e-mail can have") from error


def _html(language: str, subject: str, body: str, link: str) -> str:
    paragraphs = [escape(each).replace("\n", "<br>\n") for each in body.split("\n\n")]
    if link:
        paragraphs.append(f'<a href="{escape(link)}">{escape(link)}</a>')
    return _HTML.format(
        language=language,
        subject=escape(subject),
        paragraphs="\n".join(f"<p>{each}</p>" for each in paragraphs),
    )


def _unsubscribe(sender: str, public_url: str) -> str:
    if public_url:
        return f"{public_url.rstrip('/')}/passenger.html#preferences"
    return f"mailto:{sender}?subject=unsubscribe"


def _line(text: str) -> str:
    """Return a header's text: one line, and without the mark that begins an encoded word."""
    return " ".join(
        "".join(c if c.isprintable() else " " for c in text.replace("=?", "= ?")).split()
    )


def _safe(text: str) -> str:
    return text if _SAFE_ID.fullmatch(text) else _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
