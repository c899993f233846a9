"""Import Keras with a chosen backend and device, and suppress its startup messages."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from padmask.errors import MissingExtraError, SpecError
from padmask.spec.verify import BACKENDS


@dataclass(frozen=True)
class Engine:
    """The backend and device that Keras uses in this process.

    Args:
        backend: `"tensorflow"`, `"torch"` or `"jax"`.
        device: `"cpu"` or `"gpu"`.
        seen: names of the accelerators that the backend finds.
    """

    backend: str
    device: str
    seen: tuple[str, ...] = ()

    def scope(self) -> AbstractContextManager[Any]:
        """Return a context in which Keras creates its tensors on the device."""
        import keras

        if self.backend == "torch":
            # KERAS_TORCH_DEVICE selects the device. Keras cannot build recurrent layers in a device scope.
            return nullcontext()

        scope: AbstractContextManager[Any] = keras.device(f"{self.device}:0")
        return scope

    @property
    def is_slow_on_new_shapes(self) -> bool:
        """Whether the backend compiles the model again for each new shape. Compilation is slow."""
        return self.backend == "jax"

    def describe(self) -> dict[str, Any]:
        """Return the Keras version, the backend and the device, as entries for a report."""
        return {
            "keras": version("keras"),
            "backend": self.backend,
            "backend_version": _find_version(self.backend),
            "device": self.device,
            "accelerators": list(self.seen),
        }


def start_backend(backend: str | None = None, device: str = "auto") -> Engine:
    """Import Keras with a backend and choose the device.

    Args:
        backend: `"tensorflow"`, `"torch"` or `"jax"`. If None, the environment variable `KERAS_BACKEND` is
            used if it is set, otherwise TensorFlow.
        device: `"auto"`, `"cpu"` or `"gpu"`. `"auto"` uses a GPU if the backend finds one.

    Raises:
        MissingExtraError: Keras or the backend is not installed.
        SpecError: Keras already runs on another backend, or `device` is `"gpu"` and there is no usable GPU.
    """
    running = sys.modules.get("keras")
    if running is not None:
        chosen = running.backend.backend()
        if backend not in (None, chosen):
            raise SpecError(
                f"Keras already runs on {chosen} in this process. Start a new process for {backend}.",
                options=["backend"],
            )
    else:
        chosen = check_backend(backend)
        os.environ["KERAS_BACKEND"] = chosen
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        if device == "cpu":
            os.environ["KERAS_TORCH_DEVICE"] = "cpu"
    with _capture_stderr(lambda _: b"", on_error=bytes):
        seen = _find_accelerators(chosen)
    if running is None and chosen == "tensorflow":
        # TensorFlow logs hints that only help its developers.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if device == "gpu" and not seen:
        raise SpecError(
            f"No usable GPU: {chosen} {_find_version(chosen)} finds none{_explain_missing_gpu(chosen)}. "
            "Use --device cpu, or fix the driver or the installation.",
            options=["device", "backend"],
        )
    found = "cpu" if device == "cpu" or not seen else "gpu"
    if found == "cpu" and chosen == "tensorflow":
        # If TensorFlow sees a GPU, it reserves the memory of the GPU, even if the models run on the CPU.
        _hide_gpus()
    return Engine(chosen, found, seen)


# TensorFlow log messages, and the line that follows one of them.
_LOG_LINE = re.compile(
    rb"(?:[IWE]\d{4} \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d \S+: [IWE] (?:external|tensorflow)/"
    rb"|WARNING: All log messages before absl::|To enable the following instructions: ).*"
)


@contextmanager
def hide_framework_logs() -> Iterator[None]:
    """Hide TensorFlow log messages and Keras warnings while user code imports and builds a model.

    Other output to stderr is delayed until the end of the context.
    """
    # Without this level, TensorFlow also logs messages when the model runs.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _capture_stderr(_without_logs, on_error=_without_logs), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"keras\.")
        yield


def _without_logs(output: bytes) -> bytes:
    lines = output.splitlines(keepends=True)
    return b"".join(line for line in lines if not _LOG_LINE.match(line))


def check_backend(backend: str | None = None) -> str:
    """Return the name of the backend that `start_backend` would use, without importing Keras.

    Raises:
        SpecError: `KERAS_BACKEND` is not a backend.
        MissingExtraError: Keras or the backend is not installed.
    """
    backend = backend or os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in BACKENDS:
        raise SpecError(f"KERAS_BACKEND is {backend!r}. Set it to one of {', '.join(BACKENDS)}.")
    missing = [name for name in ("keras", backend) if find_spec(name) is None]
    if missing:
        if backend == "tensorflow":
            raise MissingExtraError(
                "Verifying models requires TensorFlow, which is not installed. Install it with: "
                "pip install 'padmask[verify]'   (or use --no-model to check only the data)"
            )
        raise MissingExtraError(
            f"--backend {backend} requires packages that are not installed: {', '.join(missing)}. Install "
            f"with: pip install keras {backend}",
            options=["backend"],
        )
    return backend


def _find_accelerators(backend: str) -> tuple[str, ...]:
    import keras  # noqa: F401 - prints messages when imported, which the caller suppresses

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


def _explain_missing_gpu(backend: str) -> str:
    if backend == "tensorflow":
        import tensorflow as tf

        if not tf.test.is_built_with_cuda():
            return " and was built without CUDA (install a build with CUDA: pip install 'padmask[gpu]')"
    return ""


def _hide_gpus() -> None:
    import tensorflow as tf

    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        # TensorFlow has already initialized its devices. Engine.scope still selects the CPU.
        return


def _find_version(package: str) -> str:
    for name in (package, f"{package}-cpu", f"{package}-gpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "of unknown version"


@contextmanager
def _capture_stderr(keep: Callable[[bytes], bytes], *, on_error: Callable[[bytes], bytes]) -> Iterator[None]:
    """Capture output to stderr inside the context. At the end, print the output that `keep` returns.

    Native libraries write to the file descriptor directly, so replacing `sys.stderr` is not enough.

    Args:
        keep: function that receives the captured output and returns the output to print.
        on_error: used instead of `keep` if the context raises an exception.
    """
    if sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as captured:
        stderr = os.dup(2)
        try:
            os.dup2(captured.fileno(), 2)
            yield
        except BaseException:
            keep = on_error
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            captured.seek(0)
            os.write(stderr, keep(captured.read()))
            os.close(stderr)
