"""What the process that checks are forked from has imported: everything that takes long to import."""

import os

# The learner's small tensors gain nothing from threads, and a fork must not happen while any run.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import einops
import jaxtyping
import numpy
import plotly.graph_objects as graph_objects
import torch

from mechscope.course import checking

torch.set_num_threads(1)

__all__ = ["checking", "einops", "graph_objects", "jaxtyping", "numpy", "torch"]
