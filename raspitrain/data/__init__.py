"""Signals and their classes: data sets, splits, normalisation, batches and augmentation."""
