"""Small disks for one test, which can be full or lose power. Only root may mount them."""

import shutil
import subprocess
from itertools import count
from pathlib import Path

import pytest


class _Mount:
    """A file system that is mounted at `folder` until `unmount`."""

    def __init__(self, what: str, folder: Path, *options: str) -> None:
        self.folder = folder
        self._mounted = False
        folder.mkdir()
        _run("mount", *options, what, str(folder))
        self._mounted = True

    def unmount(self) -> None:
        if self._mounted:
            self._mounted = False
            # Lazily, since a failed test may have left files open on it.
            _run("umount", "--lazy", str(self.folder))


class TinyDisk(_Mount):
    """A small disk in memory, which can be made larger. Sizes are as for tmpfs: "1500k"."""

    def __init__(self, folder: Path, size: str) -> None:
        super().__init__("tmpfs", folder, "-t", "tmpfs", "-o", f"size={size}")

    def grow(self, size: str) -> None:
        _run("mount", "-o", f"remount,size={size}", str(self.folder))


class Disk(_Mount):
    """An ext4 on a loop device over the file `image`."""

    def __init__(self, image: Path) -> None:
        self.image = image
        super().__init__(str(image), image.with_suffix(""), "-o", "loop,noatime")

    def remove(self) -> None:
        self.unmount()
        self.image.unlink(missing_ok=True)


class Disks:
    """Makes ext4 disks in a folder, and cuts their power."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Disk] = []
        self._numbers = count(1)
        folder.mkdir()

    def new(self, megabytes: int = 48) -> Disk:
        image = self._image()
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        # Without lazy parts: a kernel thread that makes them later would write at any time.
        eager = ("-E", "lazy_itable_init=0,lazy_journal_init=0")
        _run("mkfs.ext4", "-q", "-b", "4096", *eager, str(image))
        return self._mount(image)

    def cut(self, disk: Disk) -> bytes:
        """Return what is on the disk now, without data that only the kernel's memory has.

        The kernel may write meanwhile, so read until two readings are equal: the disk had exactly
        these bytes at a moment between them.
        """
        first = disk.image.read_bytes()
        while (second := disk.image.read_bytes()) != first:
            first = second
        return second

    def after(self, left: bytes) -> Disk:
        """Return a disk with the bytes that a cut has left; the kernel recovers it on mounting."""
        image = self._image()
        image.write_bytes(left)
        return self._mount(image)

    def remove(self) -> None:
        for disk in self._made:
            disk.remove()
        shutil.rmtree(self._folder)

    def _image(self) -> Path:
        return self._folder / f"{next(self._numbers)}.img"

    def _mount(self, image: Path) -> Disk:
        disk = Disk(image)
        self._made.append(disk)
        return disk


def _run(*command: str) -> None:
    """Run a command. Skip the test if the command is missing or not permitted."""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip(f"there is no {command[0]} here")
    except subprocess.CalledProcessError as error:
        if command[0] == "umount":
            raise
        pytest.skip(f"{command[0]} cannot be used here, are we root? {error.stderr.strip()}")
