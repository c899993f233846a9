"""Run a user's Keras model for the checks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from padmask.errors import SpecError
from padmask.verify.keras.backend import Engine
from padmask.verify.keras.compiled_steps import CompiledSteps
from padmask.verify.keras.float64 import Float64Mode
from padmask.verify.keras.load import shorten
from padmask.verify.keras.model_arrays import make_model_arrays
from padmask.verify.keras.model_inputs import (
    find_model_inputs,
    graph_of,
    inputs_of,
    parameters_of,
)
from padmask.verify.keras.model_outputs import outputs_as_arrays
from padmask.verify.keras.other_content import OtherContent
from padmask.verify.proof.deviations import Outputs, are_close, concatenate_outputs
from padmask.verify.proof.sample import ModelBatch, ModelInput
from padmask.verify.proof.subject import CannotRunError
from padmask.verify.proof.tolerance import LIMITS, Array


class UserModel:
    """A user's Keras model, with methods that run the model on batches.

    Args:
        model: built Keras model.
        engine: Keras backend and device.
        batch_size: maximum number of rows per call of the model.
        roles: roles that the user chose, keyed by input name, as in `find_model_inputs`.
    """

    def __init__(
        self, model: Any, engine: Engine, batch_size: int = 32, roles: Mapping[str, str] | None = None
    ) -> None:
        if not model.built:
            raise SpecError("The model is not built. Call the model once on a batch, or add an Input.")
        self.model, self.engine, self.slots = model, engine, find_model_inputs(model, roles)
        self._batch_size = batch_size
        tensors = inputs_of(model)
        # Fixed batch size of a stateful model; None for any batch size.
        self._rows = tensors[0][1][0]
        # The compiled function; None until the model was compiled.
        self.compiled: Callable[..., Any] | None = None
        self._use_graph = engine.backend == "tensorflow"
        # The layers inside TimeDistributed. None if they run without being compiled.
        self._steps = CompiledSteps(model) if self._use_graph else None
        self._has_checked_steps = False
        # Names of outputs without a value for each row. The checks ignore these outputs.
        self.left_out: set[str] = set()
        self.float64 = Float64Mode(model) if engine.backend == "tensorflow" else None
        # How to change the values in the padding. `make_subjects` sets this.
        self.content = OtherContent(None)
        if isinstance(model, keras.Sequential):
            self._release_sizes_of_first_batch()

    def _release_sizes_of_first_batch(self) -> None:
        """Accept any batch size and any length if the model can run on other sizes.

        A Sequential model without an Input reports the shape of its first batch as its input shape, although
        it may accept other sizes.
        """
        [slot] = self.slots
        if slot.kind not in ("tokens", "features") or self._rows is None:
            # The batch size is not fixed, so the shape comes from an Input and not from the first batch.
            return
        original = self.slots, self._rows
        self.slots, self._rows = [replace(slot, shape=(None, *slot.shape[1:]))], None
        inner = tuple(size or 1 for size in slot.inner)
        for places in ((slot.shape[0] or 4) + 1, (slot.shape[0] or 4) + 3):
            try:
                self._run_eagerly([np.ones((3, places, *inner), dtype=slot.dtype)])
            except CannotRunError:
                self.slots, self._rows = original
                return

    @contextmanager
    def restore_afterwards(self) -> Iterator[None]:
        """Suppress warnings inside the context. At the end, restore the states of stateful layers."""
        states = [
            variable
            for layer in self.model._flatten_layers()
            if getattr(layer, "stateful", False)
            for variable in keras.tree.flatten(getattr(layer, "states", None))
            if variable is not None
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            originals = [keras.ops.convert_to_numpy(variable) for variable in states]
            try:
                yield
            finally:
                for variable, value in zip(states, originals, strict=True):
                    variable.assign(value)

    @property
    def is_compiled(self) -> bool:
        """Whether the model runs as a compiled function."""
        return self._use_graph

    def run_eagerly(self) -> None:
        """Run the model eagerly from now on."""
        self._use_graph = False

    @property
    def mask_value(self) -> float | None:
        """The `mask_value` of the first Masking layer; None if the model has no such layer."""
        found = [layer for layer in self.model._flatten_layers() if isinstance(layer, keras.layers.Masking)]
        return float(np.max(found[0].mask_value)) if found else None

    @property
    def dtype(self) -> str:
        """The least precise compute dtype of any layer."""
        used = {layer.compute_dtype for layer in self.model._flatten_layers()}
        for name in ("bfloat16", "float16", "float32"):
            if name in used:
                return name
        return "float64"

    def predict(self, batch: ModelBatch) -> Outputs:
        """Run the model on a batch, compiled if possible.

        Raises:
            CannotRunError: the model cannot run on the batch.
        """
        return self._run_in_pieces(make_model_arrays(self.slots, batch), self._run)

    def predict_arrays(self, arrays: list[Array]) -> Outputs:
        """Run the model on arrays, one for each input, in order.

        Raises:
            CannotRunError: the model cannot run on the arrays.
        """
        return self._run_in_pieces(arrays, self._run)

    def predict_compiled(self, batch: ModelBatch) -> Outputs:
        """Run the compiled model on a batch.

        Raises:
            CannotRunError: the model cannot be compiled, or the compiled model cannot run on the batch.
        """
        return self._run_in_pieces(make_model_arrays(self.slots, batch), self._run_graph)

    def predict_eagerly(self, batch: ModelBatch) -> Outputs:
        """Run the model on a batch eagerly, as `model(x)` does."""
        return self._run_in_pieces(make_model_arrays(self.slots, batch), self._run_eagerly)

    def _run_in_pieces(self, arrays: list[Array], run: Callable[[list[Array]], Outputs]) -> Outputs:
        rows = len(arrays[0])
        size = self._rows or self._batch_size
        parts = []
        for first in range(0, rows, size):
            piece = [array[first : first + size] for array in arrays]
            count = len(piece[0])
            if self._rows:
                # Repeat the last row until the piece has the required batch size.
                piece = [np.concatenate([p, np.repeat(p[-1:], size - count, axis=0)]) for p in piece]
            self._reset_states()
            outputs = self._select_row_outputs(run(piece), len(piece[0]))
            parts.append({name: output[:count] for name, output in outputs.items()})
        return concatenate_outputs(parts)

    def _select_row_outputs(self, outputs: Outputs, rows: int) -> Outputs:
        """Return the outputs that have a value for each row."""
        kept = {name: output for name, output in outputs.items() if output.ndim and len(output) == rows}
        self.left_out |= set(outputs) - set(kept)
        if not kept:
            raise CannotRunError("the model has no output with a value for each row")
        return kept

    def _reset_states(self) -> None:
        for layer in self.model._flatten_layers():
            if getattr(layer, "stateful", False):
                layer.reset_state()

    def _run(self, arrays: list[Array]) -> Outputs:
        if self._use_graph:
            try:
                return self._run_graph(arrays)
            except CannotRunError:
                # A model that cannot be compiled may still run eagerly.
                outputs = self._run_eagerly(arrays)
                self._use_graph = False
                return outputs
        return self._run_with_compiled_steps(arrays) if self._steps else self._run_eagerly(arrays)

    def _run_with_compiled_steps(self, arrays: list[Array]) -> Outputs:
        """Run the model eagerly, but the layers inside TimeDistributed as compiled functions.

        The first call also runs the model without compiled functions. If the outputs differ, or if a layer
        cannot be compiled, this call and all later calls return the outputs without compiled functions.
        """
        assert self._steps is not None
        try:
            with self._steps.active():
                outputs = self._run_eagerly(arrays)
        except CannotRunError:
            return self._run_without_compiled_steps(arrays)
        if not self._has_checked_steps:
            self._has_checked_steps = True
            steps = self._steps
            expected = self._run_without_compiled_steps(arrays)
            if not are_close(expected, outputs, LIMITS[self.dtype] / 10):
                return expected
            self._steps = steps
        return outputs

    def _run_without_compiled_steps(self, arrays: list[Array]) -> Outputs:
        """Run the model eagerly. If the model can run, no later call uses compiled functions."""
        self._reset_states()
        outputs = self._run_eagerly(arrays)
        self._steps = None
        return outputs

    def _run_eagerly(self, arrays: list[Array]) -> Outputs:
        try:
            with self.engine.scope(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return outputs_as_arrays(
                    self.model, self.call([keras.ops.convert_to_tensor(a) for a in arrays])
                )
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a model's own code may raise anything
            raise CannotRunError(f"the model cannot run: {shorten(str(error))}") from None

    def _run_graph(self, arrays: list[Array]) -> Outputs:
        try:
            with self.engine.scope(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if self.compiled is None:
                    self.compiled = self._trace(arrays)
                return outputs_as_arrays(self.model, self.compiled(*arrays))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a model's own code may raise anything
            raise CannotRunError(
                f"the compiled model, which model.predict runs, fails: {shorten(str(error))}"
            ) from None

    def _trace(self, arrays: Sequence[Array]) -> Callable[..., Any]:
        import tensorflow as tf

        signature = [
            tf.TensorSpec([self._rows, *_find_sizes(slot, array)], array.dtype)
            for slot, array in zip(self.slots, arrays, strict=True)
        ]

        @tf.function(input_signature=signature, autograph=False)  # type: ignore[untyped-decorator]
        def graph(*tensors: Any) -> Any:
            return self.call(list(tensors))

        compiled: Callable[..., Any] = graph
        return compiled

    def call(self, tensors: list[Any]) -> Any:
        """Convert a list of tensors to the structure that the model expects, and call the model."""
        graph = graph_of(self.model)
        if getattr(graph, "inputs", None):
            names = [slot.name for slot in self.slots]
            structure = graph._inputs_struct
            given = keras.tree.map_structure(lambda t: tensors[names.index(t.name)], structure)
            return self.model(given, training=False)
        return self._call_subclassed(tensors)

    def _call_subclassed(self, tensors: list[Any]) -> Any:
        named = dict(zip([slot.name for slot in self.slots], tensors, strict=True))
        parameters = parameters_of(self.model)
        if len(named) == 1:
            return self.model(tensors[0], training=False)
        if all(name in parameters for name in named):
            first, *others = named
            return self.model(named[first], training=False, **{name: named[name] for name in others})
        config = self.model.get_build_config() or {}
        is_list = isinstance(config.get("input_shape"), (list, tuple))
        return self.model(tensors if is_list else named, training=False)


def _find_sizes(slot: ModelInput, array: Array) -> list[int | None]:
    """Return the axis sizes of an input for the signature of a compiled function, without the batch axis.

    An axis that may have any size is given as None.
    """
    return [
        None if wanted is None else have for wanted, have in zip(slot.shape, array.shape[1:], strict=False)
    ]
