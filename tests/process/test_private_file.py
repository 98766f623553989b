"""trainhub/process/private_file.py: files for their owner, whole or as they were."""

import stat

import pytest

from trainhub.process.private_file import write_private


def test_a_private_file_is_whole_or_as_it_was(tmp_path):
    """A file has mode 0600, leaves no draft, and replaces another file only if allowed."""
    path = tmp_path / "file"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        write_private(path, "three", replace=False)
    assert path.read_text() == "two"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
