"""trainhub/core/push_hosts.py: the hub sends to push services, and to nothing else."""

import pytest

from trainhub.core.push_hosts import PushHosts


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com/fcm/send/abc:APA91b-_x",
        "https://updates.push.services.mozilla.com/wpush/v2/gAAA",
        "https://web.push.apple.com/QGx",
        "https://wns2-par02p.notify.windows.com/w/?token=BQ%3d",
        "https://FCM.googleapis.com:443/wp/x",
    ],
)
def test_endpoints_of_browsers(endpoint):
    """Chrome, Firefox, Safari and Edge work without a setting."""
    assert PushHosts().why_refused(endpoint) is None


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "http://fcm.googleapis.com/x",
        "https://fcm.googleapis.com",
        "https://fcm.googleapis.com:8443/x",
        "https://fcm.googleapis.com.evil.example/x",
        "https://evilfcm.googleapis.com/x",
        "https://notify.windows.com.evil.example/x",
        "https://fcm.googleapis.com@evil.example/x",
        "https://evil.example\\@fcm.googleapis.com/x",
        "https://evil.example/fcm.googleapis.com",
        "https://fcm.googleapis.com/x#y",
        "https://fcm.googleapis.com/x\r\nHost: y",
        "https://fcm.googleapis.com/x y",
        "https://fcm.googleapis.com/" + "x" * 2000,
        "https://127.0.0.1/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://0x7f000001/x",
        "https://[::1]/x",
        "https://localhost/x",
        "https://fcm.googleapis.com./x",
        "https://a..push.apple.com/x",
        "https://.push.apple.com/x",
        f"https://{'a' * 64}.push.apple.com/x",
        f"https://{'a.' * 125}push.apple.com/x",
        "http\u017f://fcm.googleapis.com/x",
        "https://\u212a.push.apple.com/x",
        "file:///etc/passwd",
    ],
)
def test_other_endpoints_are_refused(endpoint):
    """Each refusal says why."""
    assert PushHosts().why_refused(endpoint)


def test_the_operators_own_services():
    """They are added by name, and by port if it is not 443."""
    hosts = PushHosts(["push.example", "localhost:8443"])
    assert hosts.why_refused("https://push.example/x") is None
    assert hosts.why_refused("https://localhost:8443/x") is None
    assert hosts.why_refused("https://push.example:8443/x")
    assert hosts.why_refused("https://localhost/x")
    assert hosts.why_refused("https://a.push.example/x")
    assert hosts.is_operators("LOCALHOST")
    assert not hosts.is_operators("fcm.googleapis.com")
