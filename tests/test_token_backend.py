"""docs/how-to/write-a-client.md: the token backend of the page signs tokens that a hub accepts."""

import json
import os
import re
import subprocess
import sys
import urllib.error
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from load import answered
from waiting import PATIENCE, wait_for

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "write-a-client.md"
CHAPTER = PAGE.read_text().split("## Give your users their tokens")[1].split("\n## ")[0]


@pytest.fixture
def backend(tmp_path, unused_port):
    """Make keys and run the backend as the page says. Return a function that asks for a token."""
    keys = re.search(r"```sh\n(.*?)^python", CHAPTER, re.DOTALL | re.MULTILINE)[1]
    subprocess.run(["bash", "-ec", keys], cwd=tmp_path, check=True, capture_output=True)
    code = re.search(r"```python\n(.*?)```", CHAPTER, re.DOTALL)[1]
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PORT": str(unused_port)},
        stderr=subprocess.DEVNULL,
    )

    def ask(session):
        url = f"http://127.0.0.1:{unused_port}/my/token"
        with urlopen(Request(url, headers={"X-Session": session}), timeout=PATIENCE) as answer:
            return answer.read().decode()

    def answers():
        try:
            return bool(ask("secret-of-asha"))
        except OSError:
            return False

    wait_for(answers)
    yield ask
    process.kill()
    process.wait()


def test_the_hub_accepts_the_backend_s_tokens(backend, start_hub, tmp_path):
    """A known user becomes that passenger; another session gets no token."""
    hub = start_hub("--public-keys", str(tmp_path / "public.pem"))
    headers = {"Authorization": f"Bearer {backend('secret-of-asha')}"}
    with answered(Request(f"{hub.url}/api/me", headers=headers)) as answer:
        me = json.load(answer)["result"]
    assert me == {"user": "IR_0001", "role": "PASSENGER", "trains": ["12345"]}
    with pytest.raises(urllib.error.HTTPError, match="403"):
        backend("another")
