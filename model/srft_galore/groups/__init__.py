"""Parameter groups: what they may say, and how they are made of a model.

for_model      `for_model`: which weights of a model are projected, and which stay plain AdamW
options        the options of a group and what they may be
torch_options  options of torch's AdamW that there are not here
"""
