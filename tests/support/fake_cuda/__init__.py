"""A CUDA device that is not there: what would be launched on it, copied to it and waited for.

Tensors on `cuda:0` have shapes, dtypes and strides and no numbers (torch's FakeTensorMode); those
on the CPU are real. An operator that mixes devices or dtypes wrongly raises as on a GPU. What the
host reads from the device is a wait, and reads as ones.

Not as on a GPU: the backward pass is walked in Python, since torch's engine wants a driver; which
attention kernel runs is assumed; nothing is timed.

backward  The backward pass of torch's engine, node by node.
counting  Operators, casts, waits, copies, FLOPs and bytes.
device    Everything of torch that a training asks of a CUDA device.
"""

from support.fake_cuda.counting import Counts
from support.fake_cuda.device import FakeCuda, fake_cuda

__all__ = ["Counts", "FakeCuda", "fake_cuda"]
