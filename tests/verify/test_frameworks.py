"""Verification of functions in other frameworks: PyTorch, JAX and ONNX, if installed.

`verify` needs only a function of two NumPy arrays. The frameworks are not dependencies:
pip install torch jax onnx onnxruntime
"""

from __future__ import annotations

import numpy as np
import pytest

from padmask.verify import assert_ignores_padding, verify_model

VOCAB, DIM = 30, 4
TABLE = np.random.default_rng(0).standard_normal((VOCAB, DIM)).astype("float32")


def outputs_of(function, **options):
    [subject] = verify_model(function, vocab_size=VOCAB, **options).subjects
    return {output.name: output.verdict for output in subject.outputs}


# --- PyTorch ------------------------------------------------------------------------------------------


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    torch.manual_seed(0)
    return torch


@pytest.fixture
def torch_table(torch):
    return torch.nn.Embedding.from_pretrained(torch.from_numpy(TABLE))


@pytest.mark.parametrize(("masked", "verdict"), [(True, "ignores"), (False, "leaks")])
def test_torch_mean(torch, torch_table, masked, verdict):
    def predict(ids, mask):
        embedded = torch_table(torch.from_numpy(ids))
        weights = torch.from_numpy(mask if masked else np.ones_like(mask)).unsqueeze(-1)
        return (embedded * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)

    assert verify_model(predict, vocab_size=VOCAB).verdict == verdict


@pytest.mark.parametrize(("packed", "verdict"), [(True, "ignores"), (False, "leaks")])
def test_torch_gru(torch, torch_table, packed, verdict):
    gru = torch.nn.GRU(DIM, 5, batch_first=True)

    def predict(ids, mask):
        steps = torch_table(torch.from_numpy(ids))
        if packed:
            # Rows without a token cannot be packed.
            lengths = torch.from_numpy(mask.sum(axis=1)).clamp(min=1)
            steps = torch.nn.utils.rnn.pack_padded_sequence(
                steps, lengths, batch_first=True, enforce_sorted=False
            )
        # The tensor requires gradients, as in training.
        return gru(steps)[1][0]

    assert verify_model(predict, vocab_size=VOCAB).verdict == verdict


@pytest.mark.parametrize("masked", [True, False])
def test_torch_encoder_names_output(torch, torch_table, masked):
    layer = torch.nn.TransformerEncoderLayer(DIM, 2, 8, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).eval()

    def predict(ids, mask):
        steps, real = torch_table(torch.from_numpy(ids)), torch.from_numpy(mask)
        with torch.no_grad():
            return {
                "steps": encoder(steps, src_key_padding_mask=~real if masked else None),
                "mean": (steps * real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True).clamp(min=1),
            }

    assert outputs_of(predict) == {"steps": "ignores" if masked else "leaks", "mean": "ignores"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_torch_precisions(torch, torch_table, dtype):
    def peak(ids, mask):
        steps, padding = torch_table(torch.from_numpy(ids)), torch.from_numpy(~mask)
        return steps.masked_fill(padding.unsqueeze(-1), -9).amax(dim=1).to(getattr(torch, dtype))

    assert verify_model(peak, vocab_size=VOCAB).verdict == "ignores"
    assert verify_model(lambda ids, mask: peak(ids, mask | True), vocab_size=VOCAB).verdict == "leaks"


def test_torch_assertion(torch, torch_table):
    def peak(ids, mask):
        steps, padding = torch_table(torch.from_numpy(ids)), torch.from_numpy(~mask)
        return steps.masked_fill(padding.unsqueeze(-1), -9).amax(dim=1)

    ids = np.array([[3, 4, 5], [6, 0, 0]])
    assert_ignores_padding(peak, ids, ids > 0)
    with pytest.raises(AssertionError, match="row-alone: deviation"):
        assert_ignores_padding(lambda ids, mask: peak(ids, mask | True), ids, ids > 0)


# --- JAX ----------------------------------------------------------------------------------------------


@pytest.fixture
def jax():
    return pytest.importorskip("jax", reason="JAX is not installed: pip install jax")


@pytest.mark.parametrize(("masked", "verdict"), [(True, "ignores"), (False, "leaks")])
def test_jax_mean(jax, masked, verdict):
    table = jax.numpy.asarray(TABLE)

    @jax.jit
    def predict(ids, mask):
        weights = (mask if masked else jax.numpy.ones_like(mask))[..., None]
        return (table[ids] * weights).sum(axis=1) / jax.numpy.maximum(weights.sum(axis=1), 1)

    assert verify_model(predict, vocab_size=VOCAB).verdict == verdict


@pytest.mark.parametrize(("masked", "verdict"), [(True, "ignores"), (False, "leaks")])
@pytest.mark.parametrize("padding", ["post", "pre"])
def test_jax_recurrence(jax, masked, verdict, padding):
    table = jax.numpy.asarray(TABLE)

    @jax.jit
    def predict(ids, mask):
        def step(state, given):
            token, real = given
            new = jax.numpy.tanh(0.5 * state + token)
            return jax.numpy.where(real[:, None] if masked else True, new, state), None

        first = jax.numpy.zeros((ids.shape[0], DIM))
        return jax.lax.scan(step, first, (table[ids].swapaxes(0, 1), mask.T))[0]

    assert verify_model(predict, vocab_size=VOCAB, padding=padding).verdict == verdict


# --- ONNX ---------------------------------------------------------------------------------------------


@pytest.fixture
def session():
    """Return a function that makes a session for an ONNX model.

    The model averages embedded ids, with or without the mask.
    """
    onnx = pytest.importorskip("onnx", reason="ONNX is not installed: pip install onnx onnxruntime")
    onnxruntime = pytest.importorskip(
        "onnxruntime", reason="ONNX Runtime is not installed: pip install onnxruntime"
    )
    node, tensor = onnx.helper.make_node, onnx.numpy_helper.from_array
    kinds = onnx.TensorProto

    def make(masked):
        weigh = [
            node("Cast", ["mask"], ["real"], to=kinds.FLOAT),
            node("Unsqueeze", ["real", "last"], ["weights"]),
            node("Mul", ["embedded", "weights"], ["weighted"]),
            node("ReduceSum", ["weighted", "steps"], ["sums"], keepdims=0),
            node("ReduceSum", ["weights", "steps"], ["counts"], keepdims=0),
            node("Max", ["counts", "one"], ["divisors"]),
            node("Div", ["sums", "divisors"], ["pooled"]),
        ]
        known = {"table": TABLE, "steps": np.array([1])}
        given = [onnx.helper.make_tensor_value_info("ids", kinds.INT64, ["rows", "places"])]
        if masked:
            known |= {"last": np.array([2]), "one": np.array([1], "float32")}
            given.append(onnx.helper.make_tensor_value_info("mask", kinds.BOOL, ["rows", "places"]))
        graph = onnx.helper.make_graph(
            [
                node("Gather", ["table", "ids"], ["embedded"]),
                *(weigh if masked else [node("ReduceMean", ["embedded", "steps"], ["pooled"], keepdims=0)]),
            ],
            "mean",
            given,
            [onnx.helper.make_tensor_value_info("pooled", kinds.FLOAT, ["rows", DIM])],
            [tensor(array, name) for name, array in known.items()],
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
        return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    return make


@pytest.mark.parametrize(("masked", "verdict"), [(True, "ignores"), (False, "leaks")])
def test_onnx_mean(session, masked, verdict):
    mean = session(masked)

    def predict(ids, mask):
        given = {"ids": ids.astype("int64")} | ({"mask": mask} if masked else {})
        return dict(zip(["pooled"], mean.run(["pooled"], given), strict=True))

    assert outputs_of(predict) == {"pooled": verdict}
