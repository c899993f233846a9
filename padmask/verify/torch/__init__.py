"""Functions that load, run and trace PyTorch modules. Only the modules of this package import PyTorch."""
