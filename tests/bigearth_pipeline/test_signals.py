"""Endings of `bep` by signals, at every moment of a command."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.running.commands.command import ENVIRONMENT

_SCRIPT = """
import atexit, contextlib, importlib, json, os, runpy, signal, sys

numbers, arguments = json.loads(sys.argv[1])
import bigearth_pipeline.signals as signals

NEAR = ("/bigearth_pipeline/__main__.py", "/bigearth_pipeline/signals.py", "/bigearth_pipeline/cli/")
FAR = ("/click/", "/contextlib.py")


def run(at):
    "Fork; run the command, and send the signals at the line that is executed as the one of this number."
    reads, outputs = zip(*[os.pipe() for _ in range(3)])
    process = os.fork()
    if process == 0:
        os.dup2(outputs[0], 1)
        os.dup2(outputs[1], 2)
        lines = {"near": 0, "far": 0}

        def trace(frame, event, argument):
            name = frame.f_code.co_filename
            kind = "near" if any(each in name for each in NEAR) else "far" if any(each in name for each in FAR) else ""
            if kind and event == "line" and len(signals.PROGRAM._before) == 3:
                lines[kind] += 1
                if (kind, lines[kind]) == at:
                    try:
                        exec("os.kill(os.getpid(), numbers[0])")  # As text, as dataclasses do.
                    finally:
                        os.kill(os.getpid(), numbers[1])
            return trace

        atexit.register(lambda: os.write(outputs[2], json.dumps([lines, list(sys.modules)]).encode()))
        sys.argv = ["", *arguments]
        sys.settrace(trace)
        runpy.run_module("bigearth_pipeline", run_name="__main__", alter_sys=True)
    for write in outputs:
        os.close(write)
    found = []
    for read in reads:
        with open(read) as file:
            found.append(file.read())
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), *found


for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
*_, about = run(None)
modules = json.loads(about)[1]
for name in modules:  # So that the forks need not import them again.
    if not name.startswith(("__main", "bigearth_pipeline.__main__")):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
status, stdout, stderr, about = run(None)
results = [["none", 0, status, stdout, stderr]]
for kind, count in json.loads(about)[0].items():
    # The last lines near by, one by one, are the end of the program.
    last = range(count - 6, count + 1) if kind == "near" else ()
    for at in sorted({*range(1, count + 1, count // 6), *last}):
        results.append([kind, at, *run((kind, at))[:3]])
sys.settrace(None)
os.write(1, json.dumps(results).encode())
os._exit(0)
"""


@pytest.mark.long
@pytest.mark.parametrize(("first", "second"), [(signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)])
def test_the_first_signal_decides_at_any_moment(tmp_path: Path, first: signal.Signals, second: signal.Signals) -> None:
    """In some moments a command ends by a traceback, with status 1, by another signal, or is cut off by the second."""
    arguments = json.dumps([[first, second], ["runs", str(tmp_path), "--json"]])
    environment = ENVIRONMENT | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    (tmp_path / "script.py").write_text(_SCRIPT)
    # As a module: interpreters of programs that are files or text do not look at what `exec` has let out.
    script = [sys.executable, "-m", "script", arguments]
    ended = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    undisturbed, *results = json.loads(ended.stdout)
    assert undisturbed[2:] == [0, "[]\n", ""]
    assert len(results) > 15
    interrupted = 0
    for kind, line, status, output, errors in results:
        # "Aborted!" is the word of click, around commands.
        assert errors in ("\ninterrupted\n", "\nAborted!\n", ""), (kind, line)
        if output == "":
            assert errors, (kind, line)
        # A command that had finished may say so.
        assert status == 128 + first or (status == 0 and output == "[]\n" and not errors), (kind, line)
        interrupted += status != 0
    assert interrupted > len(results) / 2


_DROPPED = """
import gc, os, signal, sys, time
from bigearth_pipeline.signals import PROGRAM, Interrupted

PROGRAM.listen()


def send(*_):
    gc.callbacks.remove(send)
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(100):
        pass


class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(100):
            pass


try:
    if sys.argv[1] == "collected":
        gc.callbacks.append(send)
        gc.collect()
    else:
        Finalized()
    time.sleep(20)
except Interrupted:
    print("interrupted", PROGRAM.status)
"""


@pytest.mark.parametrize("moment", ["collected", "finalized"])
def test_a_signal_is_not_lost_where_python_drops_what_is_raised(moment: str) -> None:
    """A signal that comes while garbage is collected is ignored, and so are all that follow it."""
    done = subprocess.run(
        [sys.executable, "-c", _DROPPED, moment], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("interrupted 143\n", "")


_HELD = """
import os, signal, threading, time
from bigearth_pipeline.signals import PROGRAM, Interrupted
from bigearth_pipeline.workers.forks import signals_held

threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
PROGRAM.listen()
try:
    with signals_held():
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(100):
            time.sleep(0.01)
        print("held")
except Interrupted:
    print("interrupted", PROGRAM.status)
"""


def test_a_signal_that_another_thread_receives_is_held() -> None:
    """Dask is cut off while it starts, where there is a thread beside, as libraries have, and cannot close in order."""
    done = subprocess.run(
        [sys.executable, "-c", _HELD], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("held\ninterrupted 143\n", "")
