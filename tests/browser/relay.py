"""A relay in front of a server that can cut its connections, as a network does."""

import socket
import threading
from contextlib import suppress


class Relay:
    """Passes bytes between a port of its own and a server; `cut` ends all open connections."""

    def __init__(self, port: int) -> None:
        """
        Args:
            port: of the server, on this machine.
        """
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """End all connections at once; new ones are accepted."""
        with self._lock:
            connections, self._open = self._open, set()
        for each in connections:
            _end(each)

    def close(self) -> None:
        """End everything."""
        _end(self._listener)
        self.cut()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            with self._lock:
                self._open |= {client, server}
            for source, target in ((client, server), (server, client)):
                thread = threading.Thread(target=self._pass, args=[source, target], daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # cut, or closed by the other side
            while data := source.recv(65536):
                target.sendall(data)
        _end(target)
        with self._lock:
            self._open.discard(source)
        source.close()


def _end(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended already
        connection.shutdown(socket.SHUT_RDWR)
