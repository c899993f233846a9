"""A run in a process of its own, so that a crash in native code ends in a sentence.

Readers of binary formats are written in C++, where a corrupt file can bring down the whole
process. The process that was started only waits, passes signals on, and says what happened.
Knows nothing of what runs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType

from padmask.storage.system import die_with, free_memory

# What native code dies of, as against what a person or the kernel sends.
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)

# The exit code where the data are at fault.
CORRUPT_INPUT = 1

# Virtual memory that a run may take beyond what is free: threads and allocators reserve more than
# they use.
RESERVED_BYTES = 8 << 30

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def guarded(
    run: Callable[[], int],
    say: Callable[[str], int],
    inputs: Sequence[str],
    *,
    bound_memory: bool,
    quiet: bool = False,
) -> int:
    """Run something in a child process and return its exit code; the child itself returns too.

    Args:
        run: what to run.
        say: shows a sentence and returns the exit code of a run that could not answer.
        inputs: what is read, for the sentence.
        bound_memory: whether to let what asks for more memory than is free fail alone.
        quiet: whether to keep what native code writes to stderr, such as its last words, to itself.
    """
    parent = os.getpid()
    reading, writing = os.pipe()
    # A signal that came between would find nobody to pass it on to.
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        # Nobody would wait for the result.
        die_with(parent)
        if bound_memory:
            _bound_memory()
        if quiet:
            _silence_native_code()
        code = run()
        os.write(writing, b".")
        return code
    os.close(writing)
    for number in _PASSED_ON:
        # What was ignored from the start, as under nohup, stays so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _passing_on(child))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return _said_of_death(-code, say, inputs)
    os.set_blocking(reading, False)
    if code == 0 and not _has_byte(reading):
        return say("The run ended before it was done: something that it loaded ended the process.")
    return code


def _passing_on(child: int) -> Callable[[int, FrameType | None], None]:
    def pass_on(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    return pass_on


def _has_byte(descriptor: int) -> bool:
    try:
        return bool(os.read(descriptor, 1))
    except BlockingIOError:
        return False


def _said_of_death(number: int, say: Callable[[str], int], inputs: Sequence[str]) -> int:
    what = f"{inputs[0]!r}" if len(inputs) == 1 else "one of the inputs" if inputs else "stdin"
    if number in CRASHES:
        name = signal.Signals(number).name
        say(
            f"Reading {what} crashed ({name}): the file is most likely corrupt. Nothing was written. "
            "Check that it is whole and that another tool can read it."
        )
        return CORRUPT_INPUT
    if number == signal.SIGKILL:
        say("The run was killed, most likely because memory ran out. Choose a smaller --maxlen, such as p99.")
    return 128 + number


def _silence_native_code() -> None:
    """Keep a stderr for Python alone: what is below it writes to the descriptor, and now to nobody."""
    if sys.stderr is None:
        return
    sys.stderr.flush()
    own, nobody = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nobody, 2)
    os.close(nobody)
    sys.stderr = open(own, "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)  # noqa: SIM115


def _bound_memory() -> None:
    """Let what asks for more memory than there is fail alone, before the machine is short of it."""
    free = free_memory()
    if free is None:
        return
    import resource

    limit = free + RESERVED_BYTES
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or limit < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
