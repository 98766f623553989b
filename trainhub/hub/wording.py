"""The texts of notifications, from a file for each language, filled in for one event.

Each text of a file is a template of `str.format`. The values that fill it are never templates.
"""

import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

LANGUAGES = ("en", "hi")
DEFAULT_LANGUAGE = "en"
# Languages that use the form for one with 0 too. English uses it only with 1.
_ONE_INCLUDES_ZERO = frozenset({"hi"})


class Words:
    """The texts of one language."""

    def __init__(self, language: str, data: Mapping[str, Any]) -> None:
        self.language = language
        self._data = data

    def templates(self, kind: str) -> tuple[str, str]:
        """Return the subject and the text of a kind, not filled in. With two forms: the plural."""
        texts = self._data[kind]
        return texts["subject"], texts.get("body", texts.get("body_other")).strip("\n")

    def subject(self, kind: str, fields: Mapping[str, object]) -> str:
        """Return the subject of a kind of notification."""
        return self._filled(self._data[kind]["subject"], fields)

    def body(self, kind: str, fields: Mapping[str, object]) -> str:
        """Return the text of a kind. With a `count` it has a form for one and a form for others."""
        texts = self._data[kind]
        name = "body" if "body" in texts else f"body_{self._form(fields['count'])}"
        return self._filled(texts[name].strip("\n"), fields)

    def part(self, part: str, /, **fields: object) -> str:
        """Return one of the parts that texts are made of."""
        return self._filled(self._data["parts"][part], fields)

    def berth(self, kind: str) -> str:
        """Return the name of a type of berth."""
        found: str = self._data["berths"][kind]
        return found

    def day(self, day: date) -> str:
        """Return a date in words."""
        dates = self._data["dates"]
        fields = {"day": day.day, "month": dates["months"][day.month - 1], "year": day.year}
        return self._filled(dates["day"], fields)

    def moment(self, moment: datetime, zone: ZoneInfo) -> str:
        """Return a time in the train's zone, with its offset: some nights have an hour twice."""
        local = moment.astimezone(zone).replace(microsecond=0)
        clock = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
        offset = local.isoformat()[-len("+00:00") :]
        fields = {"clock": clock, "day": self.day(local), "offset": offset}
        return self._filled(self._data["dates"]["moment"], fields)

    def clock(self, moment: datetime) -> str:
        """Return the hour and minute, as the moment's offset has them."""
        return f"{moment:%H:%M}"

    def _form(self, count: object) -> str:
        one = (0, 1) if self.language in _ONE_INCLUDES_ZERO else (1,)
        return "one" if count in one else "other"

    @staticmethod
    def _filled(template: str, fields: Mapping[str, object]) -> str:
        return template.format_map(fields)


@cache
def words_of(language: str) -> Words:
    """Return the texts of a language, or of the default language if it is unknown."""
    known = language if language in LANGUAGES else DEFAULT_LANGUAGE
    file = resources.files("trainhub.hub.languages") / f"{known}.toml"
    return Words(known, tomllib.loads(file.read_text("utf-8")))
