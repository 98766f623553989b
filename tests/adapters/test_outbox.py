"""trainhub/adapters/outbox.py: messages as files, whole, that other programs can read."""

import asyncio
import contextlib
import email
import json
import os
import stat
import threading
import time
from email.policy import default

import pytest
from notices import notice
from waiting import PATIENCE, wait_for

from trainhub.adapters import outbox as outbox_module
from trainhub.adapters.email_message import DEFAULT_FROM
from trainhub.adapters.outbox import MOST_WRITES, Outbox
from trainhub.core.notifications import Channel, Undeliverable

HEADERS = {
    "From",
    "To",
    "Subject",
    "Message-ID",
    "Content-Type",
    "Content-Language",
    "Date",
    "List-Unsubscribe",
    "Auto-Submitted",
    "MIME-Version",
}


def mail(name="run_1-email", to="person1@example.org", subject="A subject", body="A body."):
    return notice(id=name, to=to, subject=subject, body=body, link="", topic="")


def push(name="run_1-push", to="IR_1", subject="A subject", body="A body."):
    return notice(Channel.PUSH, id=name, to=to, subject=subject, body=body, link="")


def send(folder, *jobs):
    async def story():
        outbox = Outbox(folder)
        for job in jobs:
            await outbox.send(job)
        await outbox.close()

    asyncio.run(story())


def parsed(file):
    return email.message_from_bytes(file.read_bytes(), policy=default)


def body_of(file):
    """The text, with this system's line ends and without the last."""
    text = parsed(file).get_body(("plain",)).get_content()
    return text.replace("\r\n", "\n").removesuffix("\n")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "outbox"


def test_the_folder_is_for_its_owner_only(folder):
    """It is made with mode 0700, for it holds names and addresses; an existing folder is used."""
    Outbox(folder)
    Outbox(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_e_mail_is_an_eml_file(folder):
    """Named by the job's id, and whole for any program that reads mail."""
    send(folder, mail(body="First line.\nSecond line."))
    message = parsed(folder / "run_1-email.eml")
    assert message.defects == []
    assert message["From"] == DEFAULT_FROM
    assert message["To"] == "person1@example.org"
    assert message["Subject"] == "A subject"
    assert message["Message-ID"] == "<run_1-email@localhost>"
    assert body_of(folder / "run_1-email.eml") == "First line.\nSecond line."
    assert set(message) == HEADERS


def test_a_push_is_a_json_file(folder):
    """It has the id, the user, the title, the body, the link and the end of validity."""
    send(folder, push(subject='"Zug" / गाड़ी', body="über\n🚆"))
    assert json.loads((folder / "run_1-push.json").read_text(encoding="utf-8")) == {
        "id": "run_1-push",
        "user": "IR_1",
        "title": '"Zug" / गाड़ी',
        "body": "über\n🚆",
        "link": "",
        "expires": push().expires.isoformat(),
    }


@pytest.mark.parametrize(
    "text", ["Müller, Zug nach Köln", "गाड़ी संख्या 12345 समय पर है", "ट्रेन 🚆 " * 40, "x" * 900]
)
def test_every_script_survives(folder, text):
    """Umlauts, Devanagari, emoji and long lines, in the subject and in the body."""
    send(folder, mail(subject=text.strip(), body=f"{text}\n{text}"))
    message = parsed(folder / "run_1-email.eml")
    assert message.defects == []
    assert message["Subject"] == text.strip()
    assert body_of(folder / "run_1-email.eml") == f"{text}\n{text}"
    head = (folder / "run_1-email.eml").read_bytes().partition(b"\r\n\r\n")[0]
    assert head.isascii()


ENCODED = "=?utf-8?q?x=0D=0ABcc=3A_evil=40example.org?="
SPLITTING = "=?utf-8?q?x=0D=0A=0D=0Aall_of_it?="


@pytest.mark.parametrize("field", ["to", "subject"])
@pytest.mark.parametrize(
    "text",
    [
        "a@example.org\r\nBcc: evil@example.org",
        "a@example.org\nBcc: evil@example.org",
        "a@example.org\rBcc: evil@example.org",
        "a@example.org\x0bBcc: evil@example.org",
        "a@example.org\x85Bcc: evil@example.org",
        "a@example.org\u2028Bcc: evil@example.org",
        "a@example.org\r\n\r\nall of it",
        "a@example.org\r\n Bcc: evil@example.org",
        f"{ENCODED} <a@example.org>",
        f"a@{ENCODED}",
        f"{ENCODED}: a@example.org;",
        f"a@{SPLITTING}",
    ],
)
def test_no_header_can_be_slipped_in(folder, field, text):
    """Line ends in an address or a subject, plain or encoded: refused, or in the field itself."""
    with contextlib.suppress(Undeliverable):
        send(folder, mail(**{field: text}))
    for file in folder.glob("*.eml"):
        assert set(parsed(file)) == HEADERS
        assert body_of(file) == "A body."


def test_a_job_that_is_sent_twice_is_one_file(folder):
    """A job comes again after a crash: the same name, so the same file, and whole."""
    send(folder, mail(), push(), mail(), push())
    assert sorted(file.name for file in folder.iterdir()) == [
        "run_1-email.eml",
        "run_1-push.json",
    ]
    assert body_of(folder / "run_1-email.eml") == "A body."


def test_a_file_is_seen_only_when_it_is_whole(folder, monkeypatch):
    """Up to its renaming there is nothing but a hidden draft, which holds all of it already."""
    seen = []

    def spy(draft, target):
        shown = [file.name for file in folder.iterdir() if not file.name.startswith(".")]
        seen.append((shown, draft.name.startswith("."), draft.parent == target.parent))
        whole.append(draft.read_bytes())
        replace(draft, target)

    whole, replace = [], outbox_module.os.replace
    monkeypatch.setattr(outbox_module.os, "replace", spy)
    send(folder, mail(), push())
    assert seen == [([], True, True), (["run_1-email.eml"], True, True)]
    assert whole[0] == (folder / "run_1-email.eml").read_bytes()
    assert whole[1] == (folder / "run_1-push.json").read_bytes()


def test_whoever_looks_all_the_time_sees_whole_files_only(folder):
    """The program that takes files away may look at any moment."""
    folder.mkdir(parents=True)
    done, torn, looks = threading.Event(), [], []

    def look():
        while not done.is_set():
            for file in folder.glob("[!.]*"):
                if not file.read_bytes().endswith((b"}", b"--\r\n")):
                    torn.append(file.name)
            looks.append(len(torn))

    looking = threading.Thread(target=look)
    looking.start()
    body = "0123456789\n" * 20_000 + "end"
    try:
        send(folder, *(mail(f"run_{n % 3}-email", body=body) for n in range(30)))
    finally:
        done.set()
        looking.join()
    assert looks
    assert torn == []


def test_a_folder_that_is_gone_is_an_error(folder):
    """The job is not taken for sent: it is tried again later."""
    outbox = Outbox(folder)
    folder.rmdir()
    with pytest.raises(OSError, match="No such file"):
        asyncio.run(outbox.send(mail()))


def test_a_folder_that_cannot_be_made_does_not_hold_the_start(folder, caplog):
    """Something else stands in its place: that is logged, and jobs fail until it has gone."""
    folder.parent.mkdir()
    folder.write_text("no folder")
    outbox = Outbox(folder)
    assert "cannot be made" in caplog.text
    with pytest.raises(OSError, match="Not a directory"):
        asyncio.run(outbox.send(mail()))
    folder.unlink()
    folder.mkdir()
    asyncio.run(outbox.send(mail()))
    assert (folder / "run_1-email.eml").is_file()


@pytest.mark.parametrize(
    "job", [mail(to="no address"), mail(body="half \ud800"), push(body="half \ud800")]
)
def test_what_no_file_can_hold_is_undeliverable(folder, job):
    """No later try can help, and the reason quotes nothing of the passenger's."""
    with pytest.raises(Undeliverable) as error:
        send(folder, job)
    assert "half" not in str(error.value)
    assert job.to not in str(error.value)


class Hanging(Outbox):
    """An outbox on a file system that hangs for some files, until `thaw`; `writes` counts them."""

    def __init__(self, folder, *hanging):
        super().__init__(folder)
        self.hanging = hanging
        self.writes = []
        self._thawed = threading.Event()

    def _write(self, name, content):
        self.writes.append(name)
        if name in self.hanging:
            assert self._thawed.wait(PATIENCE)
        super()._write(name, content)

    def thaw(self):
        self._thawed.set()


def test_a_write_that_hangs_is_waited_for_and_not_repeated(folder):
    """A try that is given up goes on in its thread; the next try takes its outcome."""

    async def story():
        outbox = Hanging(folder, "run_1-email.eml")
        try:
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await outbox.send(mail())
            await outbox.send(push())
        finally:
            outbox.thaw()
        await outbox.send(mail())
        return outbox.writes

    assert asyncio.run(story()) == ["run_1-email.eml", "run_1-push.json"]
    assert len(list(folder.iterdir())) == 2


def test_a_file_system_that_hangs_costs_a_bounded_number_of_threads(folder):
    """Above that a job fails at once. When it is back all go out."""
    jobs = [mail(f"run_{n}-email") for n in range(2 * MOST_WRITES + 20)]

    async def story():
        outbox = Hanging(folder, *(f"{job.id}.eml" for job in jobs))
        failed = 0
        before = set(threading.enumerate())
        try:
            for job in jobs:
                try:
                    async with asyncio.timeout(0.01):
                        await outbox.send(job)
                except OSError as error:
                    failed += "hangs" in str(error)
            threads = len(set(threading.enumerate()) - before)
        finally:
            outbox.thaw()
        await asyncio.gather(*(outbox.send(job) for job in jobs[:20]))
        for job in jobs:
            await outbox.send(job)
        await outbox.close()
        return threads, failed

    threads, failed = asyncio.run(story())
    assert threads <= MOST_WRITES
    assert failed == MOST_WRITES + 20
    assert len(list(folder.glob("*.eml"))) == len(jobs)


def test_the_loop_does_not_write(folder, monkeypatch):
    """The disk may be slow: files are written on another thread."""
    threads, replace = set(), outbox_module.os.replace

    def spy(draft, target):
        threads.add(threading.get_ident())
        replace(draft, target)

    monkeypatch.setattr(outbox_module.os, "replace", spy)
    send(folder, mail(), push())
    assert threading.get_ident() not in threads
    assert threads


def age(file, days):
    """Make a file look as old as that."""
    moment = time.time() - days * 24 * 3600
    os.utime(file, (moment, moment))


def swept(folder, caplog, most):
    """Send once with a new outbox, and wait until at most `most` files are left."""
    caplog.set_level("WARNING")
    send(folder, push("new"))
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) > most:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    while "the outbox removed" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return {file.name for file in folder.iterdir()}


def test_old_files_leave(folder, caplog):
    """After a week a notification helps no one; other programs' files are left alone."""
    send(folder, mail("old"), push("young"))
    age(folder / "old.eml", 8)
    age(folder / "young.json", 6)
    (folder / "notes.txt").write_text("")
    age(folder / "notes.txt", 100)
    assert swept(folder, caplog, 3) == {"young.json", "new.json", "notes.txt"}
    assert "removed 1 files" in caplog.text


def test_removed_files_are_said_for_a_day(folder):
    """An operator sees on the page that notifications are lost, and what to do."""
    folder.mkdir(parents=True)
    (folder / "old.eml").touch()  # not by another outbox, which might remove it too
    age(folder / "old.eml", 8)
    outbox = Outbox(folder)
    assert outbox.complaints() == []
    asyncio.run(outbox.send(push("new")))
    wait_for(outbox.complaints)
    (sentence,) = outbox.complaints()
    assert sentence.startswith("the outbox removed 1 files")
    assert "--smtp-url" in sentence


@pytest.mark.parametrize("bound", ["MOST_BYTES", "MOST_FILES"])
def test_the_oldest_leave_a_full_folder(folder, caplog, monkeypatch, bound):
    """No program takes the files away: the disk does not fill up."""
    send(folder, *(push(f"n{number}") for number in range(10)))
    for number in range(10):
        age(folder / f"n{number}.json", 2 - number / 10)
    one = (folder / "n0.json").stat().st_size
    monkeypatch.setattr(outbox_module, bound, 4 * one + 3 if bound == "MOST_BYTES" else 4)
    # The new file may be written before or after the look at the folder.
    left = swept(folder, caplog, 5)
    assert left - {"n6.json"} == {"n7.json", "n8.json", "n9.json", "new.json"}


def test_an_address_outside_ascii_is_written_as_it_is(folder):
    """The program that takes the file finds the address in its header."""
    send(folder, mail(to="आशा@example.org"))
    assert "To: आशा@example.org" in (folder / "run_1-email.eml").read_text("utf-8")
