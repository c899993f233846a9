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

# A scheduler that does not answer within this is not there.
CONNECT_SECONDS = 10

# Workers may come back, as where a cluster grows and shrinks; for so long they are waited for.
ABSENT_SECONDS = 60.0

_LOST = "The connection to the cluster was lost. Check that its scheduler runs, and run this again."

_ABSENT = "The cluster has lost all its workers. Start some with dask worker ADDRESS, and run this again."


class Cluster(Executor):
    """A Dask cluster, with errors that say what happened."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.workers = sum(client.nthreads().values())
        self._run, self._numbers = uuid4().hex, count()
        # What is under way, by what is told of it: Dask drops a task of which nobody holds a future.
        self._waiting: dict[Future[Any], Any] = {}
        # Tasks whose workers died, perhaps of others: run again one after the other.
        self._suspects: deque[Task] = deque()
        self._lock = Lock()
        self._ended = Event()
        Thread(target=self._watch, name="padmask-cluster", daemon=True).start()

    def submit(self, function: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        """Have the cluster run a function; Dask gives it to another worker where one dies."""
        told: Future[Any] = Future()
        told.set_running_or_notify_cancel()
        self._send(Task(next(self._numbers), (function, args, more), told))
        told.add_done_callback(lambda done: self._waiting.pop(done, None))
        return told

    def _send(self, task: Task) -> None:
        # Not by Dask's own executor: where a result cannot be fetched, that never says so.
        try:
            sent = self._client.submit(begun_on_one_core, self._run, task.number, task.call, pure=False)
        except Exception as error:  # noqa: BLE001 - whatever it is, the one who asked is told
            with suppress(InvalidStateError):
                task.told.set_exception(_sentence_of(error))
            if task.alone:
                self._send_next_suspect(task)
            return
        self._waiting[task.told] = sent
        sent.add_done_callback(partial(self._take, task))

    def _take(self, task: Task, done: Any) -> None:
        """Pass an outcome on, or run the task again where its workers may have died of another one."""
        ran_alone = task.alone > 0
        try:
            self._take_outcome(task, done)
        finally:
            if ran_alone:
                self._send_next_suspect(task)

    def _take_outcome(self, task: Task, done: Any) -> None:
        """Pass an outcome on, with what Dask raises of its own as a sentence."""
        with suppress(InvalidStateError):
            try:
                task.told.set_result(done.result())
            except BaseException as error:  # noqa: BLE001 - asyncio's, of what was cancelled, is no Exception
                if type(error).__name__ == "KilledWorker" and not self._is_to_blame(task, error):
                    self._run_alone(task)
                else:
                    task.told.set_exception(_sentence_of(error))

    def _is_to_blame(self, task: Task, error: Any) -> bool:
        """Tell whether the workers have died of this task: Dask blames all that were given to them."""
        if task.alone == ALONE or task.told.done() or self._ended.is_set():
            return True
        begun: dict[int, set[str]] = {}
        try:
            events = self._client.get_events(BEGUN)
        except Exception:  # noqa: BLE001 - a scheduler that does not answer knows no better
            return True
        for _, (run, number, worker) in events:
            if run == self._run:
                begun.setdefault(number, set()).add(worker)
        own = begun.pop(task.number, set())
        beside = any(own <= workers for workers in begun.values())
        return len(own) > error.allowed_failures and not beside

    def _run_alone(self, task: Task) -> None:
        """Run a task again, when no other one runs again."""
        with self._lock:
            self._suspects.append(task)
            waits = len(self._suspects) > 1
        if not waits:
            task.alone += 1
            self._send(task)

    def _send_next_suspect(self, task: Task) -> None:
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
        return WorkerDiedError(WORKERS_DIED)
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
            from padmask._version import __version__ as there
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
