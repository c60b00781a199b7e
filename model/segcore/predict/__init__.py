"""Prediction from a checkpoint: `Predictor` for arrays, `predict_files` and
`predict_volumes` for files.

boxes      Box prompts of images to predict, from a file of the user's.
coco       Predictions as instances in COCO's form, which CVAT imports as masks.
drawing    What a prediction looks like: palette masks, contours, overlays.
export     A trained network's SAM2 as plain weights, for programs without segtune.
files      From files to files: decode ahead, predict in batches, write behind.
given_masks  Masks that another program predicted, read back to be scored.
graph      A whole predictor as one graph: ONNX, or torch's own export.
label_noise/  How much two annotators disagree: truth against truth that another might have drawn.
outputs    What predictions leave on disk: files that are whole, or not there.
predictor  `Predictor`: images in, masks out, from a checkpoint and nothing else.
sources    Where images to predict come from: files, folders of them, and videos.
video      Videos by PyAV: frames with their time stamps in, H.264 that browsers play out.
volumes    Volumes in, volumes out: labels of the same geometry.
"""

from segcore.predict.predictor import Predicted, Predictor

__all__ = ["Predicted", "Predictor"]
