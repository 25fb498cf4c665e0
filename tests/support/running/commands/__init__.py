"""`bep` in a process of its own: a fork of one that has imported the libraries, or a new interpreter.

Tests start commands here, whether they wait for the end, send signals, or kill.
"""

from tests.support.running.commands.command import Command, run, start, while_running

__all__ = ["Command", "run", "start", "while_running"]
