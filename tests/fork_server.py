"""Run `padmask` in processes that start in milliseconds.

A server process imports padmask and its dependencies. For each run, it forks a child, which receives the
arguments, the folder, the environment and the standard streams, and calls `padmask.__main__.main`. Exit
codes, streams and files are the same as in a new process.

Tests of signals, limits and Python's start-up need a new process: `python -m padmask`.

    python tests/fork_server.py serve SOCKET MODULE...    the server
    python tests/fork_server.py run SOCKET ARGS...        one run with the streams of this process
"""

# `run` must start quickly, so this file imports few modules at the top.
from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from subprocess import CompletedProcess

SECONDS = 60

# A run that a shell starts receives the descriptors below this number.
_MOST_PASSED = 10

# All descriptors of the server are below this number.
_MOST_OPEN = 64

# Python, the C library and time zones read these when a process starts.
_READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "TZ")

# Modules that runs import, without Keras and TensorFlow, which only few runs need.
MODULES = [
    "difflib",
    "numpy.ma",
    "padmask.cli.guard",
    "padmask.cli.inspect",
    "padmask.cli.pad",
    "padmask.cli.run_inspect",
    "padmask.cli.run_pad",
    "padmask.cli.run_unpad",
    "padmask.cli.run_verify",
    "padmask.cli.unpad",
    "padmask.cli.verify",
    "padmask.formats.arrow",
    "padmask.formats.jsonl.columns",
    "padmask.formats.jsonl.reader",
    "padmask.formats.jsonl.writer",
    "padmask.formats.npz",
    "padmask.formats.parquet",
    "padmask.render.report",
    "padmask.shards.pad_dataset",
    "padmask.shards.processes",
    "pyarrow.compute",
    "pyarrow.parquet",
    "resource",
    "rich.console",
    "rich.table",
]


# --- The process that forks --------------------------------------------------------------


def serve(path: str, modules: Iterable[str]) -> None:
    """Fork a child for every connection to a socket, until the parent process ends."""
    import gc
    import warnings
    from importlib import import_module

    # The same as `python -m padmask`.
    del sys.path[0]
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    import padmask.__main__
    from padmask.storage.system import die_with

    die_with(os.getppid())
    for module in modules:
        import_module(module)
    # The garbage collector would write to the pages of these objects, and each child would copy the pages.
    gc.collect()
    gc.freeze()
    # Python warns about Arrow's allocator thread, which does not hold Python locks.
    warnings.filterwarnings("ignore", ".*fork", DeprecationWarning, "__main__")
    _serve(path, padmask.__main__.main)


def _serve(path: str, main) -> None:
    """Start the requested runs, and send each exit code when the run has ended."""
    import select
    import signal

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    # A child that ends interrupts poll() with one byte.
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    poll.register(woken, select.POLLIN)
    running: dict[int, socket.socket] = {}
    print("ready", flush=True)
    while True:
        # Only one event at a time, because an event may close the connection of another one.
        number = poll.poll()[0][0]
        if number == woken.fileno():
            woken.recv(1 << 10)
            for connection in _send_exit_codes(running):
                with suppress(KeyError):
                    poll.unregister(connection)
                connection.close()
        elif number == listener.fileno():
            connection, _ = listener.accept()
            request, streams = _receive(connection)
            child = os.fork()
            if not child:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _run(request, streams, main)
            for stream in streams:
                os.close(stream)
            running[child] = connection
            poll.register(connection, select.POLLIN)
        else:
            # The client sends nothing more. If the connection ends before the run, the client has given up.
            poll.unregister(number)
            for child, connection in running.items():
                if connection.fileno() == number:
                    os.kill(child, signal.SIGKILL)


def _send_exit_codes(running: dict[int, socket.socket]) -> Iterator[socket.socket]:
    """Wait for the children that have ended, send their exit codes, and yield their connections."""
    with suppress(ChildProcessError):
        while True:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                return
            connection = running.pop(child)
            with suppress(OSError):
                connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
            yield connection


def _receive(connection: socket.socket) -> tuple[dict, list[int]]:
    """Return a request and the streams that came with it."""
    data, streams, _, _ = socket.recv_fds(connection, 1 << 16, _MOST_PASSED)
    size, _, data = data.partition(b"\n")
    while len(data) < int(size):
        data += connection.recv(1 << 16)
    return json.loads(data), streams


def _run(request: dict, streams: list[int], main) -> None:
    """Set up this process as requested (arguments, folder, environment, streams), run padmask, and exit."""
    import traceback

    try:
        _take_over(request, streams)
        exec(request["before"], {})
        main()
    except SystemExit as ended:
        os._exit(ended.code if isinstance(ended.code, int) else 1)
    except BaseException:  # noqa: BLE001 - as Python itself does at its end
        traceback.print_exc()
    finally:
        os._exit(1)


def _take_over(request: dict, streams: list[int]) -> None:
    import fcntl

    # Move the streams first, because a stream may have the target number of another one.
    kept = [fcntl.fcntl(stream, fcntl.F_DUPFD, _MOST_OPEN) for stream in streams]
    os.closerange(0, _MOST_OPEN)
    for number, stream in zip(request["open"], kept, strict=True):
        os.dup2(stream, number)
        os.close(stream)
    _open_streams(request["open"])
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["padmask", *request["args"]]


def _open_streams(numbers: list[int]) -> None:
    """Open the standard streams as Python does at start-up."""
    import io

    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old, stream = getattr(sys, f"__{name}__"), None
        if number in numbers:
            data = open(number, "wb" if number else "rb", 0 if number and unbuffered else -1, closefd=False)  # noqa: SIM115
            stream = io.TextIOWrapper(
                data,
                encoding=old.encoding,
                errors=old.errors,
                line_buffering=number == 2 or data.isatty(),
                write_through=bool(number and unbuffered),
            )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


# --- The processes that request runs -----------------------------------------------------


# The environment with which the server was started.
STARTED_WITH = dict(os.environ)


def needs_new_process(env: Mapping[str, str]) -> bool:
    """Return whether environments differ in variables that Python reads at start-up."""
    names = {name for name in {*env, *STARTED_WITH} if name.startswith(_READ_AT_START)}
    return any(env.get(name) != STARTED_WITH.get(name) for name in names)


class ForkServer:
    """A server process that forks a child for each run of `padmask`.

    Args:
        modules: modules that the server imports.
    """

    def __init__(self, modules: Iterable[str] = MODULES) -> None:
        self._modules = modules

    def __enter__(self) -> ForkServer:
        import subprocess
        import tempfile

        # The path of a socket has at most about 100 bytes. pytest's folders are too long.
        self._folder = tempfile.TemporaryDirectory(prefix="padmask-")
        self._path = os.path.join(self._folder.name, "socket")
        self._process = subprocess.Popen(
            [sys.executable, __file__, "serve", self._path, *self._modules],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=STARTED_WITH,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    @property
    def command(self) -> list[str]:
        """Start of a command line that runs `padmask` on this server, for shells and `subprocess`."""
        return [sys.executable, "-I", "-S", __file__, "run", self._path]

    def run(
        self,
        *args: str | bytes | Path,
        cwd: str | Path,
        stdin: bytes | int = b"",
        stdout: int | None = None,
        env: Mapping[str, str] | None = None,
        before: str = "",
    ) -> CompletedProcess[bytes]:
        """Run `padmask ARGS...` and return the exit code and the output.

        Args:
            args: command-line arguments.
            cwd: current folder of the run.
            stdin: bytes for a pipe, or a descriptor.
            stdout: descriptor; None uses a pipe.
            env: environment; None uses the environment of this process.
            before: Python code that the process runs first.
        """
        from subprocess import CompletedProcess

        with _Pipes() as pipes:
            given = pipes.reading(stdin) if isinstance(stdin, bytes) else stdin
            out = pipes.writing("stdout") if stdout is None else stdout
            with _ask(
                self._path, args, [given, out, pipes.writing("stderr")], cwd=cwd, env=env, before=before
            ) as connection:
                pipes.close_given()
                code = _exit_code(connection)
        return CompletedProcess(["padmask", *args], code, pipes.got("stdout"), pipes.got("stderr"))


class _Pipes:
    """Pipes to and from a process, each with a thread in this process."""

    def __init__(self) -> None:
        self._given: list[int] = []
        self._threads: list = []
        self._got: dict[str, bytes] = {}

    def __enter__(self) -> _Pipes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_given()
        for thread in self._threads:
            thread.join()

    def reading(self, data: bytes) -> int:
        """Return the read end of a pipe from which these bytes can be read."""
        reading, writing = os.pipe()

        def write() -> None:
            with suppress(BrokenPipeError), open(writing, "wb", buffering=0) as stream:
                rest = memoryview(data)
                while rest:
                    rest = rest[stream.write(rest) :]

        return self._start(reading, write)

    def writing(self, name: str) -> int:
        """Return the write end of a pipe. The bytes that are written to it are collected under `name`."""
        reading, writing = os.pipe()

        def read() -> None:
            with open(reading, "rb") as stream:
                self._got[name] = stream.read()

        return self._start(writing, read)

    def _start(self, given: int, work) -> int:
        from threading import Thread

        self._given.append(given)
        self._threads.append(Thread(target=work, daemon=True))
        self._threads[-1].start()
        return given

    def close_given(self) -> None:
        """Close the pipe ends that the process has received."""
        while self._given:
            os.close(self._given.pop())

    def got(self, name: str) -> bytes:
        return self._got.get(name, b"")


def _ask(
    path: str,
    args: Iterable[str | bytes | Path],
    streams: list[int],
    *,
    cwd: str | Path,
    numbers: list[int] | None = None,
    env: Mapping[str, str] | None = None,
    before: str = "",
) -> socket.socket:
    """Request a run, and return the connection that receives the exit code."""
    umask = os.umask(0)
    os.umask(umask)
    request = {
        "args": [os.fsdecode(arg) for arg in args],
        "open": [0, 1, 2] if numbers is None else numbers,
        "cwd": str(cwd),
        "env": dict(os.environ if env is None else env),
        "umask": umask,
        "before": before,
    }
    data = json.dumps(request).encode()
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(SECONDS)
    connection.connect(path)
    socket.send_fds(connection, [b"%d\n" % len(data)], streams)
    connection.sendall(data)
    return connection


def _exit_code(connection: socket.socket) -> int:
    code = connection.recv(16)
    assert code, "the process that forks has ended"
    return int(code)


def forward(path: str, args: list[str]) -> None:
    """Run `padmask ARGS...` with the streams of this process, and exit with its exit code."""
    numbers = [number for number in range(_MOST_PASSED) if _is_open(number)]
    while not _is_open(2):
        # The socket must not get the number of a closed stream.
        os.open(os.devnull, os.O_RDWR)
    connection = _ask(path, args, numbers, cwd=os.getcwd(), numbers=numbers)
    for number in numbers:
        # A pipe ends when no process has it open.
        os.close(number)
    code = _exit_code(connection)
    if code < 0:
        import signal

        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], sys.argv[3:])
    else:
        forward(sys.argv[2], sys.argv[3:])
