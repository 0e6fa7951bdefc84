"""From a finished run to one file that a phone, a browser or a hospital can use: made, verified and asked here.

What reads a bundle (`bundle`, `spec`, `preprocess`, `predictor`, `golden`) imports no torch; what makes one does.
"""

from dspkd.deploy.bundle.predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor"]
