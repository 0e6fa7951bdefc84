"""Read, verify and use a bundle: one file that needs no torch."""

from dspkd.deploy.bundle.predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor"]
