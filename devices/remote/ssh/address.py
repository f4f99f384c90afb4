"""Where a remote device is: `ssh://user@host:port`, read strictly."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from atb.errors import InputError

DEFAULT_PORT = 22

_URL = re.compile(r"ssh://(?:(?P<user>[^@]*)@)?(?P<host>\[[^\]]*\]|[^:@\[\]]*)(?::(?P<port>.*))?")
# neither begins with a dash, which a program would take for an option
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")


@dataclass(frozen=True)
class SshAddress:
    """Of a machine that is reached over SSH.

    Attributes:
        host: Name, alias of `~/.ssh/config`, or IP address without brackets.
        user: Whose account; None for what `~/.ssh/config` or the system says.
        port: None for what `~/.ssh/config` says, or else 22.
    """

    host: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> SshAddress:
        """Read the text form.

        Raises:
            InputError: It is none, or holds more, such as a password or a path.
        """
        if ":" in text.removeprefix("ssh:").rpartition("@")[0]:
            # never repeated, since it may end in a log
            raise InputError(
                "The address holds a password: leave it out, and log in with a key or an agent "
                "(`ssh-copy-id` brings a key there)."
            )
        found = _URL.fullmatch(text) if text.isprintable() else None
        if found is None:
            raise _refusal(text, "is no address of the form ssh://user@host:port")
        user, host, port = found["user"], found["host"], found["port"]
        if user is not None and not _USER.fullmatch(user):
            raise _refusal(text, f"names the user {user!r}")
        if host.startswith("["):
            host = _ipv6(text, host[1:-1])
        elif not _HOST.fullmatch(host):
            raise _refusal(text, f"names the host {host!r}")
        return cls(host, user, None if port is None else _port(text, port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = "" if self.user is None else f"{self.user}@"
        return f"ssh://{user}{host}" + ("" if self.port is None else f":{self.port}")


def _ipv6(text: str, host: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError as error:
        raise _refusal(text, f"has {host!r} in brackets, which is no IPv6 address") from error


def _port(text: str, port: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise _refusal(text, f"has the port {port!r}")
    return int(port)


def _refusal(text: str, what: str) -> InputError:
    return InputError(
        f"The address {text!r} {what}: write it like ssh://pi@raspberrypi.local, "
        "ssh://user@host:2222 or ssh://user@[fe80::1]:22."
    )
