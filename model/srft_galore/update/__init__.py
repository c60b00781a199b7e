"""The arithmetic of a step: parameter by parameter on a CPU, in banks elsewhere.

adamw       one by one: torch's kernel, and the product that brings an update back to its weight
bank        moments, bases and counters of many parameters in few tensors, and a step of them all
banks       which parameters are in banks
layout      where a parameter stands in a bank
one_by_one  a step that treats each parameter by itself
rates       learning rates and the like, where the parameters are
rounding    bfloat16 weights, rounded at random
sections    projected members of a bank that are alike
"""
