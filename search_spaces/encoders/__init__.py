"""Studies of the dual encoder's encoders: what another one in the place of SAM2, or of Depth
Anything V2, is worth.

`encoders_nano` trains small ones on rendered scenes: it shows how the comparison works and says
nothing about liver landmarks of patients.
"""
