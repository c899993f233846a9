"""A user's Keras model as the subject of a proof: its inputs, outputs and precision."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from padmask.errors import SpecError
from padmask.verify.keras.backend import Engine
from padmask.verify.keras.float64 import Wide
from padmask.verify.keras.load import shorten
from padmask.verify.keras.model_inputs import (
    find_model_inputs,
    graph_of,
    inputs_of,
    is_embedding,
    parameters_of,
)
from padmask.verify.proof.checks import CannotRunError, Subject
from padmask.verify.proof.deviations import Outputs, stacked
from padmask.verify.proof.sample import ModelBatch, ModelInput, Sample
from padmask.verify.proof.tolerance import Array, Check, ComparedDeviation


class UserModel:
    """A model with its inputs found, ready to be run on batches.

    Args:
        model: a built Keras model.
        engine: Keras, started.
        batch_size: rows it sees at once.
    """

    def __init__(self, model: Any, engine: Engine, batch_size: int = 32) -> None:
        if not model.built:
            raise SpecError("The model is not built yet. Call it once on a batch, or give it an Input.")
        self.model, self.engine, self.slots = model, engine, find_model_inputs(model)
        self._batch_size = batch_size
        tensors = inputs_of(model)
        # A fixed number of rows, as stateful models have.
        self._rows = tensors[0][1][0]
        self._graph_call: Callable[..., Any] | None = None
        self._use_graph = engine.backend == "tensorflow"
        # Outputs that are not judged, since they are not of rows.
        self.left_out: set[str] = set()
        self.wide = Wide(model) if engine.backend == "tensorflow" else None
        if isinstance(model, keras.Sequential):
            self._loosen()

    def _loosen(self) -> None:
        """A Sequential model takes the shape of its first batch for its own, and others all the same: try."""
        [slot] = self.slots
        if slot.kind not in ("tokens", "features") or self._rows is None:
            # An Input that was given leaves the number of rows open; a first batch does not.
            return
        kept = self.slots, self._rows
        self.slots, self._rows = [replace(slot, shape=(None, *slot.shape[1:]))], None
        inner = tuple(size or 1 for size in slot.shape[1:])
        for places in ((slot.shape[0] or 4) + 1, (slot.shape[0] or 4) + 3):
            try:
                self._eager([np.ones((3, places, *inner), dtype=slot.dtype)])
            except CannotRunError:
                self.slots, self._rows = kept
                return

    @contextmanager
    def left_as_it_was(self) -> Iterator[None]:
        """Give stateful layers their states back in the end, and let nobody hear Keras's warnings."""
        states = [
            variable
            for layer in self.model._flatten_layers()
            if getattr(layer, "stateful", False)
            for variable in keras.tree.flatten(getattr(layer, "states", None))
            if variable is not None
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kept = [keras.ops.convert_to_numpy(variable) for variable in states]
            try:
                yield
            finally:
                for variable, value in zip(states, kept, strict=True):
                    variable.assign(value)

    @property
    def is_compiled(self) -> bool:
        """Whether batches run through a compiled function."""
        return self._use_graph

    @property
    def mask_value(self) -> float | None:
        """The value that a Masking layer takes for padding, where the model has one."""
        found = [layer for layer in self.model._flatten_layers() if isinstance(layer, keras.layers.Masking)]
        return float(np.max(found[0].mask_value)) if found else None

    @property
    def dtype(self) -> str:
        """The least precise dtype that some layer computes in."""
        used = {layer.compute_dtype for layer in self.model._flatten_layers()}
        for name in ("bfloat16", "float16", "float32"):
            if name in used:
                return name
        return "float64"

    def feed(self, batch: ModelBatch) -> list[Array]:
        """Return the arrays that the model's inputs get, in their order."""
        arrays = []
        for slot in self.slots:
            if slot.kind == "mask":
                mask = batch[slot.of or ""].mask
                arrays.append(_shaped(mask, slot).astype(slot.dtype))
                continue
            values = batch[slot.name].values
            if slot.kind == "static":
                values = values.reshape(len(values), *values.shape[2:])
            arrays.append(values.astype(slot.dtype))
        return arrays

    def predict(self, batch: ModelBatch) -> Outputs:
        """Run the model on a batch, in pieces that it takes.

        Raises:
            CannotRunError: it does not take them.
        """
        return self._pieces(self.feed(batch), self._run)

    def eagerly(self, batch: ModelBatch) -> Outputs:
        """Run the model on a batch as `model(x)` does."""
        return self._pieces(self.feed(batch), self._eager)

    def _pieces(self, arrays: list[Array], run: Callable[[list[Array]], Outputs]) -> Outputs:
        rows = len(arrays[0])
        size = self._rows or self._batch_size
        parts = []
        for first in range(0, rows, size):
            piece = [array[first : first + size] for array in arrays]
            real = len(piece[0])
            if self._rows:
                # A model that takes a fixed number of rows gets the last one again.
                piece = [np.concatenate([p, np.repeat(p[-1:], size - real, axis=0)]) for p in piece]
            self._reset()
            outputs = self._by_row(run(piece), len(piece[0]))
            parts.append({name: output[:real] for name, output in outputs.items()})
        return stacked(parts)

    def _by_row(self, outputs: Outputs, rows: int) -> Outputs:
        """Return the outputs that have a value for each row: of the others nobody can say whose they are."""
        kept = {name: output for name, output in outputs.items() if output.ndim and len(output) == rows}
        self.left_out |= set(outputs) - set(kept)
        if not kept:
            raise CannotRunError("The model gives no output that has a value for each row.")
        return kept

    def _reset(self) -> None:
        for layer in self.model._flatten_layers():
            if getattr(layer, "stateful", False):
                layer.reset_state()

    def _run(self, arrays: list[Array]) -> Outputs:
        if self._use_graph:
            try:
                return self._graph(arrays)
            except CannotRunError:
                # What cannot be compiled may still run.
                outputs = self._eager(arrays)
                self._use_graph = False
                return outputs
        return self._eager(arrays)

    def _eager(self, arrays: list[Array]) -> Outputs:
        try:
            with self.engine.scope(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return name_outputs(self.model, self.call([keras.ops.convert_to_tensor(a) for a in arrays]))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a model's own code may raise anything
            raise CannotRunError(f"The model cannot be run: {shorten(str(error))}") from None

    def _graph(self, arrays: list[Array]) -> Outputs:
        try:
            with self.engine.scope(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if self._graph_call is None:
                    self._graph_call = self._trace(arrays)
                return name_outputs(self.model, self._graph_call(*arrays))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a model's own code may raise anything
            raise CannotRunError(f"compiled, as in predict, it fails: {shorten(str(error))}") from None

    def _trace(self, arrays: Sequence[Array]) -> Callable[..., Any]:
        import tensorflow as tf

        signature = [
            tf.TensorSpec([self._rows, *_sizes(slot, array)], array.dtype)
            for slot, array in zip(self.slots, arrays, strict=True)
        ]

        @tf.function(input_signature=signature, autograph=False)  # type: ignore[untyped-decorator]
        def graph(*tensors: Any) -> Any:
            return self.call(list(tensors))

        compiled: Callable[..., Any] = graph
        return compiled

    def call(self, tensors: list[Any]) -> Any:
        """Call the model with its inputs in the structure that it wants."""
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

    # --- what proofs ask of it ---------------------------------------------------------------

    def check_shapes(self, sample: Sample) -> tuple[Check, str | None]:
        """Compare the shapes of outputs in a compiled function, as `predict` uses, with those of `model(x)`.

        Where they differ the model is run eagerly from then on.

        Returns:
            The check, and the layer to blame.
        """
        name = "output-shape"
        if not self._use_graph:
            return Check.skipped(name, f"on {self.engine.backend} nothing is compiled"), None
        few = sample.select(np.arange(min(3, len(sample))))
        wrong = ""
        # More steps than rows, another number of them, and more rows than steps.
        for batch in (few.padded(), few.padded(2), sample.cut(2).padded()):
            try:
                eager = self.eagerly(batch)
            except CannotRunError:
                continue
            wrong = self._compiled_wrongly(batch, eager)
            if wrong:
                break
        if not wrong:
            return Check.of(name, {"shape": ComparedDeviation(0.0, 0.0)}), None
        self._use_graph = False
        loops = [
            layer for layer in self.model._flatten_layers() if isinstance(layer, keras.layers.TimeDistributed)
        ]
        if not loops and "its shape is" not in wrong:
            return Check.skipped(name, "the model cannot be compiled, so it was run as model(x)"), None
        culprit = path_of(self.model, loops[0]) if loops else None
        return Check.of(name, {"shape": ComparedDeviation(float("inf"), 0.0, wrong)}), culprit

    def _compiled_wrongly(self, batch: ModelBatch, eager: Outputs) -> str:
        """Say what is wrong with a compiled run beside an eager one; nothing where they agree."""
        try:
            graph = self._pieces(self.feed(batch), self._graph)
        except CannotRunError as error:
            return str(error)
        for name, output in eager.items():
            if name not in graph or graph[name].shape != output.shape:
                shape = graph[name].shape if name in graph else "none"
                return f"{name}: compiled, as in predict, its shape is {shape} instead of {output.shape}"
        return ""

    def subject(self, name: str, sample: Sample, value: Any) -> tuple[Subject, Subject]:
        """Return the model, and its control, as subjects of a proof.

        Args:
            name: what the report calls it.
            sample: the rows, for what stands in for padding in the control.
            value: the pad id.
        """

        def precise() -> Subject | None:
            if not self.can_be_double(sample):
                return None
            wide_model = _WideModel(self)

            def other_precisely(batch: ModelBatch) -> Outputs:
                with wide_model.swapped():
                    changed = self.with_other_content(value, self.predict)
                    assert changed is not None
                    return changed(batch)

            return Subject(name, wide_model.predict, "float64", other=other_precisely)

        subject = Subject(
            name,
            self.predict,
            self.dtype,
            other=self.with_other_content(value, self.predict) if sample.has_fixed else None,
            jittered=self._jittered,
            precise=precise,
            reason=self._why_no_other(sample, value),
        )
        dressed = Subject(
            name,
            lambda batch: self.predict(sample.disguised(batch, 21)),
            self.dtype,
            other=lambda batch: self.predict(sample.disguised(batch, 22)),
        )
        return subject, dressed

    def can_be_double(self, sample: Sample) -> bool:
        """Whether the model, which is not double already, can be run in double precision."""
        one = sample.select([0])
        return (
            self.wide is not None
            and self.dtype != "float64"
            and self.wide.possible(lambda: self.eagerly(one.padded()))
        )

    def _why_no_other(self, sample: Sample, value: Any) -> str:
        if not sample.has_fixed:
            return "the model takes any length, so rows alone tell more"
        return "the mask comes from the content itself, or no table row of the pad id can be changed"

    def _tables(self, value: Any) -> list[Any]:
        """Return the tables of the embeddings whose row of the pad id says something."""
        tables = []
        for layer in self.model._flatten_layers():
            if is_embedding(layer) and layer.weights:
                table = layer.weights[0]
                row = int(value)
                if 0 <= row < table.shape[0] and np.abs(np.asarray(table[row])).max(initial=0) > 0:
                    tables.append(table)
        return tables

    def with_other_content(
        self, value: Any, predict: Callable[[ModelBatch], Outputs]
    ) -> Callable[[ModelBatch], Outputs] | None:
        """Return a way to predict with other content in padded places: other numbers in the pad id's row."""
        if not isinstance(value, (int, np.integer)) or not self._tables(value):
            return None

        def other(batch: ModelBatch) -> Outputs:
            tables = self._tables(value)
            kept = [keras.ops.convert_to_numpy(table) for table in tables]
            random = np.random.default_rng(5)
            try:
                for table, old in zip(tables, kept, strict=True):
                    new = old.copy()
                    new[int(value)] = random.standard_normal(new.shape[1:]) * max(
                        1.0, float(np.abs(old).max())
                    )
                    table.assign(new)
                return predict(batch)
            finally:
                for table, old in zip(tables, kept, strict=True):
                    table.assign(old)

        return other

    def _jittered(self, batch: ModelBatch) -> Outputs:
        """Predict with every weight moved by a rounding error."""
        random = np.random.default_rng(3)
        floats = [v for v in self.model.variables if v.dtype in ("float32", "float64")]
        kept = [keras.ops.convert_to_numpy(variable) for variable in floats]
        try:
            for variable, old in zip(floats, kept, strict=True):
                step = 2.0 ** (-23 if variable.dtype == "float32" else -52)
                variable.assign(old * (1 + step * random.choice([-1.0, 1.0], old.shape)))
            return self.predict(batch)
        finally:
            for variable, old in zip(floats, kept, strict=True):
                variable.assign(old)


def _sizes(slot: ModelInput, array: Array) -> list[int | None]:
    """Return the sizes a compiled function is told: unknown where the model takes any."""
    return [
        None if wanted is None else have for wanted, have in zip(slot.shape, array.shape[1:], strict=False)
    ]


def _shaped(mask: Array, slot: ModelInput) -> Array:
    """Give a mask the rank of its input: (time,), (time, 1), (1, time), (time, time) and so on."""
    rank = len(slot.shape)
    if rank <= 1:
        return mask
    if slot.shape[-1] == 1:
        return mask.reshape(*mask.shape, *[1] * (rank - 1))
    lifted = mask.reshape(len(mask), *[1] * (rank - 1), mask.shape[1])
    if rank == 2 and slot.shape[0] != 1:
        return lifted & mask[:, :, None]
    return lifted


def name_outputs(model: Any, outputs: Any) -> dict[str, Array]:
    """Return a model's outputs as NumPy arrays by name."""
    flat = keras.tree.flatten_with_path(outputs)
    said = getattr(model, "output_names", None) or []
    named = {}
    for place, (path, output) in enumerate(flat):
        keys = [str(key) for key in path if isinstance(key, str)]
        if keys:
            name = "/".join(keys)
        elif len(said) == len(flat):
            name = str(said[place])
        else:
            name = "output" if len(flat) == 1 else f"output_{place}"
        if name in named:
            name = f"{name}_{place}"
        named[name] = np.asarray(keras.ops.convert_to_numpy(_plain(output)))
    return named


def _plain(output: Any) -> Any:
    """NumPy has no bfloat16."""
    if "bfloat16" in str(getattr(output, "dtype", "")):
        return keras.ops.cast(output, "float32")
    return output


def path_of(model: Any, wanted: Any) -> str:
    """Return a layer's name with those of the layers it is nested in, but not the model's own."""

    def search(owner: Any, above: tuple[str, ...]) -> tuple[str, ...] | None:
        for layer in getattr(owner, "layers", None) or owner._layers:
            if layer is wanted:
                return (*above, layer.name)
            found = search(layer, (*above, layer.name))
            if found:
                return found
        return None

    return "/".join(search(model, ()) or (wanted.name,))


class _WideModel:
    """The model in double precision, traced apart."""

    def __init__(self, user: UserModel) -> None:
        self._user = user
        self._graph_call: Callable[..., Any] | None = None

    def predict(self, batch: ModelBatch) -> Outputs:
        with self.swapped():
            return self._user.predict(batch)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        user = self._user
        assert user.wide is not None
        kept = user._graph_call
        user._graph_call = self._graph_call
        try:
            with user.wide:
                yield
        finally:
            self._graph_call, user._graph_call = user._graph_call, kept


@contextmanager
def in_float64(user: UserModel, sample: Sample) -> Iterator[bool]:
    """Run what is inside with the model in double precision, where it can be.

    Yields:
        Whether it is.
    """
    if user.wide is None or not user.can_be_double(sample):
        yield user.dtype == "float64"
        return
    with user.wide:
        yield True
