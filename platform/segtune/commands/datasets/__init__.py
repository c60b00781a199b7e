"""`segtune data`: what a data set holds, and what is made of it.

data      The command: render, look over, augment, describe, and write for nnU-Net.
data_set  A data set as it is named on the command line.
describe  What is on record of a study's data: patients, images and classes of each split.
noise     How much two annotators of a data set's masks disagree.
"""
