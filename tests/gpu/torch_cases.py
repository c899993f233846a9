"""GPU paths of PyTorch: recurrent layers with and without cuDNN, and the kernels of attention."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from check import SIZE, Array, Case, draw_batch, pad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
KERNELS = {
    "math": SDPBackend.MATH,
    "flash": SDPBackend.FLASH_ATTENTION,
    "memory": SDPBackend.EFFICIENT_ATTENTION,
}


def describe_device() -> str:
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "CPU"
    return f"{name}, torch {torch.__version__}"


def cases() -> Iterator[Case]:
    """Yield the comparisons of PyTorch."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for kind in (torch.nn.LSTM, torch.nn.GRU):
        name = kind.__name__
        yield Case(f"{name}, packed rows", "right", "float32", lambda kind=kind: _packed(kind, "float32"))
        if DEVICE == "cuda":
            yield Case(f"{name}, cuDNN and generic", "right", "float32", lambda kind=kind: _kernels(kind))
            yield Case(f"{name}, packed rows", "right", "float16", lambda kind=kind: _packed(kind, "float16"))
    for padding in ("right", "left", "only padding"):
        for dtype in ("float32", "bfloat16"):
            yield Case("attention, math", padding, dtype, lambda p=padding, d=dtype: _attention(p, d, "math"))
        if DEVICE == "cuda":
            yield Case(
                "attention, memory-efficient",
                padding,
                "float16",
                lambda p=padding: _attention(p, "float16", "memory"),
            )
    yield Case("MultiheadAttention", "left", "float32", lambda: _layer("left"))


def _recurrent(kind: type[torch.nn.RNNBase], dtype: str) -> torch.nn.RNNBase:
    torch.manual_seed(0)
    return kind(SIZE, SIZE, batch_first=True, bidirectional=True).to(DEVICE, getattr(torch, dtype)).eval()


def _packed(kind: type[torch.nn.RNNBase], dtype: str) -> tuple[Array, Array]:
    """Compare the rows of a `PackedSequence` with each row alone."""
    features, lengths = draw_batch()
    layer, padded = _recurrent(kind, dtype), pad(features, lengths, "right")[0]
    x = torch.from_numpy(padded).to(DEVICE, getattr(torch, dtype))
    with torch.no_grad():
        packed = pack_padded_sequence(x, torch.from_numpy(lengths), batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(layer(packed)[0], batch_first=True)
        alone = [layer(x[row : row + 1, :length])[0][0] for row, length in enumerate(lengths.tolist())]
    found = [outputs[row, :length] for row, length in enumerate(lengths.tolist())]
    return _array(torch.cat(found)), _array(torch.cat(alone))


def _kernels(kind: type[torch.nn.RNNBase]) -> tuple[Array, Array]:
    """Compare the cuDNN kernel with the generic kernel."""
    features, lengths = draw_batch()
    layer, x = _recurrent(kind, "float32"), torch.from_numpy(features).to(DEVICE)
    packed = pack_padded_sequence(x, torch.from_numpy(lengths), batch_first=True, enforce_sorted=False)
    with torch.no_grad():
        fast = layer(packed)[0].data
        with torch.backends.cudnn.flags(enabled=False):
            generic = layer(packed)[0].data
    return _array(fast), _array(generic)


def _attention(padding: str, dtype: str, kernel: str) -> tuple[Array, Array]:
    """Compare attention on padded rows, with a mask on the keys, to attention on the same rows alone."""
    features, lengths = draw_batch()
    if padding == "only padding":
        lengths = np.where(np.arange(len(lengths)) % 2, lengths, 0)
    padded, mask = pad(features, lengths, padding)
    x = torch.from_numpy(padded).to(DEVICE, getattr(torch, dtype))[:, None]
    real = torch.from_numpy(mask).to(DEVICE)
    with torch.no_grad(), sdpa_kernel(KERNELS[kernel]):
        outputs = torch.nn.functional.scaled_dot_product_attention(
            x, x, x, attn_mask=real[:, None, None, :].expand(-1, 1, x.shape[2], -1).contiguous()
        )
        rows = np.flatnonzero(lengths).tolist()
        alone = [
            torch.nn.functional.scaled_dot_product_attention(*[x[row : row + 1, :, real[row]]] * 3)[0, 0]
            for row in rows
        ]
    found = [outputs[row, 0, real[row]] for row in rows]
    return _array(torch.cat(found)), _array(torch.cat(alone))


def _layer(side: str) -> tuple[Array, Array]:
    features, lengths = draw_batch()
    padded, mask = pad(features, lengths, side)
    torch.manual_seed(0)
    layer = torch.nn.MultiheadAttention(SIZE, 4, batch_first=True).to(DEVICE).eval()
    x, real = torch.from_numpy(padded).to(DEVICE), torch.from_numpy(mask).to(DEVICE)
    with torch.no_grad():
        outputs = layer(x, x, x, key_padding_mask=~real, need_weights=False)[0]
        alone = [layer(*[x[row : row + 1, real[row]]] * 3, need_weights=False)[0][0] for row in range(len(x))]
    return _array(torch.cat([outputs[row, real[row]] for row in range(len(x))])), _array(torch.cat(alone))


def _array(tensor: torch.Tensor) -> Array:
    array: Array = tensor.float().cpu().numpy()
    return array
