"""Bytes that two data-parallel ranks exchange, counted where they are handed over."""

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import nn
from torch.multiprocessing.spawn import spawn

from srft_galore import AllReduce, Broadcast, GaLoreAdamW

from .optimizers import COMMON
from .shapes import attention_shapes

WORLD = 2


def rank_main(rank: int, port: int, out: str, width: int, gap: int, shrink: int) -> None:
    """One process: two intervals of steps; the first writes the bytes of each step to `out`."""
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=WORLD)
    torch.manual_seed(rank)
    params = [nn.Parameter(torch.zeros(s)) for s in attention_shapes(shrink).values()]
    gradients = [torch.randn_like(p) for p in params]
    group = {"params": params, "rank": width, "update_proj_gap": gap, "oversample": 8}
    options = {"start": "warm", "stagger": True, "refresh_from": "previous"}
    optimizer = GaLoreAdamW([{**group, **options}], **COMMON)
    all_reduce, broadcast, sent = AllReduce(), Broadcast(), list[int]()
    for _ in range(2 * gap):
        for p, G in zip(params, gradients, strict=True):
            p.grad = G.clone()
        before = all_reduce.nbytes + broadcast.nbytes
        optimizer.reduce(all_reduce, broadcast, rank=rank, world=WORLD)
        optimizer.step()
        sent.append(all_reduce.nbytes + broadcast.nbytes - before)
    if rank == 0:
        Path(out).write_text(" ".join(map(str, sent)))
    torch.distributed.destroy_process_group()


def measure_wire(rank: int, gap: int, shrink: int) -> list[dict[str, Any]]:
    """Bytes of the tensors summed per step in the second interval, against dense gradients."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        out = str(Path(folder) / "sent")
        arguments = (port, out, rank, gap, shrink)
        spawn(rank_main, arguments, nprocs=WORLD)
        sent = [int(word) for word in Path(out).read_text().split()]
    dense = 4 * sum(m * n for m, n in attention_shapes(shrink).values())
    mean = sum(sent[gap:]) / gap
    row = {"ranks": WORLD, "rank": rank, "gap": gap, "dense MB": dense / 1e6}
    return [
        row | {"MB a step": mean / 1e6, "largest": max(sent) / 1e6, "dense / sent": dense / mean}
    ]
