"""Start Keras on a backend and a device, quietly."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from padmask.errors import MissingExtraError, SpecError
from padmask.spec.verify import BACKENDS


@dataclass(frozen=True)
class Engine:
    """Keras, started.

    Args:
        backend: one of `BACKENDS`.
        device: `"cpu"` or `"gpu"`.
        seen: the accelerators that the backend sees, by name.
    """

    backend: str
    device: str
    seen: tuple[str, ...] = ()

    def scope(self) -> AbstractContextManager[Any]:
        """Return a context in which Keras places what it makes on the device."""
        import keras

        if self.backend == "torch":
            # Keras was told when it started; inside such a scope it cannot build recurrent layers.
            return nullcontext()

        scope: AbstractContextManager[Any] = keras.device(f"{self.device}:0")
        return scope

    @property
    def is_slow_on_new_shapes(self) -> bool:
        """Whether every new shape is compiled anew, which takes as long as many runs."""
        return self.backend == "jax"

    def describe(self) -> dict[str, Any]:
        """Return what a report says of it."""
        return {
            "keras": version("keras"),
            "backend": self.backend,
            "backend_version": _version(self.backend),
            "device": self.device,
            "accelerators": list(self.seen),
        }


def start_backend(backend: str | None = None, device: str = "auto") -> Engine:
    """Import Keras on a backend and find the device, quietly.

    Args:
        backend: one of `BACKENDS`; None takes `KERAS_BACKEND`, else TensorFlow.
        device: `"auto"` takes a GPU where the backend sees one.

    Raises:
        MissingExtraError: Keras or the backend is not installed.
        SpecError: Keras runs on another backend already, or there is no GPU where one was asked for.
    """
    running = sys.modules.get("keras")
    if running is not None:
        chosen = running.backend.backend()
        if backend not in (None, chosen):
            raise SpecError(
                f"Keras already runs on {chosen} here. Start a new process for {backend}.",
                options=["backend"],
            )
    else:
        chosen = backend or os.environ.get("KERAS_BACKEND") or "tensorflow"
        _find(chosen)
        os.environ["KERAS_BACKEND"] = chosen
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        if device == "cpu":
            os.environ["KERAS_TORCH_DEVICE"] = "cpu"
    with _quiet():
        seen = _accelerators(chosen, device)
    if running is None and chosen == "tensorflow":
        # Hints to the programmer, which the user is not.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if device == "gpu" and not seen:
        raise SpecError(
            f"There is no usable GPU: {chosen} {_version(chosen)} sees none{_why_none(chosen)}. "
            "Use --device cpu, or fix the driver or the installation.",
            options=["device", "backend"],
        )
    found = "cpu" if device == "cpu" or not seen else "gpu"
    if found == "cpu" and chosen == "tensorflow":
        # A GPU that is left alone must not be filled by TensorFlow's allocator.
        _hide_gpus()
    return Engine(chosen, found, seen)


def _find(backend: str) -> None:
    if backend not in BACKENDS:
        raise SpecError(f"KERAS_BACKEND is {backend!r}. Choose one of {', '.join(BACKENDS)}.")
    missing = [name for name in ("keras", backend) if find_spec(name) is None]
    if missing:
        if backend == "tensorflow":
            raise MissingExtraError(
                "Proofs on models need TensorFlow, which is not installed. Install it with: "
                "pip install 'padmask[verify]'   (or check the data alone, with --no-model)"
            )
        raise MissingExtraError(
            f"--backend {backend} needs {' and '.join(missing)}, not installed here. Install with: "
            f"pip install keras {backend}",
            options=["backend"],
        )


def _accelerators(backend: str, device: str) -> tuple[str, ...]:
    import keras  # noqa: F401 - imported here, where nothing is heard of it

    if backend == "tensorflow":
        import tensorflow as tf

        return tuple(
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")
        )
    if backend == "torch":
        import torch

        if not torch.cuda.is_available():
            return ()
        return tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    import jax

    return tuple(
        str(found.device_kind) for found in jax.devices() if found.platform in ("gpu", "cuda", "rocm")
    )


def _why_none(backend: str) -> str:
    if backend == "tensorflow":
        import tensorflow as tf

        if not tf.test.is_built_with_cuda():
            return " and was built without CUDA: pip install 'padmask[gpu]' has it"
    return ""


def _hide_gpus() -> None:
    import tensorflow as tf

    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        # TensorFlow runs already, in somebody's own process: the scope alone decides then.
        return


def _version(package: str) -> str:
    for name in (package, f"{package}-cpu", f"{package}-gpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "of unknown version"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what libraries write to stderr on their way up from the user, unless they fail.

    They write past Python, so the file descriptor itself is turned aside.
    """
    if sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as aside:
        kept = os.dup(2)
        try:
            os.dup2(aside.fileno(), 2)
            yield
        except BaseException:
            aside.seek(0)
            os.write(kept, aside.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
