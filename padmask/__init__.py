"""Pad and mask sequence data, and prove that models ignore the padding.

The public names load what they need when they are first used: importing `padmask` loads
neither TensorFlow nor rich nor click, and not even NumPy.
"""

from importlib import import_module

# Not typing's: where `python -m padmask` runs this, modules are still looked for in the current folder
# first, and only what Python has loaded by now is safe to import.
TYPE_CHECKING = False

__version__ = "0.1.0"

if TYPE_CHECKING:
    from typing import Any

    from padmask.errors import DataError as DataError
    from padmask.errors import MissingExtraError as MissingExtraError
    from padmask.errors import OutputError as OutputError
    from padmask.errors import PadmaskError as PadmaskError
    from padmask.errors import RowError as RowError
    from padmask.errors import SpecError as SpecError
    from padmask.errors import UnreadableError as UnreadableError
    from padmask.files import FileOptions as FileOptions
    from padmask.inspection import ShowSpec as ShowSpec
    from padmask.inspection import inspect_file as inspect_file
    from padmask.jobs.driver import pad_dataset as pad_dataset
    from padmask.kernel import Padded as Padded
    from padmask.kernel import sequence_mask as sequence_mask
    from padmask.ledger import Ledger as Ledger
    from padmask.ledger import PadResult as PadResult
    from padmask.ledger import UnpadResult as UnpadResult
    from padmask.pipeline import pad_file as pad_file
    from padmask.sampled import RuleSpec as RuleSpec
    from padmask.sequences import pad as pad
    from padmask.sequences import pad_sequences as pad_sequences
    from padmask.spec import Column as Column
    from padmask.spec import MaskSpec as MaskSpec
    from padmask.spec import PadSpec as PadSpec
    from padmask.spec import RowPolicy as RowPolicy
    from padmask.spec import UnpadSpec as UnpadSpec
    from padmask.table import pad_table as pad_table
    from padmask.unpadding.files import unpad_file as unpad_file
    from padmask.unpadding.tables import unpad_table as unpad_table
    from padmask.verification import ModelProof as ModelProof
    from padmask.verification import ProofSpec as ProofSpec
    from padmask.verification import verify_file as verify_file

_ROOMS = {
    "DataError": "errors",
    "OutputError": "errors",
    "MissingExtraError": "errors",
    "PadmaskError": "errors",
    "RowError": "errors",
    "SpecError": "errors",
    "UnreadableError": "errors",
    "ShowSpec": "inspection",
    "inspect_file": "inspection",
    "Ledger": "ledger",
    "PadResult": "ledger",
    "UnpadResult": "ledger",
    "FileOptions": "files",
    "Padded": "kernel",
    "sequence_mask": "kernel",
    "pad_file": "pipeline",
    "pad_dataset": "jobs.driver",
    "pad": "sequences",
    "pad_sequences": "sequences",
    "Column": "spec",
    "MaskSpec": "spec",
    "PadSpec": "spec",
    "RowPolicy": "spec",
    "UnpadSpec": "spec",
    "pad_table": "table",
    "unpad_table": "unpadding.tables",
    "unpad_file": "unpadding.files",
    "ModelProof": "verification",
    "ProofSpec": "verification",
    "RuleSpec": "sampled",
    "verify_file": "verification",
}

__all__ = ["__version__", *_ROOMS]


def __getattr__(name: str) -> "Any":
    if name not in _ROOMS:
        raise AttributeError(f"module 'padmask' has no attribute {name!r}")
    return getattr(import_module(f"padmask.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
