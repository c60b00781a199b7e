"""Studies of I-MedSAM: its paper's tables and further ones, each at paper scale and as `_nano`.

`_nano` studies train small networks on rendered polyps: they show how a comparison works and say
nothing about SAM on patients.
"""
