"""Functions that load, run and trace PyTorch modules. The modules of this package import PyTorch."""
