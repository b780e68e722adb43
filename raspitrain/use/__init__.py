"""Use a trained model: a file, a C engine, and nothing else. No torch, no numpy.

from raspitrain.use import load

model = load("model.rpt")
prediction = model.predict(window)    # (channels, length), raw values
prediction.label, prediction.probability
"""

from raspitrain.use.model import Model, Prediction, load

__all__ = ["Model", "Prediction", "load"]
