"""GPT-2 written by hand, without access to its activations: the baseline for measurements."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open

EPS = 1e-5


class PlainGPT2:
    """GPT-2's forward pass over the tensors of its published file layout.

    Args:
        weights: tensors by their published names (`h.0.attn.c_attn.weight` …).
        n_layers, n_heads: the shape that names do not tell.
    """

    def __init__(self, weights: dict[str, torch.Tensor], n_layers: int, n_heads: int) -> None:
        self.weights = weights
        self.n_heads = n_heads
        self.layers = [
            {
                part: weights[f"h.{layer}.{part}"]
                for part in (
                    "ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias",
                    "attn.c_proj.weight", "attn.c_proj.bias", "ln_2.weight", "ln_2.bias",
                    "mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias",
                )
            }
            for layer in range(n_layers)
        ]  # fmt: skip

    def residual(
        self, tokens: torch.Tensor, past: list[tuple[torch.Tensor, torch.Tensor]] | None = None
    ) -> torch.Tensor:
        """Tokens [batch pos] to the normalised final residual stream; `past` grows in place."""
        batch, length = tokens.shape
        offset = past[0][0].shape[2] if past else 0
        x = self.weights["wte.weight"][tokens] + self.weights["wpe.weight"][offset : offset + length]
        width = x.shape[-1]
        for index, p in enumerate(self.layers):
            h = F.layer_norm(x, (width,), p["ln_1.weight"], p["ln_1.bias"], EPS)
            h = torch.addmm(p["attn.c_attn.bias"], h.view(-1, width), p["attn.c_attn.weight"])
            q, k, v = h.view(batch, length, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
            if past is not None:
                if offset:
                    k = torch.cat([past[index][0], k], 2)
                    v = torch.cat([past[index][1], v], 2)
                    past[index] = (k, v)
                else:
                    past.append((k, v))
            z = F.scaled_dot_product_attention(q, k, v, is_causal=length > 1)
            z = z.transpose(1, 2).reshape(-1, width)
            x = x + torch.addmm(p["attn.c_proj.bias"], z, p["attn.c_proj.weight"]).view_as(x)
            h = F.layer_norm(x, (width,), p["ln_2.weight"], p["ln_2.bias"], EPS)
            h = torch.addmm(p["mlp.c_fc.bias"], h.view(-1, width), p["mlp.c_fc.weight"])
            h = F.gelu(h, approximate="tanh")
            x = x + torch.addmm(p["mlp.c_proj.bias"], h, p["mlp.c_proj.weight"]).view_as(x)
        return F.layer_norm(x, (width,), self.weights["ln_f.weight"], self.weights["ln_f.bias"], EPS)

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [batch pos] to logits [batch pos d_vocab]."""
        return self.residual(tokens) @ self.weights["wte.weight"].T

    def cache(self, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every activation of a pass, kept as it comes: the same work in the open, with nothing around it."""
        batch, length = tokens.shape
        kept: dict[str, torch.Tensor] = {}
        embed = self.weights["wte.weight"][tokens]
        x = embed + self.weights["wpe.weight"][:length]
        kept |= {"embed": embed, "resid": x}
        width = x.shape[-1]
        future = torch.ones(length, length, dtype=torch.bool).triu(1)

        def norm(x: torch.Tensor, name: str, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
            centred = x - x.mean(-1, keepdim=True)
            scale = (centred.pow(2).mean(-1, keepdim=True) + EPS).sqrt()
            normalized = centred / scale
            kept[f"{name}.scale"], kept[f"{name}.normalized"] = scale, normalized
            return normalized * weight + bias

        for index, p in enumerate(self.layers):
            h = norm(x, f"{index}.ln_1", p["ln_1.weight"], p["ln_1.bias"])
            h = torch.addmm(p["attn.c_attn.bias"], h.view(-1, width), p["attn.c_attn.weight"])
            q, k, v = h.view(batch, length, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
            scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(future, -torch.inf)
            pattern = scores.softmax(-1)
            z = (pattern @ v).transpose(1, 2)
            attn_out = torch.addmm(
                p["attn.c_proj.bias"], z.reshape(-1, width), p["attn.c_proj.weight"]
            ).view_as(x)
            mid = x + attn_out
            h = norm(mid, f"{index}.ln_2", p["ln_2.weight"], p["ln_2.bias"])
            pre = torch.addmm(p["mlp.c_fc.bias"], h.view(-1, width), p["mlp.c_fc.weight"])
            post = F.gelu(pre, approximate="tanh")
            mlp_out = torch.addmm(p["mlp.c_proj.bias"], post, p["mlp.c_proj.weight"]).view_as(x)
            x = mid + mlp_out
            parts = {
                "q": q,
                "k": k,
                "v": v,
                "scores": scores,
                "pattern": pattern,
                "z": z,
                "attn_out": attn_out,
            }
            parts |= {"mid": mid, "pre": pre, "post": post, "mlp_out": mlp_out, "resid": x}
            kept |= {f"{index}.{name}": value for name, value in parts.items()}
        final = norm(x, "ln_f", self.weights["ln_f.weight"], self.weights["ln_f.bias"])
        kept["logits"] = final @ self.weights["wte.weight"].T
        return kept

    def generate(self, tokens: torch.Tensor, count: int) -> torch.Tensor:
        """The likeliest continuation, with a key/value cache."""
        past: list[tuple[torch.Tensor, torch.Tensor]] = []
        read = tokens
        for _ in range(count):
            logits = self.residual(read, past)[:, -1] @ self.weights["wte.weight"].T
            read = logits.argmax(-1, keepdim=True)
            tokens = torch.cat([tokens, read], 1)
        return tokens


def load_plain(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a saved GPT-2, copied out of the file."""
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        return {
            name.removeprefix("transformer."): file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118 - not a mapping
        }


def load_and_process_plain(folder: Path) -> dict[str, torch.Tensor]:
    """Load GPT-2 and process it by hand: fold the norms, centre what writes, centre the unembedding.

    The result is in the classic layout; it is the work that `load_model` is compared with.
    """
    source = load_plain(folder)
    n_layers = 1 + max(int(name.split(".")[1]) for name in source if name.startswith("h."))
    width = source["wte.weight"].shape[1]

    def centred(weight: torch.Tensor) -> torch.Tensor:
        return weight - weight.mean(-1, keepdim=True)

    out = {"embed": centred(source["wte.weight"]), "pos": centred(source["wpe.weight"])}
    for layer in range(n_layers):
        at = f"h.{layer}."
        for read, norm in (("attn.c_attn", "ln_1"), ("mlp.c_fc", "ln_2")):
            weight, scale = source.pop(f"{at}{read}.weight"), source[f"{at}{norm}.weight"]
            out[f"{at}{read}.bias"] = source[f"{at}{read}.bias"] + source[f"{at}{norm}.bias"] @ weight
            folded = weight * scale[:, None]
            out[f"{at}{read}.weight"] = folded - folded.mean(0, keepdim=True)
        for write in ("attn.c_proj", "mlp.c_proj"):
            out[f"{at}{write}.weight"] = centred(source.pop(f"{at}{write}.weight"))
            out[f"{at}{write}.bias"] = centred(source[f"{at}{write}.bias"])
        value = slice(2 * width, 3 * width)
        out[f"{at}attn.c_proj.bias"] = (
            out[f"{at}attn.c_proj.bias"]
            + out[f"{at}attn.c_attn.bias"][value] @ out[f"{at}attn.c_proj.weight"]
        )
        out[f"{at}attn.c_attn.bias"][value] = 0
    unembed = source["wte.weight"] * source["ln_f.weight"]
    out["unembed.bias"] = source["wte.weight"] @ source["ln_f.bias"]
    unembed -= unembed.mean(1, keepdim=True)
    unembed -= unembed.mean(0, keepdim=True)
    out["unembed"] = unembed
    return out
