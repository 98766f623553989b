"""trainhub/process/file_watch.py: a change is seen once, whatever kind it is."""

import os

from trainhub.process.file_watch import FileWatch


def test_each_kind_of_change_is_seen_once(tmp_path):
    """Made, written, put in the place of, removed; and nothing without a change."""
    one, two = tmp_path / "one", tmp_path / "two"
    watch = FileWatch([one, two])

    def seen():
        return watch.changed(), watch.changed()

    assert seen() == (False, False)
    one.write_text("a")
    assert seen() == (True, False)
    one.write_text("ab")
    assert seen() == (True, False)
    os.utime(one, ns=(0, 0))
    assert seen() == (True, False)
    two.write_text("b")
    assert seen() == (True, False)
    (tmp_path / "draft").write_text("ab")
    os.utime(tmp_path / "draft", ns=(0, 0))
    (tmp_path / "draft").replace(one)
    assert seen() == (True, False)
    one.unlink()
    assert seen() == (True, False)
    assert seen() == (False, False)
