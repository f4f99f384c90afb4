"""What a connection hands over to a device, whatever the user's configuration of SSH says."""

from pathlib import Path

import pytest

from atb.devices.remote.ssh.address import SshAddress
from atb.devices.remote.ssh.connection import _connection_options

asyncssh = pytest.importorskip("asyncssh")

CONFIGURATION = """
Host *
  ForwardAgent yes
  ForwardX11Trusted yes
  GSSAPIDelegateCredentials yes
  HostbasedAuthentication yes
  PasswordAuthentication yes
  RequestTTY force
  SendEnv AWS_* LANG
  SetEnv OMP_NUM_THREADS=7
Host board
  User builder
  Port 2222
"""


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    path = tmp_path / "config"
    path.write_text(CONFIGURATION)
    return path


def made(
    configuration: Path, address: str, **added: object
) -> "asyncssh.SSHClientConnectionOptions":
    options = {**_connection_options(SshAddress.parse(address), b"#\n", None), **added}
    return asyncssh.SSHClientConnectionOptions(config=[str(configuration)], host="board", **options)


def test_neither_agent_nor_display_nor_tickets_are_handed_on(configuration: Path) -> None:
    options = made(configuration, "ssh://board")
    assert options.agent_forward_path is None
    assert not options.x11_forwarding
    assert not options.gss_delegate_creds
    assert not options.host_based_auth
    assert not options.password_auth


def test_neither_variables_nor_a_terminal_come_from_the_configuration(configuration: Path) -> None:
    options = made(configuration, "ssh://board")
    assert not options.env
    assert not options.send_env
    assert not options.request_pty


def test_how_a_host_is_reached_still_does(configuration: Path) -> None:
    options = made(configuration, "ssh://board")
    assert (options.username, options.port) == ("builder", 2222)
    options = made(configuration, "ssh://me@board:22")
    assert (options.username, options.port) == ("me", 22)
