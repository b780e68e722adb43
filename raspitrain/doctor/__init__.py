"""`python -m raspitrain.doctor`: what would hurt a run on this machine, and the remedy."""
