"""One training: its schedule, its state, and what it tells of itself.

averaging   A running mean of the trained weights, which is scored and kept in their place.
blocks      Transformer blocks that keep no activations, or are compiled.
casts       Fewer casts on a GPU that computes in bfloat16.
checkpoint  Checkpoints: `best.safetensors` + `config.json` to use, `last.pt` to go on from.
costs       Measured seconds and bytes of a training.
ensemble    Several trainings of one network as a network: their probabilities are averaged.
evaluation  How a training is scored: metrics, resolutions, and what chooses the best epoch.
events      What a training tells the world after each epoch.
inference   A network on one batch, and what it says of each image: labels, probabilities,
            pictures.
loop        The loop of one training, and the state that it carries from step to step.
microbatch  The largest microbatch that a GPU holds.
passes      Forward and backward passes, launched kernel by kernel or replayed as CUDA graphs.
predicting  What a system says of each sample of a split.
restore     A checkpoint folder as the network that it describes, with nothing of its training
            left.
retest      A trained network, or masks from elsewhere, tested on any data set.
runtime     Where a training runs: its device, its peers, and where it goes on from.
schedule    How long, how fast and in what portions a system trains.
scoring     Score a system over a split: each image once, over all workers, whatever their number.
splits      The splits that a training is scored on: val again and again, test and the external
            set once.
tta         Test-time augmentation: an image seen flipped, at several scales and through windows,
            averaged.
"""
