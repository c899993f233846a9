"""`padmask` and `python -m padmask`: a process that a signal may end at any moment.

The signals are taken first, and everything else is imported after: a Ctrl-C that comes
meanwhile ends without a traceback too.
"""

# ruff: noqa: E402 - not even the standard library is imported before the path is safe.

import os
import sys


def _leave_out_current_folder() -> None:
    """Take the folder away that `python -m` looks for modules in first: data may lie in it, not code."""
    try:
        here = os.getcwd()
    except OSError:
        return  # The folder is gone, and its modules with it.
    # A checkout of padmask is a folder of code, where its worker processes look for it too.
    is_checkout = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) == here
    if not sys.flags.safe_path and not is_checkout and sys.path[0] in ("", here):
        del sys.path[0]


if __name__ == "__main__":
    _leave_out_current_folder()

import signal
import threading
import time
from contextlib import suppress
from typing import NoReturn

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class _TerminatedError(BaseException):
    """A signal asked the process to end. Raised like Ctrl-C, so that temporary files are taken away."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    if os.name != "posix":
        print("Error: padmask runs on Linux and macOS. On Windows, run it in WSL.", file=sys.stderr)
        sys.exit(2)
    try:
        take_signals()
        _fill_closed_streams()
        # NumPy would start a thread a core for linear algebra that nobody does here: a quarter of
        # the start-up of a small run.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from padmask.cli import start

        code = start(sys.argv[1:])
        for number in _SIGNALS:
            # Nothing is left to tidy up.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except _TerminatedError as terminated:
        from padmask.cli.failures import say_stopped

        say_stopped(terminated)
        code = 128 + terminated.signal
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
    # A thread may still wait for a pipe that brings nothing. Python cannot end it, and Arrow
    # aborts the process where the interpreter is taken down under it.
    os._exit(code)


def take_signals() -> None:
    """Let signals that end the process raise, wherever it is."""
    for number in _SIGNALS:
        # What is ignored from the start, as under nohup, stays so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _stop_again


def _fill_closed_streams() -> None:
    """Let nothing else have the numbers of streams that are closed: native code writes to them unasked."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free.
            os.open(os.devnull, os.O_RDWR)


def _stop(number: int, _: object) -> None:
    if _Lost.being_told:
        # What is raised now would be lost too: it comes again.
        return
    # Once is enough: a second one would end the tidying up.
    signal.signal(number, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise _TerminatedError(number)


class _Lost:
    """Whether Python is telling of a signal that it has dropped."""

    being_told = False


def _stop_again(lost: "sys.UnraisableHookArgs") -> None:
    """Ask again where the signal came while an object was taken down, whose errors Python drops."""
    stopped = lost.exc_value
    if not isinstance(stopped, (KeyboardInterrupt, _TerminatedError)):
        sys.__unraisablehook__(lost)
        return
    number = stopped.signal if isinstance(stopped, _TerminatedError) else signal.SIGINT
    _Lost.being_told = True
    signal.signal(number, _stop)
    threading.Thread(target=_ask_until_taken, args=(number,), daemon=True).start()
    # Last: from here on, Python looks for signals only where this has ended.
    _Lost.being_told = False


def _ask_until_taken(number: int) -> None:
    while True:
        time.sleep(0.01)
        if signal.getsignal(number) is not _stop:
            return
        os.kill(os.getpid(), number)


if __name__ == "__main__":
    main()
