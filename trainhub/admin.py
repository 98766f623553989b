"""An operator's commands: tokens, keys, revocations, a check, a refill, a test e-mail or push.

Each is run as `trainhub NAME`, and returns whether all is well. It raises the errors of a start
(server.BAD_STARTS). A running hub reads changed keys and revocations within a second.
"""

import argparse
import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex

from trainhub.access.identity import Tokens, id_and_end
from trainhub.access.keys import add_key, drop_key, has_keys, load_keys
from trainhub.access.revocations import read_revocations, revoke_token, revoke_user
from trainhub.access.vapid import VAPID_FILE, load_vapid_key
from trainhub.adapters.contacts_file import ContactsFile
from trainhub.adapters.data_folder import DataFolder
from trainhub.adapters.embedded_mongod import EmbeddedMongod
from trainhub.adapters.journal_check import Finding, check_journal
from trainhub.adapters.mail import MailFailed, SmtpMail
from trainhub.adapters.mongo_lease import look
from trainhub.adapters.undelivered import read_undelivered
from trainhub.adapters.web_push import PushFailed, WebPush
from trainhub.core.errors import BadToken
from trainhub.core.lease import Held
from trainhub.core.lineage import Verdict, compare
from trainhub.core.notifications import (
    Channel,
    Notification,
    Sender,
    TryLater,
    Undeliverable,
    Urgency,
)
from trainhub.core.push_hosts import PushHosts
from trainhub.core.stores import REFILL_FILE
from trainhub.core.stream import Stream
from trainhub.core.write_buffer import StoreAway
from trainhub.domain import normal
from trainhub.domain.model import Role
from trainhub.domain.snapshot import resume
from trainhub.hub.vocabulary import RAILWAY
from trainhub.process.clock import WallClock
from trainhub.settings import (
    BadSettings,
    Parser,
    Settings,
    database_of,
    number,
    one_of,
    outside,
    read_settings,
)


def token(arguments: Sequence[str]) -> bool:
    """Print a signed token, and nothing else."""
    parser = _parser("token", "Print a signed token, and nothing else.")
    variables = outside(os.environ, Path(".env"))
    parser.add_argument("--role", required=True, type=one_of(*Role), help=", ".join(Role))
    parser.add_argument("--user", required=True, help="who: a passenger's irctcId, a TTE's number")
    parser.add_argument("--train", required=True, help='12345[,12346/2026-11-23…], or "*" for all')
    parser.add_argument("--hours", type=number(0.01, 24 * 366), default=12.0, help="validity (12)")
    for option in ("audience", "issuer"):
        variable = f"TRAINHUB_TOKEN_{option.upper()}"
        default = variables.get(variable) or None
        parser.add_argument(
            f"--token-{option}", default=default, help=f"as the hub's own option ({variable})"
        )
    given = parser.parse_args(arguments)
    trains = [name for part in given.train.split(",") if (name := normal.run(part))]
    user = normal.text(given.user)
    if not trains or not user:
        raise BadSettings("--train and --user name at least one train and a user")
    folder = _folder(given, variables)
    tokens = Tokens(
        load_keys(folder / "keys.json"),
        revoked=read_revocations(folder / "revoked.json"),
        audience=given.token_audience,
        issuer=given.token_issuer,
    )
    print(tokens.issue(user, Role(given.role), trains, timedelta(hours=given.hours)))
    return True


def keys(arguments: Sequence[str]) -> bool:
    """List the ids of the hub's keys, the signing key last. Adds or drops a key first."""
    parser = _parser("keys", "List the ids of the keys of tokens; the last one signs.")
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--new", action="store_true", help="add a key, which signs from now on")
    change.add_argument("--drop", metavar="ID", help="remove a key; its tokens become invalid")
    given = parser.parse_args(arguments)
    path = _folder(given) / "keys.json"
    if given.new:
        add_key(path)
    if given.drop is not None:
        drop_key(path, given.drop)
    for kid in load_keys(path):
        print(kid)
    return True


def revoke(arguments: Sequence[str]) -> bool:
    """Revoke a token, or all tokens of a user."""
    parser = _parser("revoke", "Revoke a token, or all tokens that a user has up to now.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--user", help="whose tokens: a passenger's irctcId, a TTE's number")
    what.add_argument("--token", help="the token itself")
    given = parser.parse_args(arguments)
    folder = _folder(given)
    path = folder / "revoked.json"
    # After the clock was set back, there are tokens with later times than the clock's.
    now = WallClock(folder / "clock.json").latest()
    if given.user is not None:
        revoke_user(path, normal.text(given.user), now)
    else:
        try:
            token_id, expires = id_and_end(given.token)
        except BadToken as error:
            raise BadSettings(f"{error.message}: revoke its --user instead") from None
        revoke_token(path, token_id, expires, now)
    found = read_revocations(path)
    print(f"revoked: {len(found.tokens)} tokens, and what {len(found.users)} users had")
    return True


def check(arguments: Sequence[str]) -> bool:
    """Say what a data folder holds, whether it is sound, and whether MongoDB agrees."""
    parser = Parser(
        "check",
        description="Say what a data folder holds, whether it is sound, and whether MongoDB has "
        "what the journal has written there. Changes nothing.",
    )
    parser.add_argument("data_dir", type=Path, help="a hub's data folder")
    parser.add_argument("--mongodb-uri", help="the hub's MongoDB server, if it is not the embedded")
    parser.add_argument("--database", help="the hub's database name in MongoDB (trainhub)")
    given = parser.parse_args(arguments)
    variables = outside(os.environ, Path(".env"))
    folder = DataFolder(given.data_dir)
    uri = given.mongodb_uri or variables.get("TRAINHUB_MONGODB_URI")
    database = given.database or variables.get("TRAINHUB_DATABASE")
    database = database or (uri and database_of(uri)) or Settings.database
    # MongoDB is asked before and after the journal is read, as a hub may be writing to both.
    before = _look(folder.path, uri, database)
    finding = check_journal(folder.path / "journal.db", RAILWAY, resume)
    if not has_keys(folder.path / "keys.json"):
        finding.fault("keys.json does not hold the hub's keys, for its owner alone")
    _compare(finding, before, before and _look(folder.path, uri, database))
    for line in (*finding.lines, *folder.contents()):
        print(line)
    for fault in finding.faults:
        print(f"FAULT: {fault}")
    print("not sound" if finding.faults else "sound")
    return not finding.faults


def undelivered(arguments: Sequence[str]) -> bool:
    """List the notifications that could not be sent, the oldest first. Changes nothing."""
    parser = Parser(
        "undelivered",
        description="List the notifications that could not be sent. Changes nothing.",
    )
    parser.add_argument("data_dir", type=Path, help="a hub's data folder")
    folder = parser.parse_args(arguments).data_dir
    if not folder.is_dir():
        raise BadSettings(f"there is no data folder {folder}: name a hub's data folder")
    for each in read_undelivered(folder):
        since = datetime.fromtimestamp(each.since, UTC).isoformat(timespec="seconds")
        state = "tried again" if each.given_up is None else "given up"
        print(f"{since} {state} after {each.tries} tries: {each.job.id}: {each.reason}")
    return True


def _look(folder: Path, uri: str | None, database: str) -> Held | str | None:
    """Return MongoDB's lease and place, or None without one, or a text if it cannot be asked."""
    if uri is None:
        mongod = EmbeddedMongod(folder / "mongodb")
        if not mongod.runs:
            return "the embedded database does not run: it is not compared with the journal"
        uri = mongod.uri
    try:
        return asyncio.run(look(uri, database))
    except StoreAway:
        return "MongoDB does not answer: it is not compared with the journal"


def _compare(finding: Finding, before: Held | str | None, after: Held | str | None) -> None:
    """Add the comparison of MongoDB with the journal to a finding."""
    for held in (before, after):
        if isinstance(held, str):
            finding.lines.append(held)
            return
    if finding.lineage is None:
        return
    places = [held.place if isinstance(held, Held) else None for held in (before, after)]
    if isinstance(after, Held):
        holder = after.holder
        state = "was last held" if holder.released else "is held"
        finding.lines.append(f"MongoDB {state} by process {holder.pid} on {holder.host}")
    if places[1] is not None:
        finding.lines.append(f"MongoDB has epoch {places[1].epoch} up to {places[1].position}")
    lineage = finding.lineage.started("check", finding.head)
    if compare(lineage, 0, places[0]) is Verdict.FORKED:
        finding.fault(
            "MongoDB has a history that this journal does not know: the journal is older, or "
            "another hub's; the next start begins a new epoch, which replaces that history"
        )
    elif finding.head and compare(lineage, finding.flushed, places[1]) is Verdict.BEHIND:
        finding.lines.append(
            "MongoDB is behind the journal: a running hub, or the next one, refills it"
        )


def refill(arguments: Sequence[str]) -> bool:
    """Ask the hub to write MongoDB again from all that its journal still has."""
    parser = _parser(
        "refill", "Ask the hub to write MongoDB again from all that its journal still has."
    )
    folder = _folder(parser.parse_args(arguments))
    if not (folder / "journal.db").is_file():
        raise BadSettings(f"there is no journal in {folder}: name a hub's data folder")
    (folder / REFILL_FILE).touch(mode=0o600)
    print("asked for: a running hub refills MongoDB within seconds, or the next start does")
    return True


def notify_test(arguments: Sequence[str]) -> bool:
    """Send one e-mail, or one push to a user's devices, and say what happens."""
    parser = Parser(
        "notify-test",
        description="Send one e-mail or push as the hub would, and say what happens. "
        "Also accepts --smtp-url and the hub's other options, here or in the environment.",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--to", metavar="ADDRESS", help="where the e-mail goes")
    where.add_argument("--user", metavar="IRCTC_ID", help="to whose devices the push goes")
    given, rest = parser.parse_known_args(arguments)
    settings = read_settings(rest)
    sender: Sender | None
    if given.user is None:
        sender, notification = _mail(settings), _test_notification(Channel.EMAIL, given.to)
    else:
        sender, notification = _web_push(settings), _test_notification(Channel.PUSH, given.user)
    return sender is not None and asyncio.run(_send_once(sender, notification))


def _mail(settings: Settings) -> SmtpMail | None:
    if settings.smtp_url is None or settings.mail_from is None:
        print("--smtp-url is not set: the hub writes e-mails into its outbox folder; nothing sent")
        return None
    return SmtpMail(
        settings.smtp_url,
        settings.mail_from,
        settings.public_url or "",
        say=lambda step: print(step, flush=True),
    )


def _web_push(settings: Settings) -> WebPush | None:
    if settings.push_subject is None:
        print("--push-subject is not set: the hub writes pushes into its outbox; nothing sent")
        return None
    folder = settings.data_dir
    if not (folder / VAPID_FILE).is_file():
        raise BadSettings(f"there is no {VAPID_FILE} in {folder}: name a hub's folder, --data-dir")
    return WebPush(
        load_vapid_key(folder / VAPID_FILE),
        ContactsFile(folder),
        settings.push_subject,
        PushHosts(settings.push_hosts),
        lambda: datetime.now(UTC),
    )


async def _send_once(sender: Sender, notification: Notification) -> bool:
    """Send, and say why that failed or what to look at."""
    try:
        detail = await sender.send(notification)
    except Undeliverable as error:
        print(f"NOT SENT: {error}; no later try can help")
    except TryLater as error:
        reached = f"sent to {error.reached}; the others: " if error.reached else "NOT SENT: "
        print(f"{reached}{error}; the hub would try again in {error.seconds:g} s")
    except (MailFailed, PushFailed) as error:
        print(f"NOT SENT: {error}; the hub would try again")
    else:
        if notification.channel is Channel.PUSH:
            print(f"sent to {detail}: look at them")
        else:
            print("sent: look into the mailbox, and its spam folder")
        return True
    finally:
        await sender.close()
    return False


def _test_notification(channel: Channel, to: str) -> Notification:
    now = datetime.now(UTC)
    return Notification(
        id=f"notify-test-{token_hex(8)}",
        position=0,
        stream=Stream("notify-test"),
        seq=0,
        kind="TEST",
        user="",
        about=None,
        channel=channel,
        to=to,
        topic="",
        language="en",
        subject="trainhub: a test",
        body="This is a test of the hub's notifications. If you can read it, they arrive.",
        link="",
        urgency=Urgency.NORMAL,
        due=now,
        expires=now + timedelta(hours=1),
    )


ORDERS: dict[str, Callable[[Sequence[str]], bool]] = {
    "token": token,
    "keys": keys,
    "revoke": revoke,
    "check": check,
    "undelivered": undelivered,
    "refill": refill,
    "notify-test": notify_test,
}


def _parser(name: str, description: str) -> Parser:
    parser = Parser(name, description=description)
    parser.add_argument("--data-dir", type=Path, help="the hub's data folder (./data)")
    return parser


def _folder(given: argparse.Namespace, variables: Mapping[str, str] | None = None) -> Path:
    """Return the data folder. Raises BadSettings if it is missing: only a hub makes one."""
    found = outside(os.environ, Path(".env")) if variables is None else variables
    named = given.data_dir or Path(found.get("TRAINHUB_DATA_DIR") or Settings.data_dir)
    if not named.is_dir():
        raise BadSettings(
            f"there is no data folder {named}: start the hub once, or name its folder with "
            "--data-dir"
        )
    return DataFolder(named).path
