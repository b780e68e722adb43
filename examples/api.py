"""From arrays to a saved model, and what it makes of new ones: python examples/api.py"""

import numpy as np

import raspitrain

rng = np.random.default_rng(0)
time = np.arange(64) / 50  # seconds
y = rng.choice(["walk", "run"], 80)
hertz = np.where(y == "walk", 2, 6)[:, None, None]
X = np.sin(2 * np.pi * (hertz * time + rng.random((80, 3, 1)))) + rng.normal(0, 0.3, (80, 3, 64))

result = raspitrain.train(X, y, channel_names=["ax", "ay", "az"], rate=50, epochs=20)
print(f"test accuracy {result.metrics['test_accuracy']:.2f}, everything in {result.folder}")
print(f"saved as {result.save('model.rpt')}")

model = raspitrain.load("model.rpt")  # needs no torch
print(model.predict(X[:3]), model.probabilities(X[:3]).round(3))
