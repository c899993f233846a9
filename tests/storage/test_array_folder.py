"""Folders of npy files."""

from __future__ import annotations

import os

import numpy as np

from padmask.storage.array_folder import folder_version


def test_version_has_one_device_number(tmp_path):
    """Machines that share a folder may have other device numbers. They compare all other numbers."""
    for name in ("input_ids.npy", "mask.npy"):
        np.save(tmp_path / name, np.zeros((2, 3), np.int32))
    device, *others = folder_version(str(tmp_path))
    assert device == os.stat(tmp_path).st_dev
    assert len(others) % 4 == 0
    assert others[::4] == [os.stat(tmp_path / name).st_ino for name in ("", "input_ids.npy", "mask.npy")]
