"""The files of the pages, and the JavaScript client."""

import tornado.web

from trainhub.web.base import Edge, Web


class StaticFiles(Edge, tornado.web.StaticFileHandler):
    def initialize(self, web: Web, path: str) -> None:  # type: ignore[override]
        super().initialize(path)
        self.web = web

    def prepare(self) -> None:
        self.count()
        self.compress()

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        if "\0" in path:
            raise tornado.web.HTTPError(404, reason="there is nothing at this address")
        return super().get_absolute_path(root, path)

    def get_content_type(self) -> str:
        # The system's table of types may take .ts for video, and may not know the others.
        if (self.absolute_path or "").endswith((".ts", ".cts", ".md")):
            return "text/plain; charset=utf-8"
        if (self.absolute_path or "").endswith(".cjs"):
            return "text/javascript"
        if (self.absolute_path or "").endswith(".webmanifest"):
            return "application/manifest+json"
        return super().get_content_type()

    def set_extra_headers(self, path: str) -> None:
        self.set_header("Cache-Control", "no-cache")
