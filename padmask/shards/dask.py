"""A Dask cluster as a `concurrent.futures` executor."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import count
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any
from uuid import uuid4

from padmask._version import __version__
from padmask.errors import MissingExtraError, PadmaskError, SpecError, WorkerDiedError
from padmask.shards.processes import ALONE, BEGUN, WORKERS_DIED, Task, begun_on_one_core
from padmask.storage.system import cores

LOCAL = "local"

# Number of seconds to wait for an answer of the scheduler.
CONNECT_SECONDS = 10

# Number of seconds to wait for new workers after all workers are lost, as in a cluster that scales down.
NO_WORKERS_SECONDS = 60.0

_LOST = "The connection to the cluster was lost. Check that the scheduler is running, and run padmask again."

_NO_WORKERS = (
    "The cluster has no workers left. Start workers with dask worker ADDRESS, and run padmask again."
)


class Cluster(Executor):
    """An executor on a Dask cluster."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.workers = sum(client.nthreads().values())
        self._run, self._numbers = uuid4().hex, count()
        # The Dask future of each unfinished task, keyed by the caller's future. Without a reference to the
        # Dask future, Dask would cancel the task.
        self._waiting: dict[Future[Any], Any] = {}
        # Tasks whose workers died, maybe because of other tasks. They run again, one at a time.
        self._suspects: deque[Task] = deque()
        self._lock = Lock()
        self._ended = Event()
        Thread(target=self._watch, name="padmask-cluster", daemon=True).start()

    def submit(self, function: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        """Run a function on the cluster. If a worker dies, Dask moves its tasks to other workers."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        self._send(Task(next(self._numbers), (function, args, more), future))
        future.add_done_callback(lambda done: self._waiting.pop(done, None))
        return future

    def _send(self, task: Task) -> None:
        # Dask's own executor is not used, because its future never ends if a result cannot be fetched.
        try:
            sent = self._client.submit(begun_on_one_core, self._run, task.number, task.call, pure=False)
        except Exception as error:  # noqa: BLE001 - set on the future of the caller
            with suppress(InvalidStateError):
                task.future.set_exception(_as_padmask_error(error))
            if task.alone:
                self._send_next_suspect(task)
            return
        self._waiting[task.future] = sent
        sent.add_done_callback(partial(self._handle_outcome, task))

    def _handle_outcome(self, task: Task, done: Any) -> None:
        """Call `_set_outcome`. If the task ran alone, then send the next task that must run alone."""
        ran_alone = task.alone > 0
        try:
            self._set_outcome(task, done)
        finally:
            if ran_alone:
                self._send_next_suspect(task)

    def _set_outcome(self, task: Task, done: Any) -> None:
        """If another task killed the worker, run this task again. Otherwise, set the caller's future.

        The future gets the result or the exception. Dask errors are converted to padmask errors.
        """
        with suppress(InvalidStateError):
            try:
                task.future.set_result(done.result())
            except BaseException as error:  # noqa: BLE001 - asyncio.CancelledError is not an Exception
                if type(error).__name__ == "KilledWorker" and not self._killed_workers(task, error):
                    self._run_alone(task)
                else:
                    task.future.set_exception(_as_padmask_error(error))

    def _killed_workers(self, task: Task, error: Any) -> bool:
        """Return whether this task, and not another task on the same workers, killed its workers."""
        if task.alone == ALONE or task.future.done() or self._ended.is_set():
            return True
        begun: dict[int, set[str]] = {}
        try:
            events = self._client.get_events(BEGUN)
        except Exception:  # noqa: BLE001 - without events, trust Dask
            return True
        for _, (run, number, worker) in events:
            if run == self._run:
                begun.setdefault(number, set()).add(worker)
        own = begun.pop(task.number, set())
        shared = any(own <= workers for workers in begun.values())
        return len(own) > error.allowed_failures and not shared

    def _run_alone(self, task: Task) -> None:
        """Run a task again. Tasks that may kill a worker run one after another."""
        with self._lock:
            self._suspects.append(task)
            waits = len(self._suspects) > 1
        if not waits:
            task.alone += 1
            self._send(task)

    def _send_next_suspect(self, task: Task) -> None:
        """Remove a finished task from the queue of tasks that may kill workers, and rerun the next task."""
        with self._lock:
            self._suspects.remove(task)
            following = self._suspects[0] if self._suspects else None
        if following is not None:
            following.alone += 1
            self._send(following)

    def _watch(self) -> None:
        """Fail all tasks if the cluster has no workers for some time. Dask itself waits forever."""
        last_seen = monotonic()
        while not self._ended.wait(NO_WORKERS_SECONDS / 10):
            try:
                found = bool(self._client.nthreads())
            except Exception:  # noqa: BLE001 - the tasks report a lost scheduler
                continue
            last_seen = monotonic() if found else last_seen
            if monotonic() - last_seen > NO_WORKERS_SECONDS:
                for future in list(self._waiting):
                    with suppress(InvalidStateError):
                        future.set_exception(PadmaskError(_NO_WORKERS))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Cancel all unfinished tasks."""
        self._ended.set()
        with suppress(Exception):
            self._client.cancel(list(self._waiting.values()))


def _as_padmask_error(error: BaseException) -> BaseException:
    if type(error).__name__ == "KilledWorker":
        return WorkerDiedError(WORKERS_DIED)
    ours = isinstance(error, Exception) and not type(error).__module__.startswith("distributed.")
    return error if ours else PadmaskError(_LOST)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the Dask loggers, because Dask also raises the logged errors as exceptions."""
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
    """Connect to a Dask cluster, and return an executor that runs tasks on the cluster.

    Args:
        address: address of the scheduler, such as `tcp://scheduler:8786`. `local` starts a cluster that is
            reachable only from this machine.
        workers: number of workers of a local cluster. If None, the number of cores.

    Raises:
        MissingExtraError: Dask is not installed.
        SpecError: no scheduler answers, the cluster has no workers, or a worker has another padmask version.
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
            # Without an address, the dashboard would listen on all interfaces.
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
            # Dask raises TypeError for a TLS address without certificates.
            raise SpecError(
                f"Dask has no TLS certificates for {address!r}. Set them in the Dask configuration, for "
                "example "
                "with DASK_DISTRIBUTED__COMM__TLS__CA_FILE, DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and "
                "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY."
            ) from None
        except (OSError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            # The text before an @ and after a ? may be secret.
            plain = re.sub(r"^(\w+://)?.*@|[?#].*", r"\1", address, flags=re.DOTALL)
            if plain != address:
                address, reason = plain, "this is not a Dask address"
            raise SpecError(
                f"No Dask scheduler answers at {address!r}: {reason}. Check that the scheduler "
                "is running, and that the address is correct, such as tcp://scheduler:8786."
            ) from None
        _refuse_other_versions(client)
        yield stack.enter_context(Cluster(client))


def _refuse_other_versions(client: Any) -> None:
    def version() -> str:
        try:
            from padmask._version import __version__ as there
        except ImportError:
            return "none"
        return there

    found: dict[str, str] = client.run(version)
    if not found:
        raise SpecError("The cluster has no workers. Start workers with dask worker ADDRESS.")
    for worker, there in found.items():
        if there != __version__:
            raise SpecError(
                f"Worker {worker} has padmask {there}, but this process has {__version__}, so the output may "
                "differ. Install the same version on all machines."
            )
