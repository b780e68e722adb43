"""raspitrain: train, measure and ship 1-D CNNs for signals on the Raspberry Pi itself."""

__version__ = "0.1.0"
