"""Next-sentence prediction, the second task that BERT was trained on, with the classic interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch

from mechscope.model.activation_cache import ActivationCache
from mechscope.model.token_batch import Tokens

if TYPE_CHECKING:
    from mechscope.model.encoder import HookedEncoder
    from mechscope.model.hook_points import NamesFilter

# The meaning of each of the two logits.
ANSWERS = ("The sentences are sequential", "The sentences are NOT sequential")
RETURN_TYPES = ("logits", "predictions", None)


class BertNextSentencePrediction:
    """Predict whether one sentence follows another.

    Args:
        model: an encoder with a pooler and a next-sentence head.

    Raises:
        ValueError: if the encoder lacks one of them.
    """

    def __init__(self, model: HookedEncoder) -> None:
        missing = [head for head in ("pooler", "nsp_head") if not hasattr(model, head)]
        if missing:
            raise ValueError(
                f"next-sentence prediction needs a pooler and a next-sentence head, but these weights have no "
                f"{' and no '.join(missing)}; load a whole BERT (bert-base-cased)."
            )
        self.model = model

    def __call__(
        self,
        input: Sequence[str] | torch.Tensor,
        return_type: Literal["logits", "predictions"] | None = "logits",
        token_type_ids: torch.Tensor | None = None,
        one_zero_attention_mask: torch.Tensor | None = None,
    ) -> Any:
        """See `forward`."""
        return self.forward(input, return_type, token_type_ids, one_zero_attention_mask)

    def to_tokens(
        self, input: Sequence[str], move_to_device: bool = True, truncate: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Two sentences as token ids, token types and attention mask, each [1 pos].

        Args:
            input: the two sentences.
            move_to_device: put the tensors on the encoder's device.
            truncate: cut at n_ctx tokens.

        Raises:
            ValueError: for anything but two sentences.
        """
        if isinstance(input, str) or len(input) != 2:
            found = "one text" if isinstance(input, str) else f"{len(input)} texts"
            raise ValueError(f"next-sentence prediction takes a list of two sentences, not {found}.")
        first, second = input
        return self.model.to_tokens([first], move_to_device, truncate, text_pair=[second])

    def forward(
        self,
        input: Sequence[str] | torch.Tensor,
        return_type: Literal["logits", "predictions"] | None = "logits",
        token_type_ids: torch.Tensor | None = None,
        one_zero_attention_mask: torch.Tensor | None = None,
    ) -> Any:
        """Two logits [batch 2]: the second sentence follows, or it does not.

        Args:
            input: two sentences, or token ids [batch pos].
            return_type: "logits"; "predictions", one of `ANSWERS` (or a list of them for a larger batch); or None.
            token_type_ids: the sentence that each token belongs to [batch pos]; required for token ids.
            one_zero_attention_mask: 1 where a token is real, 0 where it is padding [batch pos].

        Raises:
            ValueError: for token ids without token types, or anything but two sentences.
        """
        if return_type not in RETURN_TYPES:
            raise ValueError(f"return_type must be 'logits', 'predictions' or None, not {return_type!r}.")
        if isinstance(input, torch.Tensor):
            if token_type_ids is None:
                raise ValueError(
                    "token ids do not show where the second sentence begins: pass token_type_ids [batch pos], "
                    "0 for the first sentence and 1 for the second, or two sentences as text."
                )
            tokens = input if input.ndim == 2 else input[None]
        else:
            tokens, types, mask = self.to_tokens(input)
            token_type_ids = types if token_type_ids is None else token_type_ids
            one_zero_attention_mask = mask if one_zero_attention_mask is None else one_zero_attention_mask
        hidden = self.model.encoder_output(tokens, token_type_ids, one_zero_attention_mask)
        real = Tokens(tokens, one_zero_attention_mask).is_real
        logits = self.model.nsp_head(self.model.pooler(hidden, real))
        if return_type is None:
            return None
        if return_type == "logits":
            return logits
        answers = [ANSWERS[which] for which in logits.argmax(-1).tolist()]
        return answers[0] if len(answers) == 1 else answers

    def run_with_cache(
        self,
        *model_args: Any,
        return_cache_object: bool = True,
        remove_batch_dim: bool = False,
        names_filter: NamesFilter = None,
        device: torch.device | str | None = None,
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        pos_slice: Any = None,
        **kwargs: Any,
    ) -> tuple[Any, ActivationCache | dict[str, torch.Tensor]]:
        """Run `forward` and keep its activations (see `HookedRootModule.run_with_cache` for the arguments).

        Raises:
            RuntimeError: for a named hook point that this task does not reach, such as one of the masked-word head.
        """
        cache, hooks, _ = self.model.get_caching_hooks(
            names_filter, device=device, remove_batch_dim=remove_batch_dim, pos_slice=pos_slice
        )
        with self.model.hooks(
            fwd_hooks=hooks, reset_hooks_end=reset_hooks_end, clear_contexts=clear_contexts
        ):
            output = self.forward(*model_args, **kwargs)
        if names_filter is not None and not callable(names_filter):
            missing = [name for name, _ in hooks if name not in cache]
            if missing:
                raise RuntimeError(
                    f"{', '.join(map(repr, missing))} was requested, but next-sentence prediction does not compute it."
                )
        if not return_cache_object:
            return output, cache
        return output, ActivationCache(cache, self.model, has_batch_dim=not remove_batch_dim)  # type: ignore[arg-type]
