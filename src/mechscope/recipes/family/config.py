"""Settings of the family of small language models; its members differ in their kind and number of layers only."""

from __future__ import annotations

from dataclasses import dataclass

from mechscope.model.config import HookedTransformerConfig

ACTIVATIONS = {"attn-only": None, "gelu": "gelu", "solu": "solu_ln"}
"""Kind → activation of its MLPs."""


@dataclass(frozen=True)
class FamilyConfig:
    """Model, data and training of one member."""

    kind: str
    """attn-only, gelu or solu."""
    n_layers: int
    """One to four."""
    d_vocab: int = 512
    """Tokens of the family's tokenizer, BOS included."""
    n_ctx: int = 64
    """Length of a sequence, BOS included."""
    d_model: int = 64
    """Width of the residual stream."""
    n_heads: int = 4
    """Heads a layer."""
    d_head: int = 16
    """Width of a head."""
    learning_rate: float = 3e-3
    """After the warm-up; in the second half of the training it falls to zero in a straight line."""
    warm_up: int = 200
    """Steps over which the learning rate rises."""
    weight_decay: float = 0.1
    """Decoupled."""
    initializer_range: float = 0.02
    """Standard deviation of the initial weights."""
    first_steps: int = 1400
    """Steps of the first phase, on blocks of random tokens that are repeated over and over."""
    first_batch: int = 16
    """Sequences a step in it."""
    second_steps: int = 1700
    """Steps of the second phase, on text with some repeated blocks among it."""
    second_batch: int = 32
    """Sequences a step in it."""
    repeated_share: float = 0.1875
    """Share of repeated blocks in the second phase, so that what was learnt from them is not forgotten."""
    code_share: float = 0.3125
    """Share of code in the second phase; the rest are books."""
    shortest: int = 4
    """Length of the shortest repeated block, in tokens."""
    longest: int = 31
    """Length of the longest: it still fits twice."""
    keep: tuple[int, ...] = ()
    """Steps whose weights are kept, besides the last."""
    book_characters: int = 36_000
    """How much of each book is read, from its beginning."""
    module_characters: int = 24_000
    """How much of each module is read, from its beginning."""

    @property
    def steps(self) -> int:
        """Steps of both phases."""
        return self.first_steps + self.second_steps

    @property
    def tokens(self) -> int:
        """Tokens trained on, BOS included."""
        sequences = self.first_steps * self.first_batch + self.second_steps * self.second_batch
        return sequences * self.n_ctx

    @property
    def repeated_rows(self) -> int:
        """Sequences of a second-phase step that are repeated blocks."""
        return round(self.second_batch * self.repeated_share)

    @property
    def code_rows(self) -> int:
        """Sequences of a second-phase step that are code."""
        return round(self.second_batch * self.code_share)

    @property
    def text_tokens(self) -> int:
        """Tokens of books and code trained on, BOS included."""
        return self.second_steps * (self.second_batch - self.repeated_rows) * self.n_ctx

    def name(self, seed: int) -> str:
        """The member's name; the family's own seed, 0, is not in it."""
        return f"mini-{self.kind}-{self.n_layers}l" + (f"-seed{seed}" if seed else "")

    def model_config(self, seed: int) -> HookedTransformerConfig:
        """The transformer; positions are added to queries and keys only, as in all of the family."""
        return HookedTransformerConfig(
            n_layers=self.n_layers,
            d_model=self.d_model,
            n_ctx=self.n_ctx,
            d_head=self.d_head,
            n_heads=self.n_heads,
            d_vocab=self.d_vocab,
            attn_only=self.kind == "attn-only",
            act_fn=ACTIVATIONS[self.kind],
            positional_embedding_type="shortformer",
            initializer_range=self.initializer_range,
            seed=seed,
            model_name=self.name(seed),
        )
