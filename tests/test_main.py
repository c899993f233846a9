"""A signal ends the process at any time."""

from __future__ import annotations

import subprocess
import sys

import pytest
from processes import default_signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX's signals")

TAKEN_DOWN = """
import os, signal, time
from padmask.__main__ import install_signal_handlers

class Object:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        sum(range(1000))

install_signal_handlers()
Object()
time.sleep({seconds})
"""


@pytest.mark.parametrize(
    ("name", "raised"),
    [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "padmask.__main__._TerminatedError: 15")],
)
def test_signal_during_finalizer(name, raised):
    # Python ignores exceptions of finalizers, and prints a warning.
    program = TAKEN_DOWN.format(name=name, seconds=60)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        preexec_fn=default_signals,
    )
    assert done.stderr.splitlines()[-1] == raised
    assert "ignored" not in done.stderr
