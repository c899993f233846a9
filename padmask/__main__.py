"""Entry point of `padmask` and `python -m padmask`, with handlers for signals.

The handlers are installed before the other imports, so that Ctrl-C during the imports prints no traceback.
"""

# ruff: noqa: E402 - the current folder is removed from sys.path before the other imports

import os
import sys


def _remove_current_folder() -> None:
    """Remove the current folder, which `python -m` adds, from `sys.path`. Its files may be untrusted."""
    try:
        here = os.getcwd()
    except OSError:
        return  # The current folder was deleted, with all modules in it.
    # In a checkout of padmask, the current folder must stay: worker processes import padmask from there.
    is_checkout = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) == here
    if not sys.flags.safe_path and not is_checkout and sys.path[0] in ("", here):
        del sys.path[0]


if __name__ == "__main__":
    _remove_current_folder()

import signal
import threading
import time
from contextlib import suppress
from typing import NoReturn

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class _TerminatedError(BaseException):
    """SIGTERM or SIGHUP was received. The exception lets padmask delete temporary files before it exits."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


def main() -> NoReturn:
    """Run the command line, and end the process with the exit code of the command."""
    if os.name != "posix":
        print("Error: padmask runs on Linux and macOS. On Windows, run padmask in WSL.", file=sys.stderr)
        sys.exit(2)
    try:
        install_signal_handlers()
        _open_closed_streams()
        # NumPy would start one thread per core for linear algebra, which padmask does not use. On small
        # inputs, these threads take a quarter of the run time.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from padmask.cli import start

        code = start(sys.argv[1:])
        for number in _SIGNALS:
            # All temporary files are deleted by now, so a signal may end the process directly.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except _TerminatedError as terminated:
        from padmask.cli.failures import print_progress_notes

        print_progress_notes(terminated)
        code = 128 + terminated.signal
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
    # A thread may still wait for data from a pipe. Python cannot end this thread, and Arrow aborts the
    # process if the interpreter shuts down while the thread runs.
    os._exit(code)


def install_signal_handlers() -> None:
    """Install handlers that raise an exception for signals that end the process."""
    for number in _SIGNALS:
        # A signal that the parent process ignores, such as SIGHUP under nohup, stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise_for_signal)
    sys.unraisablehook = _repeat_dropped_signal


def _open_closed_streams() -> None:
    """Open /dev/null for each closed standard stream, so that no other file gets its descriptor.

    Native code writes to descriptors 1 and 2, whatever files they belong to.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # open() returns the lowest free descriptor, which is this one.
            os.open(os.devnull, os.O_RDWR)


def _raise_for_signal(number: int, _: object) -> None:
    if _DroppedSignal.in_hook:
        # Python would also drop an exception raised here. The hook's thread sends the signal again later.
        return
    # A second signal would interrupt the cleanup.
    signal.signal(number, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise _TerminatedError(number)


class _DroppedSignal:
    """State of `_repeat_dropped_signal`: `in_hook` is True while the function runs."""

    in_hook = False


def _repeat_dropped_signal(dropped: "sys.UnraisableHookArgs") -> None:
    """Send a signal again if Python ignored the exception that the signal handler raised.

    Python ignores exceptions in finalizers.
    """
    stopped = dropped.exc_value
    if not isinstance(stopped, (KeyboardInterrupt, _TerminatedError)):
        sys.__unraisablehook__(dropped)
        return
    number = stopped.signal if isinstance(stopped, _TerminatedError) else signal.SIGINT
    _DroppedSignal.in_hook = True
    signal.signal(number, _raise_for_signal)
    threading.Thread(target=_send_until_handled, args=(number,), daemon=True).start()
    # This must be the last statement. Python then handles the next signal only after the hook returns.
    _DroppedSignal.in_hook = False


def _send_until_handled(number: int) -> None:
    while True:
        time.sleep(0.01)
        if signal.getsignal(number) is not _raise_for_signal:
            return
        os.kill(os.getpid(), number)


if __name__ == "__main__":
    main()
