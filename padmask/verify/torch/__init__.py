"""Functions that load, run and trace PyTorch modules. Only these modules import PyTorch."""
