"""Prediction from a checkpoint: `Predictor` for arrays, `predict_files` for files."""

from segcore.predict.predictor import Predicted, Predictor

__all__ = ["Predicted", "Predictor"]
