"""Sums over data-parallel ranks with plain torch.distributed (gloo, NCCL).

collectives  `AllReduce` and `Broadcast`, one message per device and dtype
reducer      `Reducer`: sums that are on their way while the backward pass still runs
"""
