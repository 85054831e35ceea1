"""A probe reads "this token has occurred before". Does the model use the direction that the probe found?"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import mechscope as ms
from mechscope import techniques, viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter
from mechscope.utils import tokenize_and_concatenate


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("mini-gelu-3l")
    library = read_standard_library()  # every bundled model was trained without HELD_OUT_CODE
    code = "\n".join(library[module] for module in HELD_OUT_CODE)
    rows = tokenize_and_concatenate([code], model.tokenizer, max_length=model.cfg.n_ctx)["tokens"]
    generator = torch.Generator().manual_seed(seed)
    rows = rows[torch.randperm(len(rows), generator=generator)[:240]]
    label = (rows[:, :, None] == rows[:, None, :]).tril(-1).any(-1)[:, 1:].numpy()
    train, test = slice(0, 160), slice(160, None)
    place = np.broadcast_to(np.arange(label.shape[1]), label.shape)
    by_position = float(roc_auc_score(label[test].ravel(), place[test].ravel()))
    streams, _ = model.run_with_cache(rows)[1].accumulated_resid(return_labels=True)
    usual = float(model(rows[test], return_type="loss"))

    def cost(direction: torch.Tensor) -> float:
        with techniques.without_direction(model, direction):
            return float(model(rows[test], return_type="loss")) - usual

    scores, costs = [], []
    for stream in streams[:, :, 1:].numpy():
        x = stream / stream.std()
        probe = LogisticRegression(max_iter=300).fit(x[train].reshape(-1, x.shape[-1]), label[train].ravel())
        read = probe.decision_function(x[test].reshape(-1, x.shape[-1]))
        scores.append(float(roc_auc_score(label[test].ravel(), read)))
        costs.append(cost(torch.as_tensor(probe.coef_[0], dtype=torch.float32)))
    random = [cost(torch.randn(model.cfg.d_model, generator=generator)) for _ in range(20)]
    figure = viz.bars(
        [f"{layer} layers" for layer in range(len(costs))],
        {"the probe's direction": costs, "highest of 20 random directions": [max(random)] * len(costs)},
        title="Loss added when nothing may be written along a direction",
        x_title="where the probe was fitted",
        y_title="added loss (nats)",
        number_format=".3f",
    )
    best = int(np.argmax(scores))
    return StartingPoint(
        baseline={
            "AUROC of the best probe": scores[best],
            "AUROC of the position alone": by_position,
            "added loss without the best probe's direction (nats)": costs[best],
            "added loss without a random direction, median of 20 (nats)": float(np.median(random)),
        },
        figure=figure,
        caption=f"After {best} layers a probe tells with an AUROC of {scores[best]:.2f} whether a token has occurred "
        f"before (its position alone: {by_position:.2f}). Erasing that direction costs {costs[best]:.3f} nats; random "
        f"directions cost {np.median(random):.3f} in the median and {max(random):.3f} at most.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
