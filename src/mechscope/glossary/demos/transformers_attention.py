"""Demos of the section on transformers: attention, and the routes from input to output."""

from __future__ import annotations

import torch

import mechscope as ms
from mechscope import techniques, viz
from mechscope.data.repeated_tokens import repeated_twice
from mechscope.pages.figures import PageFigure
from mechscope.viz import Marker

TEXT = "The captain came on deck and looked at the sea. The men were asleep, and there was no wind."
REPEATED = " Ahab saw a whale. Ahab saw a whale."


def positional_embedding() -> PageFigure:
    """How alike the vectors of two positions are, by their distance."""
    distances, curves = range(1, 25), {}
    for name in ("ioi-twin", "mini-gelu-2l"):
        W_pos = ms.load_model(name).W_pos.detach()
        unit = torch.nn.functional.normalize(W_pos - W_pos.mean(0), dim=1)
        cosines = unit @ unit.T
        curves[name] = [float(cosines.diagonal(distance).mean()) for distance in distances]
    figure = viz.curves(
        distances,
        curves,
        title="Which positions have similar vectors?",
        x_title="distance between two positions (tokens)",
        y_title="mean cosine (mean vector subtracted)",
        points=True,
    )
    smooth, zigzag = curves.values()
    caption = (
        f"In ioi-twin, neighbours are the most alike ({smooth[0]:.2f}), and the cosine falls steadily to "
        f"{smooth[11]:.2f} at distance 12. In mini-gelu-2l neighbours ({zigzag[0]:.2f}) are less alike than positions "
        f"two apart ({zigzag[1]:.2f}): it tells even places from odd ones."
    )
    return PageFigure("positional_embedding", figure, caption)


def query_key_value() -> PageFigure:
    """One head's score is a dot product; its value is another thing."""
    model = ms.load_model("mini-attn-only-2l")
    _, cache = model.run_with_cache(REPEATED)
    tokens = model.to_str_tokens(REPEATED)
    layer, head = 1, 3
    query, keys = cache["q", layer][0, -1, head], cache["k", layer][0, :, head]
    scores = (keys @ query / model.cfg.d_head**0.5).detach()
    lengths = (cache["v", layer][0, :, head] @ model.W_O[layer, head]).norm(dim=-1).detach()
    best = int(scores.argmax())
    figure = viz.bars(
        [f"{position} {piece}" for position, piece in enumerate(tokens)],
        {"score (query · key ÷ √d_head)": scores, "length of what would be moved": lengths},
        title="Head 1.3 at the last token: where it looks, and what it could fetch",
        x_title="position and token of the key",
        y_title="score, or length",
        number_format=".1f",
    )
    caption = (
        f"The highest score, {scores[best]:.1f}, goes to {tokens[best]!r} at position {best}. The longest value, "
        f"{lengths.max():.2f}, stands at position {int(lengths.argmax())}: being found and being worth fetching are "
        "separate."
    )
    return PageFigure("query_key_value", figure, caption)


def attention_pattern() -> PageFigure:
    """The pattern of an induction head on random tokens that are repeated."""
    model = ms.load_model("mini-attn-only-2l")
    half = 12
    tokens = 260 + repeated_twice(1, half, 240, torch.Generator().manual_seed(0))  # no single bytes
    tokens[0, 0] = model.tokenizer.bos_token_id
    _, cache = model.run_with_cache(tokens)
    pattern = cache["pattern", 1][0, 3]
    on_stripe = float(pattern.diagonal(1 - half)[2:].mean())  # queries of the second copy
    resting = float(pattern[2 : half + 1, 0].mean())
    figure = viz.attention_pattern(
        pattern, title="Head 1.3 on repeated random tokens", tokens=model.to_str_tokens(tokens[0])
    )
    caption = (
        f"In the second copy, {on_stripe:.0%} of the attention lies on the stripe {half - 1} tokens back: on the token "
        f"that followed last time. In the first copy, {resting:.0%} rests on the first token."
    )
    return PageFigure("attention_pattern", figure, caption)


def causal_mask() -> PageFigure:
    """A changed token has no effect on anything before it."""
    model = ms.load_model("mini-gelu-2l")
    tokens = model.to_tokens(TEXT)
    changed, at = tokens.clone(), 20
    changed[0, at] = model.to_tokens("z", prepend_bos=False)[0, 0]
    change = (model(changed) - model(tokens))[0].detach().abs().mean(-1)
    figure = viz.curves(
        range(len(change)),
        {"mean change": change},
        title="One token is changed",
        x_title="position",
        y_title="mean change of a logit",
        markers=[Marker(at, "the changed token")],
        points=True,
    )
    caption = (
        f"Up to position {at - 1} the largest change is {change[:at].max():.1g}. At the changed token it is "
        f"{change[at]:.2f}, and {change[at + 1 :].mean():.2f} on average afterwards."
    )
    return PageFigure("causal_mask", figure, caption)


def attention_sink() -> PageFigure:
    """How much attention rests on position 0, and how much of what is moved comes from there."""
    model = ms.load_model("mini-gelu-2l")
    measured = techniques.attention_statistics(model, model.to_tokens(TEXT))
    looked, moved = (result.values.values for result in (measured.first, measured.first_by_norm))
    names = [f"{layer}.{head}" for layer in range(2) for head in range(4)]
    figure = viz.bars(
        names,
        {"of the attention": looked.ravel(), "of what is moved (by length)": moved.ravel()},
        title="The share of the first token, head by head",
        x_title="head",
        y_title="share of position 0",
        number_format=".2f",
    )
    top = int(looked.argmax())
    caption = (
        f"Head {names[top]} gives {looked.flat[top]:.0%} of its attention to position 0, which supplies "
        f"{moved.flat[top]:.0%} of what it moves. The four heads of layer 0 give it at most {looked[0].max():.0%}."
    )
    return PageFigure("attention_sink", figure, caption)


def massive_activation() -> PageFigure:
    """The length of the stream at each position, layer by layer."""
    model = ms.load_model("mini-attn-only-4l")
    _, cache = model.run_with_cache(TEXT)
    lengths = torch.stack([cache["resid_post", layer][0].norm(dim=-1) for layer in range(4)])
    figure = viz.heatmap(
        lengths,
        title="Length of the residual stream in mini-attn-only-4l",
        x_title="position",
        y_title="after layer",
        unit="length",
        write_numbers=False,
        top_row_first=False,
    )
    ratio = lengths[:, 0] / lengths.median(dim=1).values
    caption = (
        f"After the last layer the first token's vector is {ratio[3]:.1f} times as long as the median one, after "
        f"layer 0 {ratio[0]:.1f} times. That is large, but massive activations of large models are dozens of times "
        "as long."
    )
    return PageFigure("massive_activation", figure, caption)


def kv_cache() -> PageFigure:
    """How many positions must be computed to write 50 tokens, with and without stored keys and values."""
    model = ms.load_model("mini-gelu-1l")
    computed: dict[str, list[int]] = {"with stored keys and values": [], "without": []}
    for counts, stored in zip(computed.values(), (True, False), strict=True):

        def count(q: torch.Tensor, hook: object, counts: list[int] = counts) -> None:
            counts.append(q.shape[1] + (counts[-1] if counts else 0))

        with model.hooks([("blocks.0.attn.hook_q", count)]):
            model.generate(
                "The captain", max_new_tokens=50, do_sample=False, use_past_kv_cache=stored, verbose=False
            )
    figure = viz.curves(
        range(1, 51),
        computed,
        title="Positions that pass through the model while it writes",
        x_title="tokens written",
        y_title="positions computed so far",
    )
    with_, without = (counts[-1] for counts in computed.values())
    caption = (
        f"For 50 tokens, {with_:,} positions are computed with stored keys and values, and {without:,} without: "
        f"{without / with_:.0f} times as many, and the ratio grows with the length of the text."
    )
    return PageFigure("kv_cache", figure, caption)


def unembedding() -> PageFigure:
    """The tokens that one neuron promotes and suppresses: the one with the strongest effect on a single token."""
    model = ms.load_model("mini-gelu-1l")
    logits = (model.W_out[0] * model.ln_final.w @ model.W_U).detach()  # [neuron d_vocab]
    neuron = int(logits.max(dim=1).values.argmax())
    reading = techniques.neuron_tokens(model, 0, neuron, top=8)
    values = reading.logits.values.values[0]
    names = [*reading.top_texts[0], *reversed(reading.bottom_texts[0])]
    figure = viz.ranked_bars(
        names,
        values,
        title=f"Neuron {neuron} of mini-gelu-1l, read through the unembedding",
        x_title="change of the logit when the neuron is 1, before the norm's division",
        y_title="the 8 highest and the 8 lowest tokens",
        number_format=".2f",
    )
    caption = (
        f"It raises {names[0]} most ({values[0]:.2f}) and lowers {names[-1]} most ({values[-1]:.2f}). A list of top "
        "tokens exists for every direction: look for what they have in common, and for whether the bottom agrees."
    )
    return PageFigure("unembedding", figure, caption)


def weight_tying() -> PageFigure:
    """How symmetric the direct path is, and how symmetric tying would force it to be."""
    model = ms.load_model("mini-attn-only-1l")
    W_E, W_U = model.W_E.detach(), (model.ln_final.w[:, None] * model.W_U).detach()
    symmetry = {}
    for name, table in {"as trained: W_E W_U": W_E @ W_U, "if tied: W_E W_Eᵀ": W_E @ W_E.T}.items():
        off = table - table.mean()
        symmetry[name] = float((off * off.T).sum() / off.square().sum())
    figure = viz.bars(
        list(symmetry),
        {"correlation": list(symmetry.values())},
        title="Is “A, then B” as likely as “B, then A”?",
        x_title="table of current and next tokens",
        y_title="correlation of the table with its transpose",
        number_format=".2f",
    )
    trained, tied = symmetry.values()
    caption = (
        f"The untied model's table correlates with its transpose by {trained:.2f}: order matters. Tied weights "
        f"would make it {tied:.2f}, whatever is learnt."
    )
    return PageFigure("weight_tying", figure, caption)


def path_expansion() -> PageFigure:
    """The logit of a copied token, split over the routes of a two-layer model."""
    model = ms.load_model("mini-attn-only-2l")
    tokens = repeated_twice(8, 20, 500, torch.Generator().manual_seed(0))
    tokens[:, 0] = 0  # the BOS of this model
    _, cache = model.run_with_cache(tokens[:, :-1])
    parts, names = cache.get_full_resid_decomposition(pos_slice=-1, return_labels=True)
    logits = cache.logit_attrs(parts, tokens[:, -1], pos_slice=-1).detach().mean(1)
    figure = viz.bars(
        names,
        {"mean over 8 prompts": logits},
        title="Who raises the logit of the token that is repeated?",
        x_title="route: a part and its way to the output",
        y_title="contribution to the right token's logit",
        number_format=".2f",
    )
    last = float(logits[[i for i, name in enumerate(names) if name.startswith("L1")]].sum())
    caption = (
        f"The heads of layer 1 contribute {last:.1f} of {logits.sum():.1f}. The embedding's own route, which only "
        f"knows the current token, contributes {logits[names.index('embed')]:.1f}: random tokens cannot be predicted "
        "from it."
    )
    return PageFigure("path_expansion", figure, caption)


def direct_path() -> PageFigure:
    """What the shortest route alone would predict, token by token."""
    model = ms.load_model("mini-attn-only-1l")
    logits, cache = model.run_with_cache(TEXT)
    tokens = model.to_tokens(TEXT)[0]
    stream = cache["embed"] / cache["ln_final.hook_scale"]
    alone = ((stream * model.ln_final.w + model.ln_final.b) @ model.W_U + model.b_U)[0, :-1].detach()
    losses = {
        name: -values.log_softmax(-1).gather(1, tokens[1:, None])[:, 0]
        for name, values in {"direct path alone": alone, "whole model": logits[0, :-1].detach()}.items()
    }
    figure = viz.curves(
        range(1, len(tokens)),
        losses,
        title="Predicting from the current token alone",
        x_title="position of the predicted token",
        y_title="loss (nats)",
        points=True,
    )
    short, full = (float(loss.mean()) for loss in losses.values())
    caption = (
        f"The embedding's own route, with the norm's scale of the full run, has a mean loss of {short:.2f} nats on "
        f"this text; the one-layer model has {full:.2f}, and guessing {torch.tensor(512.0).log():.2f}."
    )
    return PageFigure("direct_path", figure, caption)


def skip_trigram() -> PageFigure:
    """The strongest pairs of "token attended to" and "token made likelier" of one head."""
    model = ms.load_model("mini-attn-only-1l")
    pairs = techniques.top_token_pairs(model, 0, 0, "OV", k=12)
    sources, targets = (
        [model.to_single_str_token(int(token)) for token in ids] for ids in (pairs.rows, pairs.columns)
    )
    values = pairs.values.values.values
    figure = viz.ranked_bars(
        [f"{source!r} … → {target!r}" for source, target in zip(sources, targets, strict=True)],
        values,
        title="Head 0.0 of mini-attn-only-1l: after seeing A, expect C",
        x_title="entry of the OV circuit (logits, before the norms' division)",
        y_title="A … → C",
        number_format=".2f",
    )
    same = sum(source == target for source, target in zip(sources, targets, strict=True))
    caption = (
        f"The strongest pair is {sources[0]!r} → {targets[0]!r} with {values[0]:.2f}. In {same} of the "
        f"{len(values)} pairs A and C are the same token; most others finish what A has begun, a bracket or a word."
    )
    return PageFigure("skip_trigram", figure, caption)


def in_context_learning() -> PageFigure:
    """Random tokens and their copy: only a model that uses context can predict the second half."""
    tokens = repeated_twice(32, 25, 500, torch.Generator().manual_seed(0))
    tokens[:, 0] = 0  # the BOS of these models
    losses = {}
    for name in ("mini-gelu-1l", "mini-gelu-2l"):
        loss = ms.load_model(name)(tokens, return_type="loss", loss_per_token=True)
        losses[name] = loss.detach().mean(0)
    figure = viz.curves(
        range(1, tokens.shape[1]),
        losses,
        title="25 random tokens, then the same again",
        x_title="position of the predicted token",
        y_title="mean loss (nats)",
        markers=[Marker(26, "the copy begins")],
    )
    one, two = (float(loss[26:].mean()) for loss in losses.values())
    caption = (
        f"In the copy, the two-layer model's loss falls to {two:.2f} nats. The one-layer model stays at {one:.2f}: "
        "it cannot find out what came after the last time."
    )
    return PageFigure("in_context_learning", figure, caption)
