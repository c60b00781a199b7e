"""What arms cost, and whether one is no worse than another and cheaper.

joint_claims  No worse and cheaper at once.
measured      What trials cost: parameters, memory, and time per step by part.
ratios        How many times a reference's memory, optimizer state and seconds an arm takes.
"""
