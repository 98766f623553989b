"""trainhub/settings.py: where a setting comes from, and the errors of bad settings."""

import contextlib
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainhub import __version__
from trainhub.settings import (
    BadSettings,
    Settings,
    check_paths,
    read_settings,
    without_password,
)

# Every setting except --demo: three valid texts, and the value that the last of them is read as.
TEXTS = {
    "address": ("0.0.0.0", "::1", "localhost", "localhost"),
    "port": ("0", "65535", "9000", 9000),
    "allowed_hosts": ("a", "*", "a.example, B.example.", ("a.example", "b.example")),
    "trusted_origins": (
        *("http://a", "capacitor://localhost"),
        "https://App.example:443/,http://[::1]:81,ionic://localhost,capacitor://localhost/",
        ("https://app.example", "http://[::1]:81", "ionic://localhost", "capacitor://localhost"),
    ),
    "trusted_proxies": (
        *("127.0.0.1", "::1", "10.0.0.5,10.1.0.0/16"),
        ("10.0.0.5/32", "10.1.0.0/16"),
    ),
    "tls_cert": ("a", "b", "c.pem", Path("c.pem")),
    "tls_key": ("a", "b", "c.pem", Path("c.pem")),
    "data_dir": ("/a", "b", "/c d/e", Path("/c d/e")),
    "mongodb_uri": ("mongodb://a", "mongodb://b", "mongodb://u:p%2F@c", "mongodb://u:p%2F@c"),
    "database": ("a", "b", "c", "c"),
    "charts": ("a", "b", "c", Path("c")),
    "anonymous": ("on", "on", "off", False),
    "public_keys": ("a.pem", "b.pem", "c.json", Path("c.json")),
    "token_audience": ("a", "b", "c", "c"),
    "token_issuer": ("a", "b", "c", "c"),
    "max_connections": ("1", "1000000", "7", 7),
    "max_connections_per_address": ("1", "2", "7", 7),
    "max_unsent_bytes": ("1024", "2048", "4096", 4096),
    "max_held_bytes": ("1048576", "2097152", "4194304", 4194304),
    "message_rate": ("1", "2", "7", 7),
    "staff_message_rate": ("1", "2", "7", 7),
    "address_rate": ("1", "2", "7", 7),
    "identify_seconds": ("1", "2", "7", 7),
    "heartbeat_seconds": ("1", "2", "7", 7),
    "journal_limit": ("1", "2", "300", 300),
    "io_uring": ("on", "on", "off", False),
    "log_format": ("text", "text", "json", "json"),
    "log_level": ("info", "info", "debug", "debug"),
    "smtp_url": (
        *("smtp://a", "smtps://b:1", "smtp://u:p%2F%23@[::1]:25"),
        "smtp://u:p%2F%23@[::1]:25",
    ),
    "mail_from": ("a@b", "c@d.e", "Trainhub <hub@example.org>", "Trainhub <hub@example.org>"),
    "escalate_push_seconds": ("1", "2", "7", 7),
    "escalate_mail_seconds": ("1", "2", "7", 7),
    "delay_threshold_minutes": ("1", "2", "30", 30),
    "close_hours": ("1", "2", "24", 24),
    "push_subject": ("mailto:a@b", "mailto:c@d.e", "https://a.example/b", "https://a.example/b"),
    "public_url": ("http://a", "https://b:8443", "https://c.example/d/", "https://c.example/d"),
    "push_hosts": ("a", "b:1", "Push.example, localhost:8443", ("push.example", "localhost:8443")),
    "timetable": ("a.json", "b.json", "c.json.gz", Path("c.json.gz")),
    "demo_speed": ("0.1", "10000", "2.5", 2.5),
    "demo_seed": ("1", "2", "0", 0),
}


# These two must be given together.
PAIR = {"tls_cert", "tls_key", "smtp_url"}


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a command line, an environment and the lines of a .env."""

    def read_all(*arguments, environment=None, lines=None):
        path = tmp_path / ".env"
        if lines is not None:
            path.write_text("\n".join(lines), "utf-8")
        return read_settings(list(arguments), environment or {}, path)

    return read_all


def flag(name):
    return "--" + name.replace("_", "-")


def variable(name):
    return "TRAINHUB_" + name.upper()


def test_every_setting_is_in_the_tests():
    """A new option needs a line in TEXTS."""
    names = {field.name for field in dataclasses.fields(Settings)} - {"unused", "sources"}
    assert TEXTS.keys() | {"demo", "new"} == names


def test_without_anything_there_are_the_defaults(read):
    """Without options the hub starts, for this machine only."""
    assert read() == Settings()
    assert (Settings().address, Settings().port) == ("127.0.0.1", 8888)
    assert Settings().data_dir == Path("data")


@pytest.mark.parametrize("name", sorted(TEXTS.keys() - PAIR))
def test_command_line_before_environment_before_file_before_default(read, name):
    """Each setting can be given in three places, and the nearest wins."""
    first, second, third, value = TEXTS[name]
    key, option = variable(name), flag(name)
    default = getattr(Settings(), name)
    in_file = read(lines=[f"{key}={third!r}"])
    assert getattr(in_file, name) == value != default
    assert dataclasses.replace(in_file, **{name: default}, unused=()) == Settings()
    in_environment = read(environment={key: third}, lines=[f"{key}={first}"])
    assert getattr(in_environment, name) == value
    given_both = read(option, third, environment={key: second}, lines=[f"{key}={first}"])
    assert getattr(given_both, name) == value
    assert getattr(read(f"{option}={third}", environment={key: second}), name) == value


def test_a_default_on_the_command_line_is_a_choice(read):
    """A default value on the command line overrides the environment too."""
    assert read("--port", "8888", environment={"TRAINHUB_PORT": "1"}).port == 8888
    assert read("--anonymous", "on", environment={"TRAINHUB_ANONYMOUS": "off"}).anonymous is True


def test_a_certificate_and_its_key_may_come_from_anywhere(read):
    """They are checked together, after all places were read."""
    found = read("--tls-cert", "a", environment={"TRAINHUB_TLS_KEY": "b"})
    assert (found.tls_cert, found.tls_key) == (Path("a"), Path("b"))


def test_demo(read):
    """--demo is a switch on the command line, and `on` or `off` elsewhere."""
    assert read("--demo").demo is True
    assert read(environment={"TRAINHUB_DEMO": "on"}).demo is True
    assert read(environment={"TRAINHUB_DEMO": "off"}, lines=["TRAINHUB_DEMO=on"]).demo is False
    assert read("--demo", environment={"TRAINHUB_DEMO": "off"}).demo is True


def test_what_is_empty_is_not_given(read):
    """An empty variable, such as TRAINHUB_PORT=, means the default."""
    assert read(environment={"TRAINHUB_PORT": "", "TRAINHUB_DEMO": ""}) == Settings()
    assert read(lines=["TRAINHUB_PORT=", "TRAINHUB_DEMO", "# TRAINHUB_PORT=1"]) == Settings()


def test_what_is_not_ours_is_passed_over(read):
    """Other programs' variables in the environment and .env are ignored."""
    assert read(environment={"PORT": "1", "PATH": "/"}, lines=["OTHER=x"]) == Settings()


def test_a_misspelt_variable_is_named(read):
    """An unknown TRAINHUB_ variable has no effect, and so have the demo's settings alone."""
    found = read("--demo-speed", "2", environment={"TRAINHUB_PROT": "1"}, lines=["TRAINHUB_X=1"])
    assert [each.partition(" ")[0] for each in found.unused] == [
        *("TRAINHUB_PROT", "TRAINHUB_X", "--demo-speed")
    ]
    assert read("--demo", "--demo-speed", "2", lines=[]).unused == ()


def test_the_database_may_stand_in_the_uri(read):
    """As MongoDB's own tools have it. --database wins; a database to sign in at is not meant."""
    uri = "mongodb://user:pass%2Fword@a:1,b:2/railway?replicaSet=r"
    assert read("--mongodb-uri", uri).database == "railway"
    assert read("--mongodb-uri", uri, "--database", "other").database == "other"
    for plain in ("mongodb://a", "mongodb://a/", "mongodb://a/?x=1", "mongodb://a/admin"):
        assert read("--mongodb-uri", plain).database == "trainhub"
    assert read("--mongodb-uri", "mongodb+srv://a.example/rail%20way").database == "rail way"


@pytest.mark.parametrize("name", ["charts", "timetable", "public_keys"])
def test_a_path_that_is_not_there_is_named_with_its_option(read, name):
    """The operator reads which option to change."""
    with pytest.raises(BadSettings, match=f"^{flag(name)}: there is no f.* /nowhere"):
        check_paths(read(flag(name), "/nowhere"))


def test_a_missing_env_file_is_no_error(tmp_path):
    """A hub needs no .env."""
    assert read_settings([], {}, tmp_path / "nowhere" / ".env") == Settings()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "65536"], "argument --port: a whole number from 0 to 65535, not '65536'"),
        (["--port", "-1"], "argument --port"),
        (["--port", "http"], "not 'http'"),
        (["--port", "80.0"], "not '80.0'"),
        (["--port", "٨٠"], "a whole number"),
        (["--port", ""], "not ''"),
        (["--port"], "argument --port: expected one argument"),
        (["--anonymous", "no"], "argument --anonymous: one of on, off, not 'no'"),
        (["--anonymous", "OFF"], "one of on, off"),
        (["--max-connections", "0"], "a whole number from 1 to 1000000"),
        (["--log-format", "xml"], "argument --log-format: one of text, json, not 'xml'"),
        (["--demo-speed", "0"], "a number from 0.1 to 10000, not '0'"),
        (["--demo-speed", "nan"], "a number from 0.1"),
        (["--demo-speed", "inf"], "a number from 0.1"),
        (["--demo-speed", "fast"], "a number from 0.1"),
        (["--demo-seed", "1.5"], "a whole number"),
        (["--demo=on"], "argument --demo: ignored explicit argument 'on'"),
        (["--prot", "1"], "unrecognized arguments: --prot 1"),
        (["--po", "1"], "unrecognized arguments: --po 1"),
        (["start"], "unrecognized arguments: start"),
        (["--address", ""], "--address"),
        (["--allowed-hosts", "hub:8888"], "names like hub.example, without a port"),
        (["--allowed-hosts", "http://hub"], "names like hub.example"),
        (["--allowed-hosts", "*.example"], "or *, not '*.example'"),
        (["--trusted-origins", "app.example"], "origins like https://app.example"),
        (["--trusted-origins", "*"], "not '*'"),
        (["--trusted-origins", "null"], "not 'null'"),
        (["--trusted-origins", "https://*.example"], "not 'https://*.example'"),
        (["--trusted-origins", "https://app.example/x"], "origins like"),
        (["--trusted-origins", "https://a@app.example"], "origins like"),
        (["--trusted-origins", "https://app.example:x"], "origins like"),
        (["--trusted-origins", "ws://app.example"], "origins like"),
        (["--trusted-origins", "file://x"], "origins like"),
        (["--trusted-origins", "capacitor:localhost"], "origins like"),
        (["--trusted-proxies", "proxy.example"], "networks like 10.0.0.5,10.1.0.0/16"),
        (["--trusted-proxies", "10.0.0.5/16"], "not '10.0.0.5/16'"),
        (["--tls-cert", "a"], "--tls-cert and --tls-key go together"),
        (["--tls-key", "a"], "give both, or neither"),
        (["--tls-cert", "a", "--tls-key", "b", "--demo"], "--demo does not speak TLS"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_bad_option_is_one_clear_line(read, arguments, said):
    """The line names the option, what is expected, and what was given."""
    with pytest.raises(BadSettings) as raised:
        read(*arguments)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", [n for n in TEXTS if type(TEXTS[n][3]) in (int, bool, float)])
@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_bad_variable_is_one_clear_line_with_its_name(read, name, place):
    """The operator learns the variable's name, and what it should be."""
    key = variable(name)
    good = [f"{key}={TEXTS[name][0]}"]
    places = {
        "environment": {"environment": {key: "none"}, "lines": good},
        "file": {"lines": [f"{key}=none"]},
    }
    with pytest.raises(BadSettings, match=rf"^{key} is (a|one) .*, not 'none'$"):
        read(**places[place])


def test_a_bad_variable_that_the_command_line_overrides_is_ignored(read):
    """Only values that are used are checked."""
    assert read("--port", "1", environment={"TRAINHUB_PORT": "x"}).port == 1


def test_an_env_file_that_is_not_utf_8_is_one_clear_line(tmp_path):
    """The line names the file."""
    path = tmp_path / ".env"
    path.write_bytes(b"TRAINHUB_DATABASE=\xff\xfe\n")
    with pytest.raises(BadSettings, match=r"\.env"):
        read_settings([], {}, path)


@pytest.mark.parametrize(("option", "said"), [("--help", "--max-connections"), ("--version", "")])
def test_help_and_version_are_said_and_that_is_all(read, capsys, option, said):
    """They go to stdout, and the exit code is 0."""
    with pytest.raises(SystemExit) as raised:
        read(option)
    assert raised.value.code == 0
    out = capsys.readouterr().out
    assert said in out
    if option == "--version":
        assert out == f"trainhub {__version__}\n"
    else:
        assert all(flag(name) in out for name in TEXTS)


@given(st.lists(st.text(max_size=20), max_size=4))
def test_any_command_line_is_settings_or_one_line(arguments):
    """Every command line gives settings or raises BadSettings, never another error."""
    with contextlib.suppress(BadSettings):
        asked = read_settings(arguments, {}, Path("/nowhere"))
        assert isinstance(asked, Settings)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mail.example", "neither smtp"),
        ("http://a", "neither smtp"),
        ("smtp://", "no host"),
        ("smtp://u:sesame/x@a", "%2F"),
        ("smtp://u:sesame#x@a", "%2F"),
        ("smtp://u:sesame?x@a", "%2F"),
        ("smtp://u@a", "a user without a password"),
        ("smtp://:sesame@a", "without a user"),
        ("smtp://u:sesame@a:99999", "port"),
        ("smtp://u:sesame@a:0", "port 0"),
        ("smtp://u:sesame%0d%0a@a", "cannot be printed"),
        ("smtp://u:sesame@a b", "no host"),
    ],
)
def test_a_bad_mail_server_is_refused_without_its_password(read, text, reason):
    """The message says what is wrong with the URL, and quotes nothing of it."""
    for arguments, environment in (
        (["--smtp-url", text], {}),
        ([], {"TRAINHUB_SMTP_URL": text}),
    ):
        with pytest.raises(BadSettings, match="a mail server's URL, but this one") as got:
            read("--mail-from", "a@b", *arguments, environment=environment)
        assert reason in str(got.value)
        assert "sesame" not in str(got.value)


def test_a_mail_server_needs_a_sender(read):
    """The password is in no repr of the settings."""
    with pytest.raises(BadSettings, match="--smtp-url needs --mail-from"):
        read("--smtp-url", "smtp://a")
    found = read("--smtp-url", "smtps://u:sesame@a", "--mail-from", "a@b.c")
    assert found.smtp_url == "smtps://u:sesame@a"
    assert "sesame" not in repr(found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("mail_from", each) for each in ("a", "a@b\n", "A, B <a@b>", "A <a@b> c", "<a@b\r\n>")),
        *(("push_subject", each) for each in ("a@b.c", "http://a", "mailto:a", "https://")),
        *(("public_url", each) for each in ("a", "ftp://a", "https://", "https://u:p@a")),
        *(("public_url", each) for each in ("https://a/?b", "https://a/#b", "https://a>b")),
        *(("push_hosts", each) for each in ("127.0.0.1", "a:0", "a:99999", "https://a", "[::1]")),
    ],
)
def test_bad_texts_of_the_channels(read, name, text):
    """Each is refused by name."""
    with pytest.raises(BadSettings, match=flag(name)):
        read(flag(name), text)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb://user:secret@a:27017,b/?tls=true", "mongodb://a:27017,b"),
        ("mongodb+srv://user:secret@db.example/", "mongodb+srv://db.example"),
        ("mongodb://%2Ftmp%2Fm.sock/hub", "mongodb://%2Ftmp%2Fm.sock"),
        ("smtp://u:p%2F%23@[::1]:25", "smtp://[::1]:25"),
        ("mongodb://user:secret", "(not shown)"),
        ("mongodb://user:27017/secret@db", "(not shown)"),
        ("mongodb://user:x@secret@db", "(not shown)"),
        ("user:secret@db", "(not shown)"),
    ],
)
def test_a_uri_is_shown_without_its_password(uri, shown):
    """The log has the hosts, and nothing of a URI that could be read in two ways."""
    assert without_password(uri) == shown
