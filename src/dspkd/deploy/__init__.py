"""From a finished run to one file that a phone, a browser or a hospital can use.

`export` makes a bundle and needs torch; `bundle`, `batch` and `serve` read and use one, without torch.
"""

from dspkd.deploy.bundle.predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor"]
