import pytest

from atb.devices.remote.ssh.address import SshAddress
from atb.errors import InputError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://pi@raspberrypi.local", SshAddress("raspberrypi.local", "pi")),
        ("ssh://board", SshAddress("board")),
        ("ssh://user@host:2222", SshAddress("host", "user", 2222)),
        ("ssh://user@[::1]:22", SshAddress("::1", "user", 22)),
        ("ssh://[fe80::1]", SshAddress("fe80::1")),
    ],
)
def test_an_address_is_read_and_written(text: str, address: SshAddress) -> None:
    assert SshAddress.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "http://host",
        "ssh://",
        "ssh://user@",
        "ssh://@host",
        "ssh://-oProxyCommand=x",
        "ssh://-l@host",
        "ssh://user@-host",
        "ssh://host/path",
        "ssh://host?query",
        "ssh://host#part",
        "ssh://host:0",
        "ssh://host:65536",
        "ssh://host:22x",
        "ssh://host:",
        "ssh://a@b@c",
        "ssh://host\n",
        "ssh://ho st",
        "ssh://us;er@host",
        "ssh://$(id)@host",
        "ssh://host;id",
        "ssh://[::1",
        "ssh://[localhost]",
        "ssh://::1",
        "ssh://ho\x00st",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        SshAddress.parse(text)


@pytest.mark.parametrize("text", ["ssh://user:geheim@host", "ssh://user:geheim@at@host/path"])
def test_a_password_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InputError, match="password") as caught:
        SshAddress.parse(text)
    assert "geheim" not in str(caught.value)
