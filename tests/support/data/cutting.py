"""A proxy on loopback that passes bytes on, and cuts each connection after some of them."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def cutting_proxy(target: int, after: int, times: int) -> Iterator[int]:
    """Listen; the first connections are cut after a number of bytes of answers. The block gets the port."""
    left = iter(range(times))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(caller: socket.socket) -> None:
            budget = after if next(left, None) is not None else 1 << 60
            with caller, socket.create_connection(("127.0.0.1", target)) as server, suppress(OSError):
                threading.Thread(target=_pass_on, args=(caller, server), daemon=True).start()
                while budget > 0 and (data := server.recv(min(1 << 16, budget))):
                    caller.sendall(data)
                    budget -= len(data)
                # The other thread, which waits for the caller, would keep the connection open.
                caller.shutdown(socket.SHUT_RDWR)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    caller, _ = listener.accept()
                    threading.Thread(target=serve, args=(caller,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        # Else the target would wait for more requests.
        target.shutdown(socket.SHUT_WR)
