"""Run a user's Keras model for the checks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from padmask.core.dialects import usual_dialect
from padmask.errors import SpecError
from padmask.verify.keras.backend import Engine
from padmask.verify.keras.float64 import Float64Mode
from padmask.verify.keras.load import shorten
from padmask.verify.keras.model_inputs import (
    find_model_inputs,
    graph_of,
    inputs_of,
    parameters_of,
)
from padmask.verify.keras.other_content import OtherContent, find_other_content
from padmask.verify.proof.checks import CannotRunError, Subject
from padmask.verify.proof.deviations import Outputs, concatenate_outputs
from padmask.verify.proof.sample import ModelBatch, ModelInput, Sample
from padmask.verify.proof.tolerance import LIMITS, PRECISE, Array, Check, ComparedDeviation


class UserModel:
    """A user's Keras model, with methods that run the model on batches.

    Args:
        model: built Keras model.
        engine: Keras backend and device.
        batch_size: maximum number of rows per call of the model.
        roles: role of the inputs that expect the mask or the lengths, as in `find_model_inputs`.
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
        self._graph_call: Callable[..., Any] | None = None
        self._use_graph = engine.backend == "tensorflow"
        # Names of outputs without a value for each row. The checks ignore these outputs.
        self.left_out: set[str] = set()
        self.float64 = Float64Mode(model) if engine.backend == "tensorflow" else None
        # How to change the content of the padding. `subject` finds this.
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

    def feed(self, batch: ModelBatch) -> list[Array]:
        """Convert a batch to a list of arrays, one for each input of the model, in order."""
        arrays = []
        for slot in self.slots:
            if slot.kind == "mask":
                mask = batch[slot.mask_of or ""].mask
                if usual_dialect(slot.name).polarity == "padding":
                    mask = ~mask
                masked = next(other for other in self.slots if other.name == slot.mask_of)
                arrays.append(_reshape_mask(mask, slot, masked).astype(slot.dtype))
                continue
            if slot.kind == "positions":
                real = batch[slot.mask_of or ""].mask
                arrays.append(np.where(real, np.cumsum(real, axis=1) - 1, 0).astype(slot.dtype))
                continue
            if slot.kind == "lengths":
                lengths = batch[slot.mask_of or ""].lengths
                arrays.append(lengths.reshape(len(lengths), *slot.shape).astype(slot.dtype))
                continue
            values = batch[slot.name].values
            if slot.kind == "static":
                values = values.reshape(len(values), *values.shape[2:])
            elif slot.time_axis:
                values = np.moveaxis(values, 1, slot.time_axis + 1)
            arrays.append(values.astype(slot.dtype))
        return arrays

    def predict(self, batch: ModelBatch) -> Outputs:
        """Run the model on a batch, compiled if possible.

        Raises:
            CannotRunError: the model cannot run on the batch.
        """
        return self._run_in_pieces(self.feed(batch), self._run)

    def predict_arrays(self, arrays: list[Array]) -> Outputs:
        """Run the model on arrays, one for each input, in order.

        Raises:
            CannotRunError: the model cannot run on the arrays.
        """
        return self._run_in_pieces(arrays, self._run)

    def predict_eagerly(self, batch: ModelBatch) -> Outputs:
        """Run the model on a batch eagerly, as `model(x)` does."""
        return self._run_in_pieces(self.feed(batch), self._run_eagerly)

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
        return self._run_eagerly(arrays)

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
                if self._graph_call is None:
                    self._graph_call = self._trace(arrays)
                return outputs_as_arrays(self.model, self._graph_call(*arrays))
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

    def check_shapes(self, sample: Sample) -> tuple[Check, str | None]:
        """Check that the compiled model returns outputs of the same shapes as the eager model.

        `model.predict` runs the compiled model, and `model(x)` runs the eager model. If the shapes differ,
        later calls of this object run eagerly.

        Returns:
            The result of the check, and the path of the layer that causes a wrong shape (None if unknown).
        """
        name = "output-shape"
        if not self._use_graph:
            return Check.skipped(name, f"padmask does not compile models on {self.engine.backend}"), None
        few = sample.select(np.arange(min(3, len(sample))))
        wrong, compiles = "", True
        # The last batch has fewer steps than rows, to detect a layer that confuses rows and steps.
        for batch in (few.padded(), few.padded(2), sample.cut(2).padded()):
            try:
                eager = self.predict_eagerly(batch)
            except CannotRunError:
                continue
            wrong, compiles = self._compare_graph(batch, eager)
            if wrong:
                break
        if not wrong:
            return Check.of(name, {"shape": ComparedDeviation(0.0, 0.0)}), None
        self._use_graph = False
        loops = [
            layer for layer in self.model._flatten_layers() if isinstance(layer, keras.layers.TimeDistributed)
        ]
        if not loops and not compiles:
            return Check.skipped(
                name, "the model cannot be compiled, so the checks ran the model eagerly, as model(x) does"
            ), None
        culprit = find_layer_path(self.model, loops[0]) if loops else None
        return Check.of(name, {"shape": ComparedDeviation(float("inf"), 0.0, wrong)}), culprit

    def _compare_graph(self, batch: ModelBatch, eager: Outputs) -> tuple[str, bool]:
        """Compare the output shapes of a compiled run with those of an eager run.

        Returns:
            A description of the difference (empty if the shapes agree), and whether the compiled model runs.
        """
        try:
            graph = self._run_in_pieces(self.feed(batch), self._run_graph)
        except CannotRunError as error:
            return str(error), False
        for name, output in eager.items():
            if name not in graph or graph[name].shape != output.shape:
                shape = graph[name].shape if name in graph else "none"
                return (
                    f"{name} has shape {shape} in the compiled model, which model.predict runs, but "
                    f"{output.shape} in the eager model",
                    True,
                )
        return "", True

    def subject(self, name: str, sample: Sample, value: Any) -> tuple[Subject, Subject]:
        """Return the model and its control model in the form that the checks require.

        The control model is the same model, but receives random tokens as padding and a mask that is all
        True.

        Args:
            name: name of the model in the report.
            sample: rows to verify, and source of the random tokens.
            value: pad value.
        """

        content = self.content = find_other_content(self.slots, self.predict_eagerly, sample, value)

        def precise() -> Subject | None:
            if not self.can_run_in_float64(sample):
                return None
            float64_model = _Float64Model(self)
            dtype = float64_model.find_dtype(sample)
            if LIMITS[dtype] >= LIMITS[self.dtype]:
                return None

            def predict_other_content(batch: ModelBatch, *seed: int) -> Outputs:
                with float64_model.active():
                    assert content.change is not None
                    return content.change(self.predict)(batch, *seed)

            other = predict_other_content if content.change is not None else None
            return Subject(name, float64_model.predict, dtype, other=other, explicit_mask=content.explicit)

        subject = Subject(
            name,
            self.predict,
            self.dtype,
            other=None if content.change is None else content.change(self.predict),
            explicit_mask=content.explicit,
            jittered=self._predict_jittered,
            precise=precise,
            reason=content.reason,
        )
        control = Subject(
            name,
            lambda batch: self.predict(sample.unmasked(batch, 21)),
            self.dtype,
            other=lambda batch: self.predict(sample.unmasked(batch, 22)),
        )
        return subject, control

    def can_run_in_float64(self, sample: Sample) -> bool:
        """Return whether the model has a lower precision than float64 and can run in float64."""
        one = sample.select([0])
        return (
            self.float64 is not None
            and self.dtype != "float64"
            and self.float64.is_possible(lambda: self.predict_eagerly(one.padded()))
        )

    def _predict_jittered(self, batch: ModelBatch) -> Outputs:
        """Run the model after changing every weight to the next larger or smaller float."""
        random = np.random.default_rng(3)
        floats = [v for v in self.model.variables if v.dtype in ("float32", "float64")]
        originals = [keras.ops.convert_to_numpy(variable) for variable in floats]
        try:
            for variable, old in zip(floats, originals, strict=True):
                step = 2.0 ** (-23 if variable.dtype == "float32" else -52)
                variable.assign(old * (1 + step * random.choice([-1.0, 1.0], old.shape)))
            return self.predict(batch)
        finally:
            for variable, old in zip(floats, originals, strict=True):
                variable.assign(old)


def _find_sizes(slot: ModelInput, array: Array) -> list[int | None]:
    """Return the axis sizes for the signature of a compiled function. An axis of any size is None."""
    return [
        None if wanted is None else have for wanted, have in zip(slot.shape, array.shape[1:], strict=False)
    ]


def _reshape_mask(mask: Array, slot: ModelInput, masked: ModelInput) -> Array:
    """Reshape a mask for its model input, to (rows, time, 1), (rows, 1, time) or (rows, time, time).

    If the time axis of the masked input is not its first axis, the mask gets the shape of this input.
    """
    rank = len(slot.shape)
    if masked.time_axis and rank == len(masked.shape):
        lifted = mask.reshape(len(mask), *[1] * masked.time_axis, mask.shape[1])
        return np.broadcast_to(lifted, (len(mask), *[size or 1 for size in slot.shape[:-1]], mask.shape[1]))
    if rank <= 1:
        return mask
    if slot.shape[-1] == 1:
        return mask.reshape(*mask.shape, *[1] * (rank - 1))
    lifted = mask.reshape(len(mask), *[1] * (rank - 1), mask.shape[1])
    if rank == 2 and slot.shape[0] != 1:
        return lifted & mask[:, :, None]
    return lifted


def outputs_as_arrays(model: Any, outputs: Any) -> dict[str, Array]:
    """Return the outputs of a model as NumPy arrays, keyed by name."""
    flat = keras.tree.flatten_with_path(outputs)
    known = getattr(model, "output_names", None) or []
    named = {}
    for place, (path, output) in enumerate(flat):
        keys = [str(key) for key in path if isinstance(key, str)]
        if keys:
            name = "/".join(keys)
        elif len(known) == len(flat):
            name = str(known[place])
        else:
            name = "output" if len(flat) == 1 else f"output_{place}"
        if name in named:
            name = f"{name}_{place}"
        named[name] = np.asarray(keras.ops.convert_to_numpy(_cast_bfloat16(output)))
    return named


def _cast_bfloat16(output: Any) -> Any:
    """Cast bfloat16 to float32, because NumPy has no bfloat16."""
    if "bfloat16" in str(getattr(output, "dtype", "")):
        return keras.ops.cast(output, "float32")
    return output


def find_layer_path(model: Any, wanted: Any) -> str:
    """Return the path of a layer in a model, such as `encoder/lstm`, without the name of the model."""

    def search(owner: Any, parents: tuple[str, ...]) -> tuple[str, ...] | None:
        for layer in getattr(owner, "layers", None) or owner._layers:
            if layer is wanted:
                return (*parents, layer.name)
            found = search(layer, (*parents, layer.name))
            if found:
                return found
        return None

    return "/".join(search(model, ()) or (wanted.name,))


class _Float64Model:
    """A user's model that runs in float64, with a separate compiled function."""

    def __init__(self, user: UserModel) -> None:
        self._user = user
        self._graph_call: Callable[..., Any] | None = None

    def predict(self, batch: ModelBatch) -> Outputs:
        with self.active():
            return self._user.predict(batch)

    def find_dtype(self, sample: Sample) -> str:
        """Return the key in `LIMITS` of the lowest precision that the model uses in float64 mode.

        Only the graph of a compiled model shows its casts. Other models may cast to float32.
        """
        self.predict(sample.select([0]).padded())
        float64 = self._user.float64
        assert float64 is not None
        if self._graph_call is None or float64.casts_down(self._graph_call):
            return "float32"
        return PRECISE

    @contextmanager
    def active(self) -> Iterator[None]:
        """Switch the model to float64 inside the context."""
        user = self._user
        assert user.float64 is not None
        original = user._graph_call
        user._graph_call = self._graph_call
        try:
            with user.float64:
                yield
        finally:
            self._graph_call, user._graph_call = user._graph_call, original


@contextmanager
def in_float64(user: UserModel, sample: Sample) -> Iterator[bool]:
    """If the model supports float64, switch the model to float64 inside the context.

    Yields:
        Whether the model computes in float64.
    """
    if user.float64 is None or not user.can_run_in_float64(sample):
        yield user.dtype == "float64"
        return
    with user.float64:
        yield True
