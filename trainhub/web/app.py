"""The tornado application, and the server that listens for it."""

import math
from pathlib import Path
from typing import Any

import tornado.web
from tornado.routing import Rule

from trainhub.web.base import MOST_READ_BYTES, Misdirected, NoSuchPage, Web
from trainhub.web.door import BODY_SECONDS, HEAD_SECONDS, Door
from trainhub.web.hour import Hour
from trainhub.web.limits import Askers
from trainhub.web.monitor import Monitor
from trainhub.web.proxies import Proxies
from trainhub.web.routes import rules

MOST_HEAD_BYTES = 16 * 1024


def static_folder() -> Path:
    """Return the folder of the pages: inside the installed package, at the top of a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "static"
    return installed if installed.is_dir() else package.with_name("static")


STATIC = static_folder()
# Files with an address of their own: a service worker has to stand above what it works for.
PAGES = ("monitor.html", "passenger.html", "tte.html", "sw.js")


def make_app(web: Web, monitor: Monitor, hour: Hour) -> tornado.web.Application:
    monitor.watch(web)
    pages = {name: (STATIC / name).read_bytes() for name in PAGES}
    handlers: list[Any] = [
        *rules(web, monitor=monitor, hour=hour, pages=pages, path=STATIC),
        (r".*", NoSuchPage, {"web": web}),
    ]
    return tornado.web.Application(
        [Rule(web.hosts, handlers)],
        default_handler_class=Misdirected,
        default_handler_args={"web": web},
        cross_origin_protection=True,
        trusted_origins=web.origins,
        log_function=lambda handler: None,
    )


def make_server(
    app: tornado.web.Application,
    most_files: float = math.inf,
    proxies: Proxies | None = None,
    comers: Askers | None = None,
) -> Door:
    """`most_files` is how many files the process may have open.

    `comers` bounds how often an address may connect; None means no bound.
    """
    # A body over a handler's limit is refused by the handler. Tornado's own limit, at which it
    # drops the connection, stands further up, so that most clients get to read that answer.
    door = Door(
        app,
        max_body_size=MOST_READ_BYTES,
        max_header_size=MOST_HEAD_BYTES,
        idle_connection_timeout=HEAD_SECONDS,
        body_timeout=BODY_SECONDS,
    )
    door.most_files = most_files
    door.proxies = proxies or Proxies()
    door.comers = comers
    return door
