from .address import SshAddress as SshAddress
from .connection import (
    ConnectionFailed as ConnectionFailed,
    HostRefused as HostRefused,
    SshCommand as SshCommand,
)
