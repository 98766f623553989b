"""docs/tutorial.md: its steps, typed to the letter into two terminals, lead to an offer."""

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from load import asker
from waiting import wait_for

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
END = "end of step"


def steps(url, folder):
    """Return the shell commands of each step by its number, for a hub that runs elsewhere."""
    found = {}
    for number, text in re.findall(r"^## (\d+)\. .*?\n(.*?)(?=^## )", PAGE, re.M | re.S):
        blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
        code = "".join(blocks).replace("http://127.0.0.1:8888", url)
        code = code.replace("ws://127.0.0.1:8888", url.replace("http", "ws"))
        code = re.sub(r"^\.venv/bin/pip .*\n", "", code, flags=re.M)  # the tests' own packages
        code = code.replace("run.py token", f"{ROOT}/run.py token --data-dir {folder}")
        code = code.replace("docs/examples", f"{ROOT}/docs/examples")
        found[int(number)] = code.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    return found


class Terminal:
    """A shell that keeps its variables from step to step. `lines` is what it has said."""

    def __init__(self, folder):
        self.lines = []
        self.shell = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.shell.stdout:
            self.lines.append(line.rstrip("\n"))

    def enter(self, text):
        self.shell.stdin.write(text)
        self.shell.stdin.flush()

    def run(self, code):
        """Run the commands of a step to their end, and return the lines that are not empty."""
        before = len(self.lines)
        self.enter(f"{code}\necho {END}\n")
        wait_for(lambda: END in self.lines[before:])
        return [line for line in self.lines[before:] if line and line != END]

    def hears(self, word):
        """Wait for a message of that type, and return it."""
        wait_for(lambda: any(f'"type":"{word}"' in line for line in self.lines))
        line = next(line for line in self.lines if f'"type":"{word}"' in line)
        return json.loads(line[line.index("{") :])

    def close(self):
        self.shell.stdin.close()
        self.shell.kill()
        self._reader.join()
        self.shell.stdout.close()
        self.shell.wait()


@pytest.fixture
def terminals(tmp_path):
    both = Terminal(tmp_path), Terminal(tmp_path)
    yield both
    for each in both:
        each.close()


def result(lines):
    return json.loads(lines[-1])["result"]


def test_the_steps_lead_to_an_offer_and_a_report(start_hub, terminals):
    """Mary gets the offer of step 7, accepts it in step 8, and is in the report of step 10."""
    hub = start_hub("--demo")
    step = steps(hub.url, hub.folder)
    second, third = terminals
    asker(hub)("/readyz")
    assert second.run(step[3]) == []
    assert result(second.run(step[4]))["rejected"] == []
    third.enter(step[5])
    third.hears("SNAPSHOT")
    assert result(second.run(step[6]))["name"] == "Mary Thomas"
    (offer,) = result(second.run(step[7]))
    heard = third.hears("UPGRADE_OFFER")["data"]
    assert heard["offerId"] == offer["offerId"]
    third.enter(json.dumps({"type": "ACCEPT_OFFER", "offerId": heard["offerId"]}) + "\n")
    assert third.hears("UPGRADE_CONFIRMED")["data"]["coach"] == "S1"
    (mary,) = result(second.run(step[8]))
    assert (mary["status"], mary["upgradedFrom"]) == ("CNF", "RAC 1")
    assert result(second.run(step[9]))["station"]["code"] == "BWN"
    assert "S1,UPGRADE,4,HWH,GHY,4512345603,1,Mary Thomas" in "\n".join(second.run(step[10]))
