"""Who works on shards: processes of this machine, or a Dask cluster, as `concurrent.futures` executors.

Knows nothing of shards or padding: a task is a function and its arguments.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, InvalidStateError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from multiprocessing import Pipe, spawn
from multiprocessing.connection import Connection
from threading import Event, Lock, Thread, local
from time import monotonic
from typing import Any
from uuid import uuid4

from padmask import __version__
from padmask.errors import MissingExtraError, PadmaskError, SpecError, WorkerDiedError
from padmask.machine import cores, die_with
from padmask.spec import at_least

# Workers that may die of one task before it is to blame.
TRIES = 3
LOCAL = "local"
# A scheduler that does not answer within this is not there.
CONNECT_SECONDS = 10
# Workers may come back, as where a cluster grows and shrinks; for so long they are waited for.
ABSENT_SECONDS = 60.0
# Times that a task is run again, as the only such task, before it is to blame for workers that died.
ALONE = 2
# Where Dask's scheduler keeps which worker has begun which task.
_BEGUN = "padmask-begun"
_DIED = (
    "every worker that tried it has died, of its size or of a corrupt file. Check that another tool can read "
    "it, or choose a smaller --maxlen."
)
_NOT_STARTED = (
    "Worker processes end before they begin. In a script, call this below if __name__ == '__main__'; else "
    "make sure that there is memory for them, or ask for fewer."
)
_LOST = "The connection to the cluster was lost. Check that its scheduler runs, and run this again."
_ABSENT = "The cluster has lost all its workers. Start some with dask worker ADDRESS, and run this again."
# What a worker runs. Python starts with a safe path, so that nothing is imported from the current
# folder, and then takes over the path and the main module of the process that asked. Whoever
# started it without a guard is refused as multiprocessing refuses it.
_START = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from multiprocessing import current_process, spawn
from multiprocessing.connection import Connection
pipe, parent = Connection(int(sys.argv[1])), int(sys.argv[2])
current_process()._inheriting = True
spawn.prepare(pipe.recv())
del current_process()._inheriting
from padmask.jobs.executors import serve_tasks
serve_tasks(pipe, parent)
"""

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class _DiedError(Exception):
    """A worker's process has ended.

    Args:
        begun: whether it had begun to work.
    """

    def __init__(self, begun: bool) -> None:
        super().__init__(begun)
        self.begun = begun


class Processes(Executor):
    """Worker processes, each of which has one task at a time: one that dies takes no other's along.

    >>> with Processes(1) as workers:
    ...     workers.submit(abs, -3).result()
    3

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self.workers = at_least(1)("workers", workers)
        self._threads = ThreadPoolExecutor(self.workers, "padmask-worker")
        self._own = local()
        self._lock = Lock()
        self._all: list[_Worker] = []
        self._stopped = False

    def submit(self, function: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        """Have a worker run a function, in up to `TRIES` processes where it brings them down."""
        return self._threads.submit(self._run, function, args, more)

    def _run(self, function: Callable[..., Any], args: Any, more: Any) -> Any:
        begun = False
        for _ in range(TRIES):
            worker = self._worker()
            try:
                return worker.run(function, args, more)
            except _DiedError as died:
                begun = begun or died.begun
                worker.kill()
                self._own.worker = None
        raise WorkerDiedError(_DIED) if begun else PadmaskError(_NOT_STARTED)

    def _worker(self) -> _Worker:
        """Return this thread's own worker."""
        if getattr(self._own, "worker", None) is None:
            with self._lock:
                if self._stopped:
                    raise PadmaskError("The run was ended.")
                self._own.worker = _Worker()
                self._all.append(self._own.worker)
        worker: _Worker = self._own.worker
        return worker

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """End the workers, whatever they are at: what they have not finished was never there."""
        self._threads.shutdown(wait=False, cancel_futures=cancel_futures)
        with self._lock:
            self._stopped = True
            for worker in self._all:
                worker.kill()
        self._threads.shutdown(wait=wait)


class _Worker:
    """A process, and the pipe that its tasks and their results go through."""

    def __init__(self) -> None:
        told = _told_to_worker()
        self._pipe, theirs = Pipe()
        # Not forked: threads of this process may hold locks that nobody would give back. Not by
        # multiprocessing: its children look for modules in the current folder first.
        with theirs:
            self._process = subprocess.Popen(
                _command(theirs.fileno()), stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        self._begun = False
        # One that is dead already is found out when it gets its first task.
        with suppress(OSError):
            self._pipe.send(told)

    def run(self, function: Callable[..., Any], args: Any, more: Any) -> Any:
        task = pickle.dumps((function, args, more))
        try:
            self._begun = self._begun or bool(self._pipe.recv_bytes())
            self._pipe.send_bytes(task)
            answer = self._pipe.recv_bytes()
        except (EOFError, OSError):
            raise _DiedError(self._begun) from None
        # Not in there: what a task raises may be an OSError too.
        done, result = pickle.loads(answer)
        if not done:
            raise result
        return result

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def _command(descriptor: int) -> list[str]:
    """Return the command that starts a worker, with the options that this Python was started with."""
    options: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [
        os.fsdecode(spawn.get_executable()),
        *options,
        "-P",
        "-c",
        _START,
        str(descriptor),
        str(os.getpid()),
    ]


def _told_to_worker() -> dict[str, Any]:
    """Return what a worker needs to import what this process can import, its main module included."""
    told = spawn.get_preparation_data("padmask-worker")
    # A plain copy: multiprocessing lets only processes of its own have the original.
    return told | {"authkey": bytes(told["authkey"])}


def serve_tasks(pipe: Connection, parent: int) -> None:
    """Run tasks until the pipe brings no more."""
    # The result of an orphan would reach no process.
    die_with(parent)
    _keep_to_one_core()
    with suppress(EOFError, OSError):
        pipe.send_bytes(b"begun")
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes()))


def _answer(task: bytes) -> bytes:
    """Run a task and return whether it was done, and its result or what it raised."""
    try:
        function, args, more = pickle.loads(task)
        return pickle.dumps((True, function(*args, **more)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the one who asked is told
        return pickle.dumps((False, _portable(error)))


def _portable(error: Exception) -> Exception:
    """Return an error as it will arrive elsewhere; what it says, where it would not."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - errors may be made of anything
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _keep_to_one_core() -> None:
    """Keep Arrow to a thread: other workers have the other cores."""
    import pyarrow as pa

    pa.set_cpu_count(1)


def _begun_on_one_core(run: str, number: int, call: Call) -> Any:
    """Run a task of a run, once the scheduler knows which worker has begun it."""
    from distributed import get_worker
    from distributed.utils import sync

    _keep_to_one_core()
    worker = get_worker()
    with suppress(Exception):
        sync(worker.loop, worker.scheduler.log_event, topic=_BEGUN, msg=(run, number, worker.id))
    function, args, more = call
    return function(*args, **more)


@dataclass(eq=False)
class _Task:
    """What a cluster was asked to run.

    Args:
        number: in the run.
        call: the function and its arguments.
        told: the future of whoever asked.
        alone: how often the task was run again after its workers had died, as the only such task.
    """

    number: int
    call: Call
    told: Future[Any]
    alone: int = 0


class Cluster(Executor):
    """A Dask cluster, with errors that say what happened."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.workers = sum(client.nthreads().values())
        self._run, self._numbers = uuid4().hex, count()
        # What is under way, by what is told of it: Dask drops a task of which nobody holds a future.
        self._waiting: dict[Future[Any], Any] = {}
        # Tasks whose workers died, perhaps of others: run again one after the other.
        self._suspects: deque[_Task] = deque()
        self._lock = Lock()
        self._ended = Event()
        Thread(target=self._watch, name="padmask-cluster", daemon=True).start()

    def submit(self, function: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        """Have the cluster run a function; Dask gives it to another worker where one dies."""
        told: Future[Any] = Future()
        told.set_running_or_notify_cancel()
        self._send(_Task(next(self._numbers), (function, args, more), told))
        told.add_done_callback(lambda done: self._waiting.pop(done, None))
        return told

    def _send(self, task: _Task) -> None:
        # Not by Dask's own executor: where a result cannot be fetched, that never says so.
        try:
            sent = self._client.submit(_begun_on_one_core, self._run, task.number, task.call, pure=False)
        except Exception as error:  # noqa: BLE001 - whatever it is, the one who asked is told
            with suppress(InvalidStateError):
                task.told.set_exception(_sentence_of(error))
            if task.alone:
                self._send_next_suspect(task)
            return
        self._waiting[task.told] = sent
        sent.add_done_callback(partial(self._take, task))

    def _take(self, task: _Task, done: Any) -> None:
        """Pass an outcome on, or run the task again where its workers may have died of another one."""
        ran_alone = task.alone > 0
        try:
            self._take_outcome(task, done)
        finally:
            if ran_alone:
                self._send_next_suspect(task)

    def _take_outcome(self, task: _Task, done: Any) -> None:
        """Pass an outcome on, with what Dask raises of its own as a sentence."""
        with suppress(InvalidStateError):
            try:
                task.told.set_result(done.result())
            except BaseException as error:  # noqa: BLE001 - asyncio's, of what was cancelled, is no Exception
                if type(error).__name__ == "KilledWorker" and not self._is_to_blame(task, error):
                    self._run_alone(task)
                else:
                    task.told.set_exception(_sentence_of(error))

    def _is_to_blame(self, task: _Task, error: Any) -> bool:
        """Tell whether the workers have died of this task: Dask blames all that were given to them."""
        if task.alone == ALONE or task.told.done() or self._ended.is_set():
            return True
        begun: dict[int, set[str]] = {}
        try:
            events = self._client.get_events(_BEGUN)
        except Exception:  # noqa: BLE001 - a scheduler that does not answer knows no better
            return True
        for _, (run, number, worker) in events:
            if run == self._run:
                begun.setdefault(number, set()).add(worker)
        own = begun.pop(task.number, set())
        beside = any(own <= workers for workers in begun.values())
        return len(own) > error.allowed_failures and not beside

    def _run_alone(self, task: _Task) -> None:
        """Run a task again, when no other one runs again."""
        with self._lock:
            self._suspects.append(task)
            waits = len(self._suspects) > 1
        if not waits:
            task.alone += 1
            self._send(task)

    def _send_next_suspect(self, task: _Task) -> None:
        """Run the next task again, now that one has ended."""
        with self._lock:
            self._suspects.remove(task)
            following = self._suspects[0] if self._suspects else None
        if following is not None:
            following.alone += 1
            self._send(following)

    def _watch(self) -> None:
        """Give up where all workers have gone and none comes: Dask would wait for ever."""
        seen = monotonic()
        while not self._ended.wait(ABSENT_SECONDS / 10):
            try:
                found = bool(self._client.nthreads())
            except Exception:  # noqa: BLE001 - of a lost scheduler the tasks tell
                continue
            seen = monotonic() if found else seen
            if monotonic() - seen > ABSENT_SECONDS:
                for told in list(self._waiting):
                    with suppress(InvalidStateError):
                        told.set_exception(PadmaskError(_ABSENT))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Let go of what is not done yet."""
        self._ended.set()
        with suppress(Exception):
            self._client.cancel(list(self._waiting.values()))


def _sentence_of(error: BaseException) -> BaseException:
    if type(error).__name__ == "KilledWorker":
        return WorkerDiedError(_DIED)
    ours = isinstance(error, Exception) and not type(error).__module__.startswith("distributed.")
    return error if ours else PadmaskError(_LOST)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Dask logs to itself: what matters of it is raised."""
    known = logging.root.manager.loggerDict
    names = ["asyncio", *(name for name in known if name.startswith(("distributed", "tornado")))]
    levels = {logger: logger.level for logger in map(logging.getLogger, names) if logger.level}
    for logger in levels:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


@contextmanager
def open_cluster(address: str, workers: int | None = None) -> Iterator[Executor]:
    """Give a Dask cluster as an executor.

    Args:
        address: of its scheduler, such as `tcp://scheduler:8786`; `local` starts one on this machine,
            which listens to this machine alone.
        workers: of the one that is started; None is one a core.

    Raises:
        MissingExtraError: Dask is not installed.
        SpecError: no scheduler answers, it has no workers, or theirs is another padmask.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise MissingExtraError(
            "--cluster needs Dask. Install it with: pip install 'padmask[dask]'"
        ) from None
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        scheduler: Any = address
        if address == LOCAL:
            # An address for the dashboard too: None, or none at all, would open a port to everybody.
            scheduler = stack.enter_context(
                LocalCluster(
                    n_workers=workers or cores(),
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    silence_logs=50,
                )
            )
        try:
            client = stack.enter_context(Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False))
        except TypeError:
            # What Dask raises where it is asked for TLS and knows no certificates.
            raise SpecError(
                f"Dask knows no certificates for {address!r}. Name them in its configuration, as in "
                "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, __CLIENT__CERT and __CLIENT__KEY."
            ) from None
        except (OSError, ValueError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            # What stands before an @, or behind a ?, may be a secret, though Dask knows of none.
            plain = re.sub(r"^(\w+://)?.*@|[?#].*", r"\1", address, flags=re.DOTALL)
            if plain != address:
                address, said = plain, "it is no address of Dask's"
            raise SpecError(
                f"No Dask scheduler answers at {address!r}: {said}. Check the address, such as "
                "tcp://scheduler:8786, and that it runs."
            ) from None
        _refuse_other_versions(client)
        yield stack.enter_context(Cluster(client))


def _refuse_other_versions(client: Any) -> None:
    def version() -> str:
        try:
            from padmask import __version__ as there
        except ImportError:
            return "none"
        return there

    found: dict[str, str] = client.run(version)
    if not found:
        raise SpecError("The cluster has no workers. Start some with dask worker ADDRESS.")
    for worker, there in found.items():
        if there != __version__:
            raise SpecError(
                f"The worker {worker} has padmask {there}, and this is {__version__}: what they write may "
                "differ. Install the same version everywhere."
            )
