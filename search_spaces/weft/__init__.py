"""Studies of WEFT: its paper's tables and further ones, each at paper scale and as `_nano`.

`_nano` studies train a small transformer on rendered fields: they show how a comparison works and
say nothing about Uni-Perceiver on photographs from above.
"""
