"""Networks, adaptation methods, data, metrics and one training. Knows no Ray.

batch      What goes through a network: a batch of samples, prompts, a prediction.
classes    The classes of a data set, and labels of them.
config     `TrainConfig`: one training as one frozen value.
files      Where what is made once is kept, and how a file comes to be whole or not there.
pretrain   Makes the packaged nano weights.
registry   Configurations that a table offers by name, and how they are validated and written.
tables     Tables of names, whose rows are loaded when they are asked for.
train      `python -m segcore.train`, and `train(config, runtime)`.
data/      Data sets, by name.
losses/    Losses, by name.
methods/   Ways of adapting pretrained weights, by name.
metrics/   Overlap and surface distance of masks, with their protocols.
predict/   Prediction from a checkpoint.
presets/   Complete configurations: small ones, and the readings of each paper.
systems/   Whole networks, by name.
testing/   The contract tests of the tables, for authors of rows of their own.
training/  What a training consists of: loop, schedule, scoring, checkpoints, costs.
transforms/  What may happen to training samples, further ones by name.
"""
