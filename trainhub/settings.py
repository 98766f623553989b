"""The hub's settings: command line before environment before .env before default."""

import argparse
import ipaddress
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from email.utils import parseaddr
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from dotenv import dotenv_values

from trainhub import __version__


class BadSettings(Exception):
    """An option or variable cannot be used. The message is one line that says what to do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of a hub, from the command line, the environment and .env."""

    address: str = "127.0.0.1"
    port: int = 8888
    allowed_hosts: tuple[str, ...] = ()
    trusted_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    data_dir: Path = Path("data")
    mongodb_uri: str | None = field(default=None, repr=False)  # it may hold a password
    database: str = "trainhub"
    charts: Path | None = None
    anonymous: bool = True
    public_keys: Path | None = None
    token_audience: str | None = None
    token_issuer: str | None = None
    max_connections: int = 10_000
    max_connections_per_address: int = 1_000
    max_unsent_bytes: int = 1 << 20
    max_held_bytes: int = 128 << 20
    message_rate: int = 20
    staff_message_rate: int = 2_000
    address_rate: int = 200
    identify_seconds: int = 10
    heartbeat_seconds: int = 25
    journal_limit: int = 4096
    io_uring: bool = True
    log_format: str = "text"
    log_level: str = "info"
    smtp_url: str | None = field(default=None, repr=False)  # it may hold a password
    mail_from: str | None = None
    escalate_push_seconds: float = 5.0
    escalate_mail_seconds: float = 30.0
    delay_threshold_minutes: int = 15
    close_hours: int = 12
    push_subject: str | None = None
    public_url: str | None = None
    push_hosts: tuple[str, ...] = ()
    new: bool = False
    demo: bool = False
    timetable: Path | None = None
    demo_speed: float = 60.0
    demo_seed: int = 1
    # A sentence on each given setting that has no effect.
    unused: tuple[str, ...] = ()
    # Where each setting is from that is not the default: "option", "environment" or ".env".
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)


def _whole(least: int, most: int) -> Any:
    def read(text: str) -> int:
        if text.isascii() and text.isdecimal() and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"a whole number from {least} to {most}, not {text!r}")

    return read


def number(least: float, most: float) -> Any:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1
        if least <= value <= most:
            return value
        raise argparse.ArgumentTypeError(f"a number from {least:g} to {most:g}, not {text!r}")

    return read


def _text(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a text that is not empty")
    return text


def one_of(*words: str) -> Any:
    def read(text: str) -> str:
        if text in words:
            return text
        raise argparse.ArgumentTypeError(f"one of {', '.join(words)}, not {text!r}")

    return read


def _switch(text: str) -> bool:
    return bool(one_of("on", "off")(text) == "on")


def _list_of(read_one: Callable[[str], str]) -> Any:
    def read(text: str) -> tuple[str, ...]:
        return tuple(read_one(name) for part in text.split(",") if (name := part.strip()))

    return read


def _host(text: str) -> str:
    if text == "*" or re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?", text):
        return text.lower().removesuffix(".")
    raise argparse.ArgumentTypeError(f"names like hub.example, without a port, or *, not {text!r}")


# Schemes of addresses that are no page's origin. Apps have schemes of their own: capacitor, ionic.
_NO_ORIGINS = frozenset({"", "ws", "wss", "file", "data", "blob", "about", "javascript", "mailto"})


def _origin(text: str) -> str:
    """Return an origin as browsers write it, without the scheme's own port."""
    wrong = argparse.ArgumentTypeError(f"origins like https://app.example, not {text!r}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise wrong from None
    usual = {"https": 443, "http": 80}
    bare = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme in _NO_ORIGINS or not parts.hostname or text.removesuffix("/") != bare:
        raise wrong
    if "@" in parts.netloc or "*" in parts.netloc or not text.isascii():
        raise wrong
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    shown = "" if port in (None, usual.get(parts.scheme)) else f":{port}"
    return f"{parts.scheme}://{name}{shown}"


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"addresses and networks like 10.0.0.5,10.1.0.0/16, not {text!r}"
        ) from None


def _smtp_url(text: str) -> str:
    """Return a valid URL unchanged. No error quotes it, as it may contain a password."""

    def wrong(what: str) -> argparse.ArgumentTypeError:
        return argparse.ArgumentTypeError(f"a mail server's URL, but this one {what}")

    if set(text.partition("://")[2].removesuffix("/")) & set("/?#"):
        raise wrong("has more after the host: write / ? # @ in a password as %2F %3F %23 %40")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise wrong("has a port that is no number from 1 to 65535") from None
    if parts.scheme not in ("smtp", "smtps"):
        raise wrong("begins with neither smtp (STARTTLS) nor smtps (TLS)")
    if port == 0 or not parts.hostname or not re.fullmatch(r"[A-Za-z0-9._:-]+", parts.hostname):
        raise wrong("has no host, or port 0")
    if (parts.username is None) != (parts.password is None) or parts.username == "":
        raise wrong("has a user without a password, or a password without a user")
    login = unquote(parts.username or "") + unquote(parts.password or "")
    if not text.isprintable() or not login.isprintable():
        raise wrong("has characters that cannot be printed")
    return text


def _sender(text: str) -> str:
    name, address = parseaddr(text)
    plain = re.fullmatch(r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", address)
    if plain and text.isprintable() and text in (address, f"{name} <{address}>"):
        return text
    raise argparse.ArgumentTypeError(
        f"an address like hub@example.org or Trainhub <hub@example.org>, not {text!r}"
    )


def _contact(text: str) -> str:
    if re.fullmatch(r"mailto:[!-?A-~]+@[A-Za-z0-9.-]+|https:[/]{2}[A-Za-z0-9.-]+[!-~]*", text):
        return text
    raise argparse.ArgumentTypeError(
        f"mailto:ops@example.org or a page that begins with https, not {text!r}"
    )


def _public_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        sound = parts.port != 0 and parts.hostname and not (parts.query or parts.fragment)
    except ValueError:
        sound = False
    sound = sound and parts.scheme in ("http", "https") and "@" not in parts.netloc
    if sound and re.fullmatch(r"[!-~]+", text) and not set(text) & set('<>"\\?#'):
        return text.rstrip("/")
    raise argparse.ArgumentTypeError(f"a URL like https://hub.example, not {text!r}")


def _push_host(text: str) -> str:
    match = re.fullmatch(r"([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::([0-9]{1,5}))?", text)
    is_name = match is not None and not match[1].rpartition(".")[2].isdecimal()
    if match is not None and is_name and 0 < int(match[2] or 443) < 65536:
        return text.lower()
    raise argparse.ArgumentTypeError(
        f"names like push.example or push.example:8443, no IP addresses, not {text!r}"
    )


# Option → the reader of its text, and its help, which ends with the default of Settings.
_OPTIONS: dict[str, tuple[Any, str]] = {
    "address": (_text, "address to listen on"),
    "port": (_whole(0, 65535), "port to listen on; 0 takes a free one"),
    "allowed_hosts": (
        _list_of(_host),
        "names under which the hub answers, in addition to localhost, this machine's name and "
        "--address: hub.example[,...]; * for any",
    ),
    "trusted_origins": (
        _list_of(_origin),
        "sites and apps whose pages may use the hub: https://app.example[,capacitor://localhost,...]",
    ),
    "trusted_proxies": (
        _list_of(_network),
        "proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: 10.0.0.5[,10.1.0.0/16]",
    ),
    "tls_cert": (Path, "certificate for https and wss, with its chain, in PEM"),
    "tls_key": (Path, "the certificate's key, in PEM, without a passphrase"),
    "data_dir": (Path, "folder for the journal, keys, outbox and embedded database"),
    "mongodb_uri": (str, "MongoDB server to use in place of the embedded one"),
    "database": (_text, "database name in MongoDB, if the URI names none"),
    "charts": (Path, "folder of charts to load at start: NAME.json, and NAME.csv for its people"),
    "anonymous": (_switch, "on or off: clients without a token may subscribe and read runs"),
    "public_keys": (
        Path,
        "PEM or JWKS file of public keys (RS256, ES256) whose tokens are accepted as well",
    ),
    "token_audience": (_text, "audience (aud) that every token must name, the hub's own too"),
    "token_issuer": (_text, "issuer (iss) that every token must name, the hub's own too"),
    "max_connections": (_whole(1, 1_000_000), "most open sockets"),
    "max_connections_per_address": (
        _whole(1, 1_000_000),
        "most open sockets from one address, except this machine's own, where a proxy may run",
    ),
    "max_unsent_bytes": (
        _whole(1024, 1 << 30),
        "bytes that may wait for a client that reads too slowly",
    ),
    "max_held_bytes": (
        _whole(1 << 20, 1 << 40),
        "bytes that may wait for all clients together, half of them for one address",
    ),
    "message_rate": (
        _whole(1, 1_000_000),
        "messages a second from a passenger's socket, or one without a token",
    ),
    "staff_message_rate": (_whole(1, 1_000_000), "messages a second from a staff's socket"),
    "address_rate": (
        _whole(1, 1_000_000),
        "requests a second without a token, and connections, from one address; not from this "
        "machine and trusted proxies",
    ),
    "identify_seconds": (
        _whole(1, 3600),
        "seconds that a new socket has to identify or subscribe",
    ),
    "heartbeat_seconds": (
        _whole(1, 3600),
        "seconds between two pings; a client that answers neither is closed",
    ),
    "journal_limit": (
        _whole(1, 1_000_000),
        "MB of journal at which commands are refused; it grows while MongoDB is away",
    ),
    "io_uring": (
        _switch,
        "on or off: send to a room in one system call, where Linux can "
        "(io_uring, kernel 5.17 or newer)",
    ),
    "log_format": (one_of("text", "json"), "text or json, of the log on stderr and of stdout"),
    "log_level": (
        one_of("info", "debug"),
        "info, or debug: a line for each command, offer, refusal, connection and notification",
    ),
    "smtp_url": (
        _smtp_url,
        "mail server: smtp(s)://user:password@host:port, smtp with STARTTLS (587), smtps with TLS "
        "(465); without it e-mails are files in the outbox folder",
    ),
    "mail_from": (_sender, "sender of e-mails: hub@example.org or Trainhub <hub@example.org>"),
    "escalate_push_seconds": (
        number(0, 86_400),
        "seconds after an event until a push, if no device has acknowledged it",
    ),
    "escalate_mail_seconds": (
        number(0, 86_400),
        "seconds after an event until an e-mail, if no device has acknowledged it",
    ),
    "delay_threshold_minutes": (
        _whole(1, 2_880),
        "minutes of delay from which passengers get a push and an e-mail",
    ),
    "close_hours": (
        _whole(1, 720),
        "hours after its last expected time and last event until a run without an end is closed",
    ),
    "push_subject": (
        _contact,
        "contact for push services: mailto:ops@example.org or an https page; without it "
        "pushes are files in the outbox folder",
    ),
    "public_url": (
        _public_url,
        "URL of the hub's pages, for links in e-mails: https://hub.example",
    ),
    "push_hosts": (
        _list_of(_push_host),
        "push services to send to, in addition to those of Chrome, Firefox, Safari and Windows: "
        "NAME[:PORT][,...]; these may have private addresses",
    ),
    "timetable": (
        Path,
        "timetable file (.json or .json.gz) for the demo's trains, in place of its own",
    ),
    "demo_speed": (number(0.1, 10_000), "seconds of the demo's clock in one real second"),
    "demo_seed": (_whole(0, 2**31), "seed of the demo's made-up passengers and delays"),
}


_FLAGS = {
    "new": "start an empty data folder without the runs that MongoDB may have, and do not wait for "
    "MongoDB; no effect if the folder has a journal",
    "demo": "run real trains in accelerated time",
}

_KNOWN = _OPTIONS.keys() | _FLAGS.keys()


def command_name() -> str:
    """Return the command that started this process, for help texts and error messages."""
    script = Path(sys.argv[0]).name
    return {"run.py": "python run.py", "__main__.py": "python -m trainhub"}.get(script, "trainhub")


class Parser(argparse.ArgumentParser):
    """A parser of one command's options that raises BadSettings for invalid arguments."""

    def __init__(
        self, subcommand: str = "", *, description: str, epilog: str | None = None
    ) -> None:
        super().__init__(
            prog=f"{command_name()} {subcommand}".rstrip(),
            description=description,
            epilog=epilog,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise BadSettings(f"{_without_addresses(message)} (see {self.prog} --help)")


def read_settings(
    arguments: Sequence[str],
    environment: Mapping[str, str] = os.environ,
    env_file: Path = Path(".env"),
) -> Settings:
    """Read the settings of a hub. Raises BadSettings; --help and --version exit."""
    variables = outside(environment, env_file)
    given = vars(_hub_parser().parse_args(arguments))
    values = {name: value for name, value in given.items() if value is not None}
    sources = dict.fromkeys(values, "option")
    for name, (read, _) in _OPTIONS.items():
        text = variables.get(f"TRAINHUB_{name.upper()}")
        if name not in values and text:
            values[name] = _read(read, text, f"TRAINHUB_{name.upper()}")
            sources[name] = _source(name, environment)
    for name in _FLAGS:
        text = variables.get(f"TRAINHUB_{name.upper()}")
        if name not in values and text:
            values[name] = _read(_switch, text, f"TRAINHUB_{name.upper()}")
            sources[name] = _source(name, environment)
    if "database" not in values and "mongodb_uri" in values:
        named = database_of(values["mongodb_uri"])
        if named is not None:
            values["database"] = named
            sources["database"] = sources["mongodb_uri"]
    unknown = [
        f"{name} is not a setting and has no effect: see {command_name()} --help"
        for name in sorted(variables)
        if name.startswith("TRAINHUB_") and name.removeprefix("TRAINHUB_").lower() not in _KNOWN
    ]
    settings = _consistent(Settings(**values))
    unused = (*unknown, *_without_effect(settings, values))
    return replace(settings, unused=unused, sources=sources)


def _source(name: str, environment: Mapping[str, str]) -> str:
    return "environment" if f"TRAINHUB_{name.upper()}" in environment else ".env"


def in_force(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Yield each option's flag, value and source, as far as the value is not a secret."""
    for option in options():
        value = getattr(settings, option.name)
        shown = _shown(value)
        if option.name in ("mongodb_uri", "smtp_url"):
            shown = "" if value is None else without_password(value)
        elif option.name == "database" and settings.mongodb_uri is not None:
            # It may be a part of the URI.
            shown = UNSURE if without_password(settings.mongodb_uri) == UNSURE else shown
        yield option.flag, shown, settings.sources.get(option.name, "default")


UNSURE = "(not shown)"
_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._%-]+)(?::[0-9]+)?"
_URI = re.compile(rf"(\w+(?:\+srv)?)://(?:[^@/?#]*@)?({_HOST}(?:,{_HOST})*)(?:[/?][^@]*)?")


def without_password(uri: str) -> str:
    """Return the scheme and the hosts of a URI. Nothing of a URI where these are not certain."""
    found = _URI.fullmatch(uri)
    return UNSURE if found is None else f"{found[1]}://{found[2]}"


def _without_effect(settings: Settings, given: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each setting that was given and changes nothing."""
    if not settings.demo:
        for name in ("timetable", "demo_speed", "demo_seed"):
            if name in given:
                yield f"{_flag(name)} has no effect without --demo"


def database_of(uri: str) -> str | None:
    """Return the database that a MongoDB URI names, but not MongoDB's own, used for signing in."""
    found = re.match(r"mongodb(?:\+srv)?://[^/]*/([^?]+)", uri)
    return None if found is None or found[1] in ("admin", "local", "config") else unquote(found[1])


def check_paths(settings: Settings) -> None:
    """Raise BadSettings if a file or folder in the settings is missing."""
    for name, path, is_there, kind in (
        ("charts", settings.charts, Path.is_dir, "folder"),
        ("timetable", settings.timetable, Path.is_file, "file"),
        ("public_keys", settings.public_keys, Path.is_file, "file"),
    ):
        if path is not None and not is_there(path):
            raise BadSettings(f"{_flag(name)}: there is no {kind} {path}: correct the path")


def _consistent(settings: Settings) -> Settings:
    """Return the settings. Raises BadSettings if they contradict each other."""
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise BadSettings("--tls-cert and --tls-key go together: give both, or neither")
    if settings.demo and settings.tls_cert is not None:
        raise BadSettings("--demo does not speak TLS: leave --tls-cert and --tls-key out")
    if settings.smtp_url is not None and settings.mail_from is None:
        raise BadSettings("--smtp-url needs --mail-from: the address that e-mails come from")
    return settings


def outside(environment: Mapping[str, str], env_file: Path) -> dict[str, str]:
    """Return the environment's variables, and those of .env that it lacks. Raises BadSettings."""
    try:
        found = dotenv_values(env_file) if env_file.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{env_file} cannot be read as text in UTF-8: {error}") from None
    return {name: text for name, text in found.items() if text} | dict(environment)


def _read(read: Any, text: str, name: str) -> Any:
    try:
        return read(text)
    except argparse.ArgumentTypeError as error:
        raise BadSettings(f"{name} is {_without_addresses(str(error))}") from None


def _without_addresses(message: str) -> str:
    """Cut a message at a URI, which may have a password. URIs with http and https stay."""
    return re.sub(r"(?<!\bhttp)(?<!\bhttps)://.*", "://…", message, flags=re.DOTALL)


def _hub_parser() -> argparse.ArgumentParser:
    parser = Parser(
        description="The real-time hub of a railway. Other commands: "
        f"`{command_name()} token` prints a token, `keys` changes the keys that sign tokens, "
        "`revoke` revokes tokens, `check` verifies a data folder and compares it with MongoDB, "
        "`refill` writes MongoDB again from it, `undelivered` lists notifications that could not "
        "be sent, `notify-test` sends a test e-mail or push. Each has its own --help.",
        epilog="Each option is also a variable TRAINHUB_…, in the environment or in .env.",
    )
    parser.add_argument("--version", action="version", version=f"trainhub {__version__}")
    for option in options():
        help_text = option.text + (f" ({option.default})" if option.default else "")
        if option.name in _FLAGS:
            parser.add_argument(option.flag, action="store_true", default=None, help=help_text)
        else:
            read = _OPTIONS[option.name][0]
            parser.add_argument(option.flag, type=read, help=help_text, metavar=option.name.upper())
    return parser


@dataclass(frozen=True)
class Option:
    """One option as --help and the documentation list it. Without a default, `default` is ""."""

    name: str
    text: str
    default: str

    @property
    def flag(self) -> str:
        return _flag(self.name)


def options() -> Iterator[Option]:
    """Yield the options of a hub in the order in which they are listed."""
    defaults = {each.name: each.default for each in fields(Settings)}
    for name, text in {**{name: text for name, (_, text) in _OPTIONS.items()}, **_FLAGS}.items():
        yield Option(name, text, _shown(defaults[name]) if name in _OPTIONS else "")


def _shown(value: object) -> str:
    """Return a value as a user would give it."""
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def log_format_of(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> str:
    """Return the form of log lines that was asked for, even if another setting is wrong."""
    asked = " ".join(arguments).replace("=", " ")
    in_options = re.search(r"--log-format (\S+)", asked)
    found = in_options[1] if in_options else environment.get("TRAINHUB_LOG_FORMAT")
    return "json" if found == "json" else "text"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
