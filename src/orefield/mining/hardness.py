"""How much a sample still has to teach: the length of the loss's gradient at its raw outputs.

`g_i = ||dL/draw_i||` is the *hardness* of sample i (Korhonen et al. 2024, arXiv 2408.03193). It is
never normalized here: every rule depends on ratios only, so a loss scale cancels. A batch in which
few samples carry all of g is worth few samples: that is its effective sample size, `ESS = (sum g)^2
/ sum g^2`, between 1 and B.
"""

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor


def hardness(grad_raw: Float[Tensor, "samples width"]) -> Float32[Tensor, " samples"]:
    """Euclidean norm of each sample's gradient, in float32 whatever the gradient's precision.

    hardness([[3, 0, 4, 0], [0, 0, 0, 0]]) = [5, 0]
    """
    g: Tensor = torch.linalg.vector_norm(grad_raw.float(), dim=1)
    return g


def effective_sample_size(g: Float[Tensor, " samples"]) -> Float64[Tensor, ""]:
    """`(sum g)^2 / sum g^2`: how many equally hard samples the batch is worth.

    7 for seven samples of equal hardness, 1 for a single hard one, 0 when nothing is hard. Samples
    whose hardness is not finite do not count. Nothing is read from the device.
    """
    # double: squares neither overflow nor vanish
    g = torch.nan_to_num(g, nan=0.0, posinf=0.0).double()
    total, squares = g.sum(), g.dot(g)
    return torch.where(squares > 0, total * total / squares, 0.0)


def imbalance(g: Float[Tensor, " samples"]) -> Float64[Tensor, ""]:
    """The paper's tau, at least 1: drawing by hardness is worth that many blind draws.

    `tau = (1 - ||g - 1/B||^2 / sum g^2)^(-1/2)` for g of sum one (Katharopoulos and Fleuret 2018,
    arXiv 1803.00942), which is `sqrt(B sum g^2) / sum g = sqrt(B / ESS)` for any g. 1 when nothing
    is hard.
    """
    ess = effective_sample_size(g)
    return torch.where(ess > 0, (len(g) / ess).sqrt(), 1.0)
