"""Run a function in a child process. A crash in native code then becomes an error message.

The readers of binary formats are written in C++, and a corrupt file can crash them. The parent process only
waits, forwards signals, and reports a crash.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType

from padmask.storage.system import die_with, free_memory

# Signals that a crash in native code raises. Users and the kernel send other signals.
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)

# Exit code if the input is probably corrupt.
CORRUPT_INPUT = 1

# Virtual memory that a run may reserve in addition to the free memory, in bytes. Threads and allocators
# reserve more memory than they use.
RESERVED_BYTES = 8 << 30

_KILLED = "The process was killed, probably because memory ran out."

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_guarded(
    run: Callable[[], int],
    print_error: Callable[[str], int],
    inputs: Sequence[str],
    *,
    bound_memory: bool,
    quiet: bool = False,
    runs_model: bool = False,
    remedy: Callable[[], str] = str,
) -> int:
    """Run a function in a child process and return its exit code.

    This function uses fork, and returns in both the parent and the child.

    Args:
        run: function to run. It returns an exit code.
        print_error: function that prints an error message and returns the exit code of a failed run.
        inputs: input paths, for error messages.
        bound_memory: whether to limit the child's virtual memory. A huge allocation then fails safely.
        quiet: whether to discard what native code prints to stderr.
        runs_model: whether `run` also runs a model, which may crash too.
        remedy: function that returns what to do if the child was killed.
    """
    parent = os.getpid()
    reading, writing = os.pipe()
    # If the program that starts padmask ignores this signal, the system discards the exit code of the child.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Block signals until the child exists, because the parent must forward them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
            die_with(parent)
            if bound_memory:
                _bound_memory()
            if quiet:
                _silence_native_code()
            code = run()
        except BaseException as error:
            if not (isinstance(error, SystemExit) and error.code in (0, None)):
                os.write(writing, b".")
            raise
        # The byte says that `run` has returned. If a model, a function or a thread calls exit(), the parent
        # receives no byte.
        os.write(writing, b".")
        return code
    os.close(writing)
    for number in _FORWARDED:
        # If a signal is already ignored, such as SIGHUP under nohup, keep ignoring it.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _forward_to(child))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        print_error_of = _report_model_death if runs_model else _report_death
        return print_error_of(-code, print_error, inputs, remedy())
    os.set_blocking(reading, False)
    if not _has_byte(reading):
        return print_error(
            "The process exited before the run was complete. Check your model or function for a call to "
            "exit()."
        )
    return code


def _forward_to(child: int) -> Callable[[int, FrameType | None], None]:
    """Return a signal handler that sends the signal to a child process."""

    def forward(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    return forward


def _has_byte(descriptor: int) -> bool:
    try:
        return bool(os.read(descriptor, 1))
    except BlockingIOError:
        return False


def _report_death(number: int, print_error: Callable[[str], int], inputs: Sequence[str], remedy: str) -> int:
    """Print an error message for the signal that ended the child, and return the exit code."""
    name_of_input = f"{inputs[0]!r}" if len(inputs) == 1 else "one of the inputs" if inputs else "stdin"
    if number in CRASHES:
        name = signal.Signals(number).name
        print_error(
            f"Reading {name_of_input} crashed ({name}): the file is probably corrupt. No output was written. "
            "Check that another tool can read the file."
        )
        return CORRUPT_INPUT
    if number == signal.SIGKILL:
        print_error(f"{_KILLED} {remedy}")
    return 128 + number


def _report_model_death(
    number: int, print_error: Callable[[str], int], inputs: Sequence[str], remedy: str
) -> int:
    """Print an error message for the signal that ended a child that ran a model. Return the exit code."""
    if number in CRASHES:
        print_error(
            f"The run crashed in native code ({signal.Signals(number).name}): the model, the function or its "
            "libraries probably crashed. Run the model without padmask, and check the data with --no-model."
        )
        return CORRUPT_INPUT
    if number == signal.SIGKILL:
        print_error(f"{_KILLED} {remedy}")
    return 128 + number


def _silence_native_code() -> None:
    """Hide what native code prints to stderr, but keep what Python prints to `sys.stderr`."""
    if sys.stderr is None:
        return
    sys.stderr.flush()
    own, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    sys.stderr = open(own, "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)  # noqa: SIM115


def _bound_memory() -> None:
    """Limit virtual memory, so that a huge allocation fails before the machine runs out of memory."""
    free = free_memory()
    if free is None:
        return
    import resource

    limit = free + RESERVED_BYTES
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or limit < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
