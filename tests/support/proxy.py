"""A line of TCP on loopback that can be dropped in the middle."""

import contextlib
import socket
import threading


class DroppingProxy:
    """Hands bytes on between its port and another one.

    Args:
        target: The other port.
    """

    def __init__(self, target):
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                distant = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, distant]
                for source, sink in ((near, distant), (distant, near)):
                    threading.Thread(target=self._hand_on, args=(source, sink), daemon=True).start()

    def _hand_on(self, source, sink):
        with contextlib.suppress(OSError):
            while content := source.recv(1 << 16):
                sink.sendall(content)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def drop(self):
        """Drop what is open; the next one is served again."""
        dropped, self._open = self._open, []
        for end in dropped:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self):
        """Serve no more."""
        self._listener.close()
        self.drop()


@contextlib.contextmanager
def dropping_proxy(target):
    """A proxy to a port of loopback."""
    proxy = DroppingProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
