"""A program that a launcher starts in the place of `bep`: `python -I -S entry.py SOCKET MODULE ARGUMENT...`.

It has `tests.support.running.commands.relay` fork the command, which then is on the same host and has the same streams;
passes signals on to it; and ends as it ends. Without imports of libraries it takes hundredths of a second.
"""

import json
import os
import signal
import socket
import struct
import sys


def main() -> None:
    """Have the command forked and wait for its end."""
    path, module, *arguments = sys.argv[1:]
    message = {"module": module, "arguments": arguments, "environment": dict(os.environ), "process": os.getpid()}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.connect(path)
        socket.send_fds(channel, [json.dumps(message).encode()], [0, 1, 2])
        (process,) = struct.unpack("<i", channel.recv(4))

        def pass_on(number: int, frame: object) -> None:
            os.kill(process, number)

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, pass_on)
        (status,) = struct.unpack("<i", channel.recv(4))
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main()
