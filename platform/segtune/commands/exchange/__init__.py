"""What comes from other places and goes to them: weights in, networks out.

card     The model card of a published network, in the form of the Hugging Face hub.
export   `segtune export`: a checkpoint's encoder as plain weights, or all of it as a graph.
on_record What the tables say of a trial: its scores with intervals, its data, what it took.
publish  `segtune publish`: a network with its model card, in a folder or on the Hugging Face hub.
weights  `segtune weights`: the pretrained weights that a study needs, and whether they are there.
"""
