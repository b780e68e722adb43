"""From a model and its data to trained weights: the loop, the loss, the rate's schedule."""
