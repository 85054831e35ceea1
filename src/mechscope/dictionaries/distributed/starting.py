"""Start and stop the communication between the processes that torchrun started."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.distributed.ranks import ALONE, Ranks

NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_starts = itertools.count()


@checked_arguments
@contextmanager
def start_ranks(
    device: Literal["cpu", "cuda"] | None = None, *, timeout_minutes: float = 30
) -> Generator[Ranks]:
    """The ranks that `torchrun` started, inside a `with` block; without torchrun, a single one.

        with start_ranks() as ranks:
            dictionary = build(cfg, 0, ranks=ranks).to(ranks.device)
            train(dictionary, stream, settings, folder="runs/wide")

    Ranks on CPUs communicate through gloo, those on GPUs through NCCL. An existing process group is used, and not
    closed.

    Args:
        device: None means one GPU per process if there are enough, otherwise the CPU.
        timeout_minutes: how long a rank waits for another before it gives up.

    Raises:
        ValueError: for an environment that torchrun did not set up, more processes than GPUs, or another device.
    """
    if device not in ("cpu", "cuda", None):
        raise ValueError(f"device must be 'cpu', 'cuda' or None, not {device!r}.")
    if dist.is_initialized():
        yield _ranks(dist.get_backend() == "nccl")
        return
    size = torchrun_size()
    if size == 1:
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        yield ALONE if chosen == "cpu" else Ranks(device=torch.device(chosen))
        return
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        raise ValueError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set: start "
            f"the processes with `torchrun --nproc-per-node {size} …`, which sets all of them, or unset WORLD_SIZE."
        )
    here = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cuda" and gpus < here:
        raise ValueError(
            f"{here} processes on this machine need one GPU each, but it has {gpus}: start fewer "
            "(--nproc-per-node), or use device='cpu'."
        )
    on_gpu = device == "cuda" or (device is None and gpus >= here)
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, rank, size = next(iter(rendezvous("env://")))
    # The store outlives a process group: with a new prefix, a second start does not find the addresses of the first.
    named = PrefixStore(f"mechscope-{next(_starts)}", store)
    backend = "nccl" if on_gpu else "gloo"
    dist.init_process_group(
        backend, store=named, rank=rank, world_size=size, timeout=timedelta(minutes=timeout_minutes)
    )
    # Not closed after an error: the other ranks would fail at once, and torchrun would end this one before it could
    # report what went wrong. The exit closes everything.
    yield _ranks(on_gpu)
    dist.destroy_process_group()


def torchrun_size() -> int:
    """The number of processes that torchrun started; 1 without torchrun.

    Raises:
        ValueError: if WORLD_SIZE is not a whole number above 0.
    """
    given = os.environ.get("WORLD_SIZE", "1")
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"WORLD_SIZE must be a whole number of at least 1, not {given!r}: torchrun sets it.")
    return int(given)


def _ranks(on_gpu: bool) -> Ranks:
    device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
    return Ranks(dist.get_rank(), dist.get_world_size(), device)
