"""What does a head do with a token that it attends to? Its OV circuit, read off the weights."""

import sys
from pathlib import Path

import mechscope as ms
from mechscope.techniques.ov_qk_circuits import copying_scores, top_token_pairs

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/ov_qk_circuits.html")
model = ms.load_model("induction-2l")
pairs = top_token_pairs(model, layer=1, head=0, circuit="OV", k=20)
copying = copying_scores(model).values

out.parent.mkdir(parents=True, exist_ok=True)
pairs.figure().write_html(out, include_plotlyjs=True)
same = int((pairs.rows == pairs.columns).sum())
print(
    f"{out}: {same} of the 20 strongest pairs of a1.h0 map a token to itself: it copies. "
    f"Copying scores of layer 1: {', '.join(f'{float(score):.2f}' for score in copying[1])}."
)
