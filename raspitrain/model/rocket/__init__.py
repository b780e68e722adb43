"""Random convolutional features with a linear head: MiniRocket, MultiRocket and Hydra."""
