"""trainhub/adapters/mail.py: e-mails reach a real server once, or it is clear why they do not."""

import asyncio
import email
import logging
from email.policy import default
from urllib.parse import quote

import pytest
from certificates import trusting, write_pair
from mail_servers import PASSWORD, USER, Busy, Silent, mail_server
from notices import notice

from trainhub.adapters import mail as mail_module
from trainhub.adapters.mail import MailFailed, SmtpMail
from trainhub.core.notifications import TryLater, Undeliverable

FROM = "Trainhub <hub@example.org>"
LOGIN = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("tls"))


def sender(server, scheme="smtp", login="", trust=None, **options):
    return SmtpMail(
        f"{scheme}://{login}localhost:{server.port}",
        FROM,
        "https://hub.example",
        trust=None if trust is None else trusting(trust),
        **options,
    )


def run(story, **options):
    async def whole():
        async with mail_server(**options) as server, asyncio.timeout(60):
            return await story(server)

    return asyncio.run(whole())


def parsed(server, index=-1):
    return email.message_from_bytes(server.envelopes[index][0].content, policy=default)


def test_e_mails_share_one_connection():
    """The connection is kept; each e-mail has its own sender and recipient."""

    async def story(server):
        mail = sender(server)
        to = [f"p{number}@example.org" for number in range(5)]
        await asyncio.gather(*(mail.send(notice(id=f"a-{each[1]}", to=each)) for each in to))
        await mail.close()
        assert server.connections == 1
        assert [each.rcpt_tos for each, _ in server.envelopes] == [[each] for each in to]
        assert {each.mail_from for each, _ in server.envelopes} == {"hub@example.org"}
        assert parsed(server)["To"] == "p4@example.org"

    run(story)


@pytest.mark.parametrize("login", ["", LOGIN])
def test_starttls_is_used_when_it_is_offered(pair, login):
    """smtp:// is encrypted where the server can, and then logs in with the decoded password."""

    async def story(server):
        mail = sender(server, login=login, trust=pair[0])
        await mail.send(notice())
        await mail.close()
        _, session = server.envelopes[0]
        assert session.ssl is not None
        assert bool(session.authenticated) is bool(login)

    run(story, starttls=pair)


def test_smtps_is_encrypted_from_the_start(pair):
    """smtps:// never says a word in clear."""

    async def story(server):
        mail = sender(server, "smtps", LOGIN, pair[0])
        await mail.send(notice())
        await mail.close()
        assert server.envelopes[0][1].authenticated

    run(story, tls=pair)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_that_cannot_be_verified_is_refused(pair, scheme):
    """A server that is not the named one gets neither a password nor an e-mail."""

    async def story(server):
        mail = sender(server, scheme, LOGIN)
        with pytest.raises(MailFailed, match="the certificate of localhost cannot be verified"):
            await mail.send(notice())
        assert server.envelopes == []
        await mail.close()

    run(story, **{"tls" if scheme == "smtps" else "starttls": pair})


def test_no_password_without_encryption():
    """A server that offers no STARTTLS does not see the password."""

    async def story(server):
        mail = sender(server, login=LOGIN)
        with pytest.raises(MailFailed, match="does not offer STARTTLS"):
            await mail.send(notice())
        await mail.close()

    run(story)


def test_a_wrong_password_is_the_hubs_fault(pair, caplog):
    """It is no reason to give up an e-mail; no log line and no error has the password."""
    caplog.set_level(logging.DEBUG)

    async def story(server):
        mail = sender(server, login="hub:sesame%21@", trust=pair[0])
        with pytest.raises(MailFailed, match="localhost refuses the hub: it answered 535") as got:
            await mail.send(notice())
        await mail.close()
        assert "sesame" not in f"{got.value!r}{caplog.text}"

    run(story, starttls=pair)


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
def test_a_5xx_is_final(command):
    """The reason has the codes and no address; the connection goes on for the next e-mail."""

    async def story(server):
        mail = sender(server)
        server.answers = {command: "550 5.1.1 <asha@example.org> unknown"}
        with pytest.raises(Undeliverable, match=r"answered 550 5\.1\.1 to") as got:
            await mail.send(notice())
        assert "asha" not in str(got.value)
        server.answers = {}
        await mail.send(notice())
        await mail.close()
        assert (server.connections, len(server.envelopes)) == (1, 1)

    run(story)


def test_a_refused_sender_is_the_operators_to_mend():
    """No passenger's e-mail is given up for a wrong --mail-from."""

    async def story(server):
        mail = sender(server)
        server.answers = {"MAIL": "553 5.7.1 not yours"}
        with pytest.raises(MailFailed, match="check --mail-from"):
            await mail.send(notice())
        await mail.close()

    run(story)


def test_greylisting_means_later():
    """451 is no refusal: the e-mail is taken at the next try."""

    async def story(server):
        mail = sender(server)
        server.answers = {"RCPT": "451 4.7.1 greylisted, come back"}
        with pytest.raises(TryLater, match=r"451 4\.7\.1 to the recipient") as got:
            await mail.send(notice())
        assert got.value.seconds >= 30
        server.answers = {}
        await mail.send(notice())
        await mail.close()
        assert len(server.envelopes) == 1

    run(story)


def test_a_connection_that_is_dropped_in_the_text(pair):
    """The hub cannot know whether the server has it: the try has failed, and the next is new."""

    async def story(server):
        mail = sender(server)
        server.drop = "DATA"
        with pytest.raises(MailFailed, match="dropped the connection in the text"):
            await mail.send(notice())
        server.drop = None
        await mail.send(notice())
        await mail.close()
        assert (server.connections, len(server.envelopes)) == (2, 1)

    run(story)


def test_a_kept_connection_that_the_server_closed():
    """The e-mail goes over a new one, at the same try."""

    async def story(server):
        mail = sender(server)
        await mail.send(notice())
        server.hang_up()
        await mail.send(notice(id="another"))
        server.drop = "MAIL"  # the hub has not seen it yet when it writes
        with pytest.raises(MailFailed, match="dropped the connection"):
            await mail.send(notice(id="third"))
        server.drop = None
        await mail.send(notice(id="third"))
        await mail.close()
        assert len(server.envelopes) == 3

    run(story)


def test_a_kept_connection_that_was_idle_for_too_long():
    """The server says so with 421, and the e-mail goes over a new one at the same try."""

    async def story(server):
        mail = sender(server)
        await mail.send(notice())
        server.answers = {"MAIL": "421 4.4.2 idle for too long"}
        sending = asyncio.create_task(mail.send(notice(id="another")))
        while server.refused == 0:
            await asyncio.sleep(0)
        server.answers = {}
        await sending
        await mail.close()
        assert (server.connections, len(server.envelopes)) == (2, 2)

    run(story)


def test_a_slow_server_is_given_up_and_tried_again(monkeypatch):
    """A try ends after the time; the next one is not stuck behind it."""
    monkeypatch.setattr(mail_module, "TIMEOUT_SECONDS", 0.3)

    async def story(server):
        mail = sender(server)
        server.slow = 30
        with pytest.raises(MailFailed, match=r"localhost did not answer within 0\.3 s"):
            await mail.send(notice())
        server.slow = 0
        monkeypatch.setattr(mail_module, "TIMEOUT_SECONDS", 10)
        await mail.send(notice())
        await mail.close()
        assert server.connections == 2

    run(story)


def test_a_caller_that_gives_up_leaves_a_sender_that_works():
    """The half-sent e-mail's connection is closed, and the next one is not mixed up with it."""

    async def story(server):
        mail = sender(server)
        server.slow = 30
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await mail.send(notice())
        server.slow = 0
        await mail.send(notice(id="next", to="next@example.org"))
        await mail.close()
        assert [each.rcpt_tos for each, _ in server.envelopes] == [["next@example.org"]]

    run(story)


def test_a_server_that_never_answers(monkeypatch):
    """Again and again: each connect() ends, also after a failed connect()."""
    monkeypatch.setattr(mail_module, "TIMEOUT_SECONDS", 0.2)

    async def story():
        async with asyncio.timeout(60):
            loop = asyncio.get_running_loop()
            silent = await loop.create_server(Silent, "127.0.0.1", 0)
            mail = SmtpMail(f"smtp://127.0.0.1:{silent.sockets[0].getsockname()[1]}", FROM)
            for _ in range(3):
                with pytest.raises(MailFailed, match="did not answer"):
                    await mail.send(notice())
            await mail.close()
            silent.close()

    asyncio.run(story())


def test_a_server_out_of_connections_means_later():
    """421 at the greeting: the hub comes back in a while."""

    async def story():
        loop = asyncio.get_running_loop()
        busy = await loop.create_server(Busy, "127.0.0.1", 0)
        mail = SmtpMail(f"smtp://127.0.0.1:{busy.sockets[0].getsockname()[1]}", FROM)
        with pytest.raises(TryLater, match=r"421 4\.3\.2 to the connection"):
            await mail.send(notice())
        busy.close()
        await busy.wait_closed()
        with pytest.raises(MailFailed, match=r"127\.0\.0\.1 cannot be"):
            await mail.send(notice())
        await mail.close()

    asyncio.run(story())


def test_a_connection_is_replaced_after_its_share(monkeypatch):
    """Servers limit the e-mails of a connection, and so does the hub."""
    monkeypatch.setattr(mail_module, "MESSAGES_A_CONNECTION", 2)

    async def story(server):
        mail = sender(server)
        for number in range(5):
            await mail.send(notice(id=f"n{number}"))
        await mail.close()
        assert (server.connections, len(server.envelopes)) == (3, 5)

    run(story)


def test_an_idle_connection_is_closed(monkeypatch):
    """An idle hub holds none of the server's connections."""
    monkeypatch.setattr(mail_module, "CONNECTION_SECONDS", 0.2)

    async def story(server):
        mail = sender(server)
        await mail.send(notice())
        while mail._connection is not None:
            await asyncio.sleep(0.01)
        await mail.send(notice())
        await mail.close()
        assert server.connections == 2

    run(story)


def test_addresses_outside_ascii_where_the_server_has_smtputf8():
    """The address and the headers go as they are; a domain goes as DNS has it."""

    async def story(server):
        mail = sender(server)
        await mail.send(notice(to="आशा@बुक.भारत", subject="ट्रेन 12951"))
        await mail.close()
        envelope, _ = server.envelopes[0]
        assert envelope.rcpt_tos == ["आशा@xn--11b9b5c.xn--h2brj9c"]
        assert envelope.smtp_utf8
        assert "ट्रेन 12951" in envelope.content.decode()

    run(story, enable_SMTPUTF8=True)


def test_addresses_outside_ascii_where_it_has_not():
    """It is final and says why; a domain alone is no reason."""

    async def story(server):
        mail = sender(server)
        with pytest.raises(Undeliverable, match="it has no SMTPUTF8"):
            await mail.send(notice(to="आशा@example.org"))
        await mail.send(notice(to="asha@बुक.भारत", subject="ट्रेन", body="नमस्ते"))
        await mail.close()
        assert server.envelopes[0][0].rcpt_tos == ["asha@xn--11b9b5c.xn--h2brj9c"]
        assert server.envelopes[0][0].content.isascii()
        assert parsed(server)["Subject"] == "ट्रेन"

    run(story, enable_SMTPUTF8=False)


@pytest.mark.parametrize("to", ["", "asha", "a@b\r\nRCPT TO:<x@y>", "a b@c.d", "a@b,c@d", "-f@x.y"])
def test_what_is_no_address_is_never_said_to_a_server(to):
    """A text with commands in it does not reach a connection."""

    async def story(server):
        mail = sender(server)
        with pytest.raises(Undeliverable):
            await mail.send(notice(to=to))
        await mail.close()
        assert server.connections == 0

    run(story)


def test_steps_are_said(pair):
    """Each step is told in words, without the password."""

    async def story(server):
        steps = []
        mail = sender(server, login=LOGIN, trust=pair[0], say=steps.append)
        await mail.send(notice())
        await mail.close()
        assert steps[0] == f"connecting to localhost, port {server.port}"
        assert steps[1].startswith("connected: encrypted by TLSv1.3, verified; logged in;")
        assert steps[-1] == "the server has taken the e-mail: 250 2.0.0"
        assert PASSWORD not in str(steps)

    run(story, starttls=pair)
