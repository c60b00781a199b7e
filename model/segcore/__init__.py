"""Networks, adaptation methods, data, metrics and one training. Knows no Ray.

batch      What goes through a network: a batch of samples, and the classes of a data set.
config     `TrainConfig`: one training as one frozen value.
losses     Dice and cross-entropy, by MONAI.
presets    Complete configurations: `nano`, and three readings of the paper.
pretrain   Makes the packaged nano weights.
registry   Tables of names, whose rows are loaded when they are asked for.
train      `train(config, runtime)`: one training, an `Evaluation` after each epoch.
data/      Data sets, by name.
methods/   Ways of adapting pretrained weights, by name.
metrics/   Overlap and surface distance of masks, with their protocols.
predict/   Prediction from a checkpoint.
systems/   Whole networks, by name.
training/  What a training consists of: schedule, scoring, checkpoints, costs.
"""
