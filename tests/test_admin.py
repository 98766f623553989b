"""trainhub/admin.py: the operator's commands, which work while the hub runs."""

import asyncio
import os
import time
from dataclasses import replace

import jwt
import pytest
from certificates import write_pair
from hub_process import RUN
from mail_servers import mail_server
from push_service import push_service

from trainhub import admin
from trainhub.access.identity import Identity, Tokens
from trainhub.access.keys import BadKeys, load_keys
from trainhub.access.revocations import read_revocations
from trainhub.access.vapid import VAPID_FILE, load_vapid_key
from trainhub.adapters.contacts_file import ContactsFile
from trainhub.adapters.data_folder import DataFolder
from trainhub.adapters.undelivered import UndeliveredFile
from trainhub.core.contacts import Device
from trainhub.core.errors import BadToken
from trainhub.core.journal import JournalFailed
from trainhub.core.notifications import Channel, Notification, Undelivered
from trainhub.domain.model import Role
from trainhub.settings import BadSettings

TOKEN = ("--role", "TTE", "--user", "T17", "--train", "12345")


@pytest.fixture
def order(tmp_path, monkeypatch, capsys):
    """Return a function that runs an operator's command on a data folder of the test.

    The function returns the printed lines.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("data", "in_file", "in_environment", "given"):
        (tmp_path / name).mkdir(mode=0o700)
    for name in ("DATA_DIR", "TOKEN_AUDIENCE", "TOKEN_ISSUER"):
        monkeypatch.delenv(f"TRAINHUB_{name}", raising=False)

    def give(name, *arguments):
        assert admin.ORDERS[name](arguments)
        return capsys.readouterr().out.splitlines()

    return give


def test_a_token_and_nothing_else_is_printed(order, tmp_path):
    """`run.py token` prints a token that the hub's key has signed."""
    (token,) = order("token", *TOKEN)
    tokens = Tokens(load_keys(tmp_path / "data" / "keys.json"))
    assert tokens.identify(token) == Identity("T17", Role.TTE, frozenset({"12345"}))
    claims = jwt.decode(token, options={"verify_signature": False})
    assert 11.9 < (claims["exp"] - time.time()) / 3600 < 12.1


def test_a_token_names_several_trains_or_all(order, tmp_path):
    """--train takes numbers and runs, or "*" for every train; --hours is the token's life."""
    (token,) = order(
        "token",
        "--role",
        "TTE",
        "--user",
        "T17",
        "--hours",
        "0.5",
        "--train",
        "12345, 54321/2026-11-23,",
    )
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["trains"] == ["12345", "54321/2026-11-23"]
    assert 0.4 < (claims["exp"] - time.time()) / 3600 < 0.6
    (token,) = order("token", "--role", "ADMIN", "--user", "control", "--train", "*")
    assert jwt.decode(token, options={"verify_signature": False})["trains"] == ["*"]


def test_the_folder_is_the_hub_s(order, tmp_path, monkeypatch):
    """The folder comes from the command line, the environment or .env, as for the hub."""
    (tmp_path / ".env").write_text("TRAINHUB_DATA_DIR=in_file\n")
    order("token", *TOKEN)
    monkeypatch.setenv("TRAINHUB_DATA_DIR", "in_environment")
    order("token", *TOKEN)
    order("token", *TOKEN, "--data-dir", "given")
    made = {path.parent.name for path in tmp_path.glob("*/keys.json")}
    assert made == {"in_file", "in_environment", "given"}


def test_a_token_names_the_audience_and_issuer_that_the_hub_asks_for(order, tmp_path, monkeypatch):
    """The audience and issuer come from the hub's own settings, or from options of these names."""
    monkeypatch.setenv("TRAINHUB_TOKEN_AUDIENCE", "hub")
    monkeypatch.setenv("TRAINHUB_TOKEN_ISSUER", "rail")
    (token,) = order("token", *TOKEN)
    keys = load_keys(tmp_path / "data" / "keys.json")
    assert Tokens(keys, audience="hub", issuer="rail").identify(token).user == "T17"
    with pytest.raises(BadToken):
        Tokens(keys, audience="app").identify(token)
    (token,) = order("token", *TOKEN, "--token-audience", "app", "--token-issuer", "mine")
    assert Tokens(keys, audience="app", issuer="mine").identify(token).user == "T17"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("token", [], "the following arguments are required: --role, --user, --train"),
        ("token", ["--role", "BOSS", "--user", "x", "--train", "1"], "PASSENGER, TTE, ADMIN"),
        ("token", ["--role", "TTE", "--user", " ", "--train", "1"], "--user"),
        ("token", ["--role", "TTE", "--user", "x", "--train", " , "], "--train"),
        ("token", [*TOKEN, "--hours", "0"], "--hours"),
        ("token", [*TOKEN, "--hours", "x"], "--hours"),
        ("token", [*TOKEN, "--port", "1"], "--port"),
        ("keys", ["--new", "--drop", "k"], "not allowed with argument --new"),
        ("revoke", [], "one of the arguments --user --token is required"),
        ("revoke", ["--user", "a", "--token", "b"], "not allowed with argument"),
        ("revoke", ["--token", "forged"], "no token with an id (jti) and an end (exp): revoke its"),
        ("check", [], "the following arguments are required: data_dir"),
    ],
)
def test_a_bad_order_is_one_clear_line(order, name, arguments, said):
    """The line says what is expected, and the command changes nothing."""
    with pytest.raises(BadSettings) as raised:
        order(name, *arguments)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_keys_are_listed_added_and_dropped(order, tmp_path):
    """The last key signs; secrets are never shown."""
    (old,) = order("keys")
    assert order("keys", "--new") == order("keys")
    assert order("keys")[0] == old
    (_, new) = order("keys")
    (token,) = order("token", *TOKEN)
    assert jwt.get_unverified_header(token)["kid"] == new
    assert order("keys", "--drop", old) == [new]
    with pytest.raises(BadKeys, match="add a new one first"):
        order("keys", "--drop", new)
    assert list(load_keys(tmp_path / "data" / "keys.json")) == [new]


def test_a_token_or_a_user_is_taken_back(order, tmp_path):
    """A token is revoked by itself, with any issuer, or with all others of its user."""
    (token,) = order("token", *TOKEN)
    assert order("revoke", "--token", token) == ["revoked: 1 tokens, and what 0 users had"]
    assert order("revoke", "--user", "IR_1") == ["revoked: 1 tokens, and what 1 users had"]
    found = read_revocations(tmp_path / "data" / "revoked.json")
    assert found.users.keys() == {"IR_1"}
    assert found.tokens.keys() == {jwt.decode(token, options={"verify_signature": False})["jti"]}


def test_check_wants_a_hub_s_folder(tmp_path):
    """A folder without a journal is an error; test_server.py checks folders with a journal."""
    with pytest.raises(JournalFailed, match="name a hub's data folder"):
        admin.check([str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_sent_is_listed(order, tmp_path):
    """`run.py undelivered` lists each job without addresses or words; `check` counts them."""
    with pytest.raises(BadSettings, match="there is no data folder"):
        order("undelivered", str(tmp_path / "dta"))
    assert order("undelivered", str(tmp_path)) == []
    job = Notification("run_1-email", 1, Channel.EMAIL, "a@example.org", "subject", "body")
    kept = [
        Undelivered(job, 1_700_000_000.0, 3, "OSError(2)"),
        Undelivered(replace(job, id="run_2-push"), 1_700_000_060.0, 9, "expired", time.time()),
    ]
    asyncio.run(UndeliveredFile(tmp_path).note(kept, []))
    assert order("undelivered", str(tmp_path)) == [
        "2023-11-14T22:13:20+00:00 tried again after 3 tries: run_1-email: OSError(2)",
        "2023-11-14T22:14:20+00:00 given up after 9 tries: run_2-push: expired",
    ]
    counted = "notifications: 1 are tried again, 1 were given up"
    assert counted in DataFolder(tmp_path).contents()


def test_a_test_e_mail(order, monkeypatch):
    """`run.py notify-test` says each step, and the server has the e-mail."""

    async def story(server):
        url = f"smtp://localhost:{server.port}"
        monkeypatch.setenv("TRAINHUB_SMTP_URL", url)
        arguments = ("--to", "asha@example.org", "--mail-from", "hub@example.org")
        lines = await asyncio.to_thread(order, "notify-test", *arguments)
        assert lines[0] == f"connecting to localhost, port {server.port}"
        assert lines[1].startswith("connected: not encrypted; no login;")
        assert lines[2:4] == ["the server accepts the sender", "the server accepts the recipient"]
        assert lines[-1].startswith("sent:")
        assert server.envelopes[0][0].rcpt_tos == ["asha@example.org"]

    with_mail_server(story)


@pytest.mark.parametrize(
    ("to", "answer", "said"),
    [
        ("asha", None, "NOT SENT: the e-mail address has no @; no later try can help"),
        ("a@b.c", "550 5.1.1 no", "answered 550 5.1.1 to the recipient; no later try can help"),
        ("a@b.c", "451 4.7.1 no", "the recipient; the hub would try again in 60 s"),
    ],
)
def test_a_test_e_mail_that_cannot_be_sent(capsys, tmp_path, monkeypatch, to, answer, said):
    """The last line says why, and whether a later try can help."""
    monkeypatch.chdir(tmp_path)

    async def story(server):
        if answer is not None:
            server.answers = {"RCPT": answer}
        url = f"smtp://localhost:{server.port}"
        arguments = ("--to", to, "--mail-from", "hub@example.org", "--smtp-url", url)
        assert not await asyncio.to_thread(admin.notify_test, arguments)
        assert said in capsys.readouterr().out.splitlines()[-1]

    with_mail_server(story)


def test_a_test_e_mail_without_a_server(capsys, tmp_path, monkeypatch):
    """The hub writes files then, which is said; a server that is not there is said too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRAINHUB_SMTP_URL", raising=False)
    assert not admin.notify_test(["--to", "a@b.c"])
    assert "--smtp-url is not set" in capsys.readouterr().out
    gone = ("--smtp-url", "smtp://u:sesame@localhost:1", "--mail-from", "hub@example.org")
    assert not admin.notify_test(["--to", "a@b.c", *gone])
    said = capsys.readouterr().out
    assert "NOT SENT: localhost cannot be reached: Connection refused" in said
    assert "sesame" not in said


def test_a_test_push(tmp_path, monkeypatch, capsys):
    """The user's devices have it; a user without one and a folder without a key are said."""
    pair, folder = write_pair(tmp_path), tmp_path / "data"
    folder.mkdir(0o700)
    subject = ("--push-subject", "mailto:ops@example.org", "--data-dir", str(folder))
    monkeypatch.chdir(tmp_path)

    async def run(service, user):
        hosts = ("--push-hosts", f"localhost:{service.port}")
        process = await asyncio.create_subprocess_exec(
            *(*RUN, "notify-test", "--user", user, *subject, *hosts),
            env={**os.environ, "SSL_CERT_FILE": str(pair[0])},
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        return said.decode().splitlines()[-1], process.returncode

    async def story():
        async with push_service(pair) as service, asyncio.timeout(60):
            load_vapid_key(folder / VAPID_FILE)
            contacts = ContactsFile(folder)
            await contacts.add_device(Device("IR_1", **vars(service.subscribe("phone"))))
            contacts.close()
            assert await run(service, "IR_1") == ("sent to 1 device: look at them", 0)
            assert [name for name, _ in service.messages] == ["phone"]
            line, code = await run(service, "IR_2")
            assert "NOT SENT: the person has no device" in line
            assert code == 3

    with pytest.raises(BadSettings, match="there is no vapid"):
        admin.notify_test(["--user", "IR_1", *subject])
    asyncio.run(story())
    assert not admin.notify_test(["--user", "IR_1"])
    assert "--push-subject is not set" in capsys.readouterr().out


def with_mail_server(story):
    """Run a story with a mail server."""

    async def whole():
        async with mail_server() as server:
            await story(server)

    asyncio.run(whole())
