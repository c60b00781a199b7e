"""Studies of the baselines: what the dual encoder is worth against networks that everybody knows.

`baselines_nano` trains small ones on rendered scenes: it shows how the comparison works and says
nothing about liver landmarks of patients.
"""
