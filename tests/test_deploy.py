"""deploy/: the files for a station's server work as they are."""

import http.client
import json
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from certificates import trusting, write_pair
from load import admin_token
from waiting import PATIENCE, wait_for
from witness import connect

DEPLOY = Path(__file__).parents[1] / "deploy"
# The configuration that nginx needs around the file, all in the test's own folder.
AROUND = """
user root;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/trainhub.conf;
}}
"""


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def hub(start_hub, mongodb_uri, database_name):
    """A hub with the options that the file's first lines name."""
    return start_hub(
        "--mongodb-uri",
        mongodb_uri,
        "--database",
        database_name,
        "--trusted-proxies",
        "127.0.0.1",
        "--allowed-hosts",
        "hub.example",
        "--address-rate",
        "2",
    )


@pytest.fixture
def nginx(hub, tmp_path, unused_port):
    """Run nginx in front of the hub, by deploy/nginx.conf; return its port and certificate."""
    path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if path is None:
        pytest.skip("nginx is not installed here")
    certificate, key = write_pair(tmp_path)
    text = (DEPLOY / "nginx.conf").read_text()
    for there, here in (
        ("127.0.0.1:8888", f"127.0.0.1:{hub.port}"),
        ("listen 80;", f"listen unix:{tmp_path}/plain.sock;"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{unused_port} ssl;"),
        ("/etc/ssl/trainhub/hub.crt", str(certificate)),
        ("/etc/ssl/trainhub/hub.key", str(key)),
    ):
        assert text.count(there) == 1, there
        text = text.replace(there, here)
    (tmp_path / "trainhub.conf").write_text(text)
    whole = tmp_path / "nginx.conf"
    whole.write_text(AROUND.format(folder=tmp_path))
    command = (path, "-p", str(tmp_path), "-c", str(whole))
    tested = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stderr
    assert "warn" not in tested.stderr
    process = subprocess.Popen([*command, "-g", "daemon off;"])
    wait_for(lambda: listens(unused_port))
    yield unused_port, certificate
    process.terminate()
    process.wait(PATIENCE)


def test_behind_nginx(hub, nginx):
    """Pages, commands and sockets work over TLS; a client cannot forge its address."""
    port, certificate = nginx
    tls = trusting(certificate)
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=PATIENCE)

    def ask(path, **headers):
        connection.request("GET", path, headers={"Host": "hub.example", **headers})
        answer = connection.getresponse()
        answer.read()
        return answer

    page = ask("/")
    assert page.status == 200
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert page.headers["Server"].startswith("nginx")
    assert ask("/", Host="elsewhere.example").status == 421
    staff = {"Authorization": f"Bearer {admin_token(hub)}"}
    assert ask("/api/me", **staff).status == 200
    plain = socket.create_connection(("127.0.0.1", port))
    named = {
        "server_hostname": "localhost",
        "origin": "https://hub.example",
        "open_timeout": PATIENCE,
    }
    with connect("wss://hub.example/ws", sock=plain, ssl=tls, **named) as client:
        assert json.loads(client.recv(PATIENCE))["type"] == "WELCOME"
        client.send('{"type": "PING"}')
        assert json.loads(client.recv(PATIENCE))["type"] == "PONG"
    spoofed = [ask("/api/trains", **{"X-Forwarded-For": f"10.0.0.{n}"}).status for n in range(30)]
    assert spoofed.count(429) > 10
    assert ask("/api/me", **staff).status == 200
    connection.close()
