"""Parameter groups: what they may say, and how they are made of a model.

for_model      `for_model`: which weights of a model are projected, and which stay plain AdamW
options        the options of a group and what they may be
checks         whether a group says what is allowed
names          keys that are not ours: slips, those of other optimizers, and the user's own
torch_options  options of torch's AdamW that there are not here
"""
