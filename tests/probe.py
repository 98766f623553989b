"""A process that asks a light address of a hub again and again, and measures the times.

with Probe(hub) as probe:
    ...
print(probe)
"""

import subprocess
import sys
import time
from http.client import HTTPConnection
from select import select

from waiting import PATIENCE

PAUSE = 0.01


class Probe:
    """The probe's process. After `with`, `millis` has the time of each answer, sorted."""

    def __init__(self, hub):
        self._command = [sys.executable, __file__, str(hub.port)]
        self.millis: list[float] = []

    def __enter__(self):
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_):
        said, _ = self._process.communicate("enough\n", timeout=PATIENCE)
        assert self._process.returncode == 0, "a light GET was not answered"
        self.millis = sorted(map(float, said.split()))

    def at(self, share):
        return self.millis[min(int(len(self.millis) * share), len(self.millis) - 1)]

    def __str__(self):
        figures = ", ".join(f"p{share * 100:g} {self.at(share):.1f}" for share in (0.5, 0.99))
        return f"{len(self.millis)} light GETs: {figures}, longest {self.millis[-1]:.1f} ms"


def main(port):
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    while not select([sys.stdin], [], [], PAUSE)[0]:
        start = time.perf_counter()
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        print((time.perf_counter() - start) * 1000)


if __name__ == "__main__":
    main(int(sys.argv[1]))
