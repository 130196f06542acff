"""Numba twin of compaction: count in each task's share, prefix sum over the tasks, write."""

import numba
import numpy as np
import torch
from numba import prange

from orefield.system.kernel_cache import kernel


@kernel(parallel=True)
def _compact(mask, tasks, counts, index):
    n, capacity = len(mask), len(index)
    for task in prange(tasks):
        count = 0
        for i in range(task * n // tasks, (task + 1) * n // tasks):
            count += mask[i]
        counts[task] = count
    for task in prange(tasks):
        slot = counts[:task].sum()
        for i in range(task * n // tasks, (task + 1) * n // tasks):
            if mask[i] and slot < capacity:
                index[slot] = i
                slot += 1


def compact(mask, capacity):
    tasks = numba.get_num_threads()
    counts = np.zeros(tasks, np.int64)
    index = torch.zeros(capacity, dtype=torch.int64)
    _compact(mask.contiguous().numpy(), tasks, counts, index.numpy())
    return index, torch.tensor(min(int(counts.sum()), capacity))
