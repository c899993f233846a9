"""What holds for all tests: TensorFlow is as quiet as the command makes it, whoever imports it first."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
