"""Reference models with an Embedding, an LSTM and a Dense layer.

The models differ in how the mask reaches the LSTM. Each of these ways is called a route.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from padmask.layers import CustomEmbedding, MaskedActivation, TemporalSoftmax, TemporalSplit
from padmask.spec.verify import FLOAT_ROUTES, ReferenceSpec
from padmask.verify.keras.backend import Engine
from padmask.verify.proof.cached_predict import cache_predictions
from padmask.verify.proof.deviations import Outputs
from padmask.verify.proof.sample import ModelBatch, Sample
from padmask.verify.proof.subject import CannotRunError, Subject
from padmask.verify.proof.tolerance import Array, Check, ComparedDeviation

CLASSES = 4

OUTPUT = "output"


@dataclass(frozen=True)
class _Weights:
    """The weights that the reference models of all routes share.

    No weight of the embedding table is negative, so a ReLU after the embedding has no effect and the outputs
    of all routes can be compared.
    """

    table: Array
    lstm: list[Array]
    dense: list[Array]
    score: list[Array]

    @classmethod
    def draw(cls, vocab: int, spec: ReferenceSpec) -> _Weights:
        random = np.random.default_rng(spec.seed)
        dim, units = spec.embedding_dim, spec.units

        def matrix(*shape: int) -> Array:
            return np.asarray(random.standard_normal(shape) / np.sqrt(shape[0]), dtype="float32")

        # The forget gate bias is 1, as in Keras. Without biases, zeros at the start of a row would not change
        # the state, and the checks would not detect them.
        bias = matrix(4 * units) + np.repeat(np.array([0, 1, 0, 0], dtype="float32"), units)
        return cls(
            np.abs(random.standard_normal((vocab, dim))).astype("float32") / 2,
            [matrix(dim, 4 * units), matrix(units, 4 * units), bias],
            [matrix(units, CLASSES), matrix(CLASSES)],
            [matrix(units, 1), np.zeros(1, dtype="float32")],
        )


class _SharedTraceLSTM(keras.layers.LSTM):  # type: ignore[misc]
    """An LSTM layer that several models share and that TensorFlow traces only once.

    Tracing the LSTM loop takes most of the time to build a small model.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        import tensorflow as tf

        # TensorFlow traces separately for calls with and without a mask.
        self._traced = tf.function(self._loop, autograph=False)

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        import tensorflow as tf

        run = self._loop if tf.executing_eagerly() else self._traced
        return run(sequences, initial_state, mask, training)

    def _loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool) -> Any:
        return super().call(sequences, initial_state, mask, training)


@keras.saving.register_keras_serializable(package="padmask.verify")
class MaskByArgument(keras.layers.Layer):  # type: ignore[misc]
    """A layer that passes the mask to its LSTM as an argument, like `MyLayer` in TensorFlow's guide."""

    def __init__(self, embedding: Any, lstm: Any, masked: bool, **options: Any) -> None:
        super().__init__(**options)
        self.embedding, self.lstm, self.masked = embedding, lstm, masked

    def call(self, inputs: Any) -> Any:
        # The multiplication drops the tensor's mask, so the LSTM can receive the mask only as an argument.
        embedded = keras.ops.multiply(self.embedding(inputs), 1.0)
        mask = self.embedding.compute_mask(inputs) if self.masked else None
        return self.lstm(embedded, mask=mask)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.lstm.units)


@dataclass(frozen=True)
class _Route:
    """A route: a way in which the mask reaches the LSTM, and functions that build its model.

    Args:
        head: function `head(masked, table_shape)` that returns the layers before the LSTM. The first layer
            outputs the embedded input. `masked` is False for the control model.
        sequences: whether the model has an output for each step.
        functional: whether the model uses the Functional API instead of Sequential.
    """

    head: Callable[[bool, Any], list[Any]]
    sequences: bool = False
    functional: bool = True


def _make_embedding(masked: bool, table: Any) -> Any:
    # The weights are set later. The initializer "zeros" is faster than random weights.
    return keras.layers.Embedding(*table, "zeros", mask_zero=masked, name="embedding")


ROUTES: Mapping[str, _Route] = {
    "embedding": _Route(lambda masked, table: [_make_embedding(masked, table)], functional=False),
    "functional": _Route(lambda masked, table: [_make_embedding(masked, table)]),
    "masking": _Route(
        lambda masked, _: [keras.layers.Masking(name="masking") if masked else keras.layers.Identity()]
    ),
    "argument": _Route(lambda masked, table: [_make_embedding(masked, table)]),
    "temporal-split": _Route(
        lambda masked, table: [
            _make_embedding(masked, table),
            TemporalSplit(name="temporal_split"),
            keras.layers.Concatenate(axis=1),
        ]
    ),
    "custom-embedding": _Route(
        lambda masked, table: [CustomEmbedding(table[0], table[1], masked, name="custom_embedding")]
    ),
    "masked-activation": _Route(
        lambda masked, table: [_make_embedding(masked, table), MaskedActivation(name="masked_activation")]
    ),
    "temporal-softmax": _Route(lambda masked, table: [_make_embedding(masked, table)], sequences=True),
}


@dataclass(frozen=True)
class _Tail:
    """The last layers of a model, LSTM and Dense, which several models share."""

    lstm: Any
    dense: Any

    @classmethod
    def build(cls, lstm: Any, weights: _Weights) -> _Tail:
        dim, units = weights.lstm[0].shape[0], lstm.units
        own = weights.score if lstm.return_sequences else weights.dense
        dense = keras.layers.Dense(len(own[1]), name="dense")
        lstm.build((None, None, dim))
        dense.build((None, None, units) if lstm.return_sequences else (None, units))
        lstm.set_weights(weights.lstm)
        dense.set_weights(own)
        return cls(lstm, dense)


def build_route(name: str, weights: _Weights, tail: _Tail, *, masked: bool) -> tuple[Any, Any]:
    """Build the model of a route.

    Args:
        name: name of the route.
        weights: weights of the embedding.
        tail: last layers of the model, which several models share.
        masked: whether the model uses masks. False for the control model.

    Returns:
        The model, and the layer that outputs the embedded input.
    """
    route = ROUTES[name]
    head = route.head(masked, weights.table.shape)
    floats = name in FLOAT_ROUTES
    inputs = keras.Input(
        (None, weights.table.shape[1]) if floats else (None,), dtype="float32" if floats else "int32"
    )
    if name == "argument":
        body: list[Any] = [MaskByArgument(head[0], tail.lstm, masked, name="mask_by_argument")]
    else:
        body = [*head, tail.lstm]
    body.append(tail.dense)
    if route.sequences:
        body.append(TemporalSoftmax(name="temporal_softmax"))
    if route.functional:
        tensor = inputs
        for layer in body:
            tensor = layer(tensor)
        model = keras.Model(inputs, tensor)
    else:
        model = keras.Sequential([inputs, *body])
    if not floats:
        head[0].set_weights([weights.table])
    return model, head[0]


class Reference:
    """The reference models, with shared weights: one for each route by which the mask reaches the LSTM.

    Args:
        engine: Keras backend and device.
        spec: sizes, seed and routes.
        vocab: number of rows in the embedding table.
        features: number of values per time step of float data; None for ids.
        use_cudnn: argument of `keras.layers.LSTM`. False for rows that cuDNN does not support.
    """

    def __init__(
        self,
        engine: Engine,
        spec: ReferenceSpec,
        vocab: int,
        features: int | None = None,
        use_cudnn: bool | str = "auto",
    ) -> None:
        self._engine, self._spec, self._use_cudnn = engine, spec, use_cudnn
        self._tails: dict[bool, _Tail] = {}
        if features is not None:
            spec = replace(spec, embedding_dim=features)
        self._weights = _Weights.draw(1 if features is not None else vocab, spec)
        self._is_float = features is not None

    def subjects(self, route: str) -> tuple[Subject, Subject]:
        """Return the model of a route and its control model, which is the same model without masks."""
        return self._subject(route, masked=True), self._subject(route, masked=False)

    def steps_model(self, *, use_cudnn: bool | str) -> Any:
        """Return a model that consists of an Embedding and an LSTM, with an output for every time step."""
        embedding = _make_embedding(True, self._weights.table.shape)
        lstm = keras.layers.LSTM(self._spec.units, return_sequences=True, use_cudnn=use_cudnn)
        model = keras.Sequential([keras.Input((None,), dtype="int32"), embedding, lstm])
        embedding.set_weights([self._weights.table])
        lstm.set_weights(self._weights.lstm)
        return model

    def _tail(self, sequences: bool) -> _Tail:
        """Return the last layers. All models with the same value of `sequences` share them."""
        if sequences not in self._tails:
            # On a GPU, TensorFlow selects the kernel when it traces the entire model.
            on_cpu = (self._engine.backend, self._engine.device) == ("tensorflow", "cpu")
            lstm = (_SharedTraceLSTM if on_cpu else keras.layers.LSTM)(
                self._spec.units, return_sequences=sequences, use_cudnn=self._use_cudnn, name="lstm"
            )
            self._tails[sequences] = _Tail.build(lstm, self._weights)
        return self._tails[sequences]

    def _subject(self, route: str, *, masked: bool) -> Subject:
        with self._engine.scope():
            tail = self._tail(ROUTES[route].sequences)
            model, first = build_route(route, self._weights, tail, masked=masked)
        run = compile_model(model, self._engine)

        def feed(batch: ModelBatch) -> Array:
            return self._feed(route, batch)

        def predict(batch: ModelBatch) -> Outputs:
            return {OUTPUT: run_in_pieces(run, feed(batch), self._spec.batch_size)}

        def other(batch: ModelBatch) -> Outputs:
            # Padding is embedded as row 0 of the table. A new row 0 changes neither the ids nor the mask.
            [table] = first.get_weights()
            random = np.random.default_rng(self._spec.seed + 1)
            first.set_weights([np.concatenate([random.standard_normal((1, *table.shape[1:])), table[1:]])])
            try:
                return predict(batch)
            finally:
                first.set_weights([table])

        return Subject(
            route,
            cache_predictions(predict),
            predict_uncached=predict,
            other=None if route in FLOAT_ROUTES else other,
            gradient=None
            if self._engine.backend == "jax"
            else lambda batch: self._gradient(model, first, feed(batch), batch),
            reason="the model computes its mask from the pad value, so the checks cannot change the padding",
        )

    def _feed(self, route: str, batch: ModelBatch) -> Array:
        [padded] = batch.values()
        if route not in FLOAT_ROUTES:
            return padded.values.astype("int32")
        if self._is_float:
            values = padded.values.astype("float32")
            return values if values.ndim == 3 else values[..., None]
        # Look up the embeddings here, with zeros for padding, because Masking masks zeros. Tokens with id 0
        # become zeros too, because the other routes mask them.
        real = (padded.mask & (padded.values != 0))[..., None]
        return np.where(real, self._weights.table[padded.values], np.float32(0))

    def _gradient(self, model: Any, first: Any, given: Array, batch: ModelBatch) -> Array:
        """Return the gradients of a sum of outputs with respect to the embeddings.

        The sum has random weights, and contains only the outputs at real tokens.

        Returns:
            Gradients of shape (rows, maxlen, embedding_dim).
        """
        [padded] = batch.values()

        def mix(output: Any) -> Any:
            random = np.random.default_rng(self._spec.seed)
            shares = random.standard_normal(tuple(output.shape)).astype("float32")
            if len(output.shape) == 3:
                shares *= padded.mask[..., None]
            return keras.ops.sum(keras.ops.multiply(output, keras.ops.convert_to_tensor(shares)))

        embedded: list[Any] = []
        call = first.call

        def call_and_keep(*arguments: Any, **named: Any) -> Any:
            embedded.append(call(*arguments, **named))
            return embedded[-1]

        first.call = call_and_keep
        try:
            with self._engine.scope():
                return _differentiate(self._engine.backend, model, given, mix, embedded)
        finally:
            first.call = call


def _differentiate(
    backend: str, model: Any, given: Array, mix: Callable[[Any], Any], embedded: list[Any]
) -> Array:
    """Return the gradient of `mix(model(given))` with respect to the last tensor in `embedded`."""
    inputs = keras.ops.convert_to_tensor(given)
    if backend == "torch":
        if given.dtype.kind == "f":
            inputs.requires_grad_(True)
        output = model(inputs, training=False)
        embedded[-1].retain_grad()
        mix(output).backward()
        return np.asarray(embedded[-1].grad.detach().cpu().numpy())
    import tensorflow as tf

    with tf.GradientTape() as tape:
        if given.dtype.kind == "f":
            tape.watch(inputs)
        mixed = mix(model(inputs, training=False))
    return np.asarray(tape.gradient(mixed, embedded[-1]))


def compile_model(model: Any, engine: Engine) -> Callable[[Array], Array]:
    """Return a function that runs the model on a NumPy array. TensorFlow traces the model only once."""
    if engine.backend != "tensorflow":

        def eager(given: Array) -> Array:
            with engine.scope():
                output = model(given, training=False)
                return np.asarray(keras.ops.convert_to_numpy(output))

        return eager
    import tensorflow as tf

    [tensor] = model.inputs
    signature = [tf.TensorSpec([None, None, *tensor.shape[2:]], tensor.dtype)]

    @tf.function(input_signature=signature, autograph=False)  # type: ignore[untyped-decorator]
    def graph(given: Any) -> Any:
        return model(given, training=False)

    def run(given: Array) -> Array:
        try:
            with engine.scope():
                return np.asarray(graph(given))
        except tf.errors.OpError as error:
            raise CannotRunError(
                f"TensorFlow cannot run the model: {error.message.splitlines()[0]}"
            ) from None

    return run


def run_in_pieces(run: Callable[[Array], Array], given: Array, size: int) -> Array:
    """Run a function on at most `size` rows at a time, and concatenate the results."""
    pieces = [run(given[first : first + size]) for first in range(0, len(given), size)]
    return np.concatenate(pieces) if len(pieces) > 1 else pieces[0]


def check_agreement(subjects: Sequence[Subject], sample: Sample) -> dict[str, Check]:
    """Check that all reference models with one output per row return the same outputs.

    Args:
        subjects: reference models of the routes.
        sample: rows to run.

    Returns:
        A dict from the name of each model to its result.
    """
    name = "routes-agree"
    batch = sample.padded(4)
    outputs = {subject.name: subject.predict(batch)[OUTPUT] for subject in subjects}
    pooled = {route: output for route, output in outputs.items() if output.ndim == 2}
    found = {
        route: Check.skipped(name, "no other reference model computes the same function") for route in outputs
    }
    if len(pooled) < 2:
        return found
    first = next(iter(pooled))
    scale = float(np.abs(pooled[first]).max(initial=0))
    for route, output in pooled.items():
        # Compare the first route with all others, and every other route with the first.
        others = [other for other in pooled if other != route] if route == first else [first]
        deviations = {other: float(np.abs(output - pooled[other]).max(initial=0)) for other in others}
        worst = max(deviations, key=lambda other: deviations[other])
        found[route] = Check.of(
            name, {OUTPUT: ComparedDeviation(deviations[worst], 1e-5 * scale, f"compared with {worst}")}
        )
    return found
