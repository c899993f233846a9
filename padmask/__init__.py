"""Pad and mask sequence data, and test that models ignore the padding.

Each public name is imported on first use, so `import padmask` does not load NumPy, click, rich or TensorFlow.
"""

from importlib import import_module

from padmask._version import __version__ as __version__

# TYPE_CHECKING is not imported from typing. While `python -m padmask` runs this module, sys.path still starts
# with the current folder, which may contain a typing.py.
TYPE_CHECKING = False


if TYPE_CHECKING:
    from typing import Any

    from padmask.collate import Collator as Collator
    from padmask.core.arrays import pad as pad
    from padmask.core.arrays import pad_sequences as pad_sequences
    from padmask.core.arrays import sequence_mask as sequence_mask
    from padmask.core.kernel import Padded as Padded
    from padmask.core.masks import block_mask as block_mask
    from padmask.core.pack_arrays import Packed as Packed
    from padmask.core.pack_arrays import pack as pack
    from padmask.core.pack_table import pack_table as pack_table
    from padmask.core.pad_table import pad_table as pad_table
    from padmask.core.unpad_table import unpad_table as unpad_table
    from padmask.errors import DataError as DataError
    from padmask.errors import MissingExtraError as MissingExtraError
    from padmask.errors import OutputError as OutputError
    from padmask.errors import PadmaskError as PadmaskError
    from padmask.errors import RowError as RowError
    from padmask.errors import SpecError as SpecError
    from padmask.errors import UnreadableError as UnreadableError
    from padmask.inspect.inspect_file import inspect_file as inspect_file
    from padmask.inspect.inspection import Inspection as Inspection
    from padmask.shards.pack_dataset import pack_dataset as pack_dataset
    from padmask.shards.pad_dataset import pad_dataset as pad_dataset
    from padmask.shards.processes import Processes as Processes
    from padmask.spec.batches import BatchSpec as BatchSpec
    from padmask.spec.columns import Column as Column
    from padmask.spec.files import FileOptions as FileOptions
    from padmask.spec.files import ReadOptions as ReadOptions
    from padmask.spec.mask import MaskSpec as MaskSpec
    from padmask.spec.pack import PackSpec as PackSpec
    from padmask.spec.pack_presets import pack_preset as pack_preset
    from padmask.spec.pad import PadSpec as PadSpec
    from padmask.spec.pad import RowPolicy as RowPolicy
    from padmask.spec.presets import preset as preset
    from padmask.spec.show import ShowSpec as ShowSpec
    from padmask.spec.unpad import UnpadSpec as UnpadSpec
    from padmask.spec.verify import ModelSpec as ModelSpec
    from padmask.spec.verify import ReferenceSpec as ReferenceSpec
    from padmask.spec.windows import WindowSpec as WindowSpec
    from padmask.stream.ledger import Ledger as Ledger
    from padmask.stream.ledger import PadResult as PadResult
    from padmask.stream.ledger import UnpadResult as UnpadResult
    from padmask.stream.pack import pack_file as pack_file
    from padmask.stream.pad import pad_file as pad_file
    from padmask.stream.unpad import unpad_file as unpad_file
    from padmask.verify.data.audit_data import RuleSpec as RuleSpec
    from padmask.verify.proof_spec import ModelProof as ModelProof
    from padmask.verify.proof_spec import ProofSpec as ProofSpec
    from padmask.verify.verify_file import verify_file as verify_file

_MODULES = {
    "Collator": "collate",
    "block_mask": "core.masks",
    "DataError": "errors",
    "OutputError": "errors",
    "MissingExtraError": "errors",
    "PadmaskError": "errors",
    "RowError": "errors",
    "SpecError": "errors",
    "UnreadableError": "errors",
    "ShowSpec": "spec.show",
    "inspect_file": "inspect.inspect_file",
    "Inspection": "inspect.inspection",
    "Ledger": "stream.ledger",
    "PadResult": "stream.ledger",
    "UnpadResult": "stream.ledger",
    "FileOptions": "spec.files",
    "ReadOptions": "spec.files",
    "Padded": "core.kernel",
    "sequence_mask": "core.arrays",
    "Packed": "core.pack_arrays",
    "pack": "core.pack_arrays",
    "pack_table": "core.pack_table",
    "pack_file": "stream.pack",
    "pack_dataset": "shards.pack_dataset",
    "pad_file": "stream.pad",
    "pad_dataset": "shards.pad_dataset",
    "Processes": "shards.processes",
    "pad": "core.arrays",
    "pad_sequences": "core.arrays",
    "BatchSpec": "spec.batches",
    "Column": "spec.columns",
    "MaskSpec": "spec.mask",
    "PackSpec": "spec.pack",
    "PadSpec": "spec.pad",
    "RowPolicy": "spec.pad",
    "preset": "spec.presets",
    "pack_preset": "spec.pack_presets",
    "WindowSpec": "spec.windows",
    "UnpadSpec": "spec.unpad",
    "pad_table": "core.pad_table",
    "unpad_table": "core.unpad_table",
    "unpad_file": "stream.unpad",
    "ModelProof": "verify.proof_spec",
    "ModelSpec": "spec.verify",
    "ProofSpec": "verify.proof_spec",
    "ReferenceSpec": "spec.verify",
    "RuleSpec": "verify.data.audit_data",
    "verify_file": "verify.verify_file",
}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> "Any":
    if name not in _MODULES:
        raise AttributeError(f"module 'padmask' has no attribute {name!r}")
    value = getattr(import_module(f"padmask.{_MODULES[name]}"), name)
    # Python calls this function only for names that the module does not have.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
