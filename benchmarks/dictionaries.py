"""Compare a training step of our dictionaries with SAELens's on the same tensors; write docs/dictionaries.md's table.

    python -m benchmarks.dictionaries [--rounds 7] [--only topk-768-12288-1024 …] [--device cuda] [--write]

A step is everything that training does with a batch: loss, backward pass, clipping, Adam, and counting dead features.
Both start from the same weights and train on the same batches in alternation. Before timing, their losses over several
steps are compared.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "disabled"
warnings.simplefilter("ignore")

import torch  # noqa: E402

from mechscope.dictionaries.building import build  # noqa: E402
from mechscope.dictionaries.config import DictionaryConfig, ReluConfig, TopKConfig  # noqa: E402
from mechscope.dictionaries.stream import Batch  # noqa: E402
from mechscope.dictionaries.trainer import Trainer  # noqa: E402
from mechscope.dictionaries.training_config import TrainingConfig  # noqa: E402
from mechscope.pages.tables import markdown_table  # noqa: E402
from mechscope.storage.files import check_file, write_atomically  # noqa: E402

PAGE = Path(__file__).resolve().parent.parent / "docs" / "dictionaries.md"
BEGIN, END = (
    "<!-- benchmark: written by python -m benchmarks.dictionaries --write -->",
    "<!-- end of benchmark -->",
)
K, L1, LR = 32, 5.0, 3e-4
AGREEMENT_STEPS = 4
Step = Callable[[torch.Tensor], float]


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    kind: str
    d_in: int
    d_sae: int
    batch: int

    @property
    def name(self) -> str:
        """What --only calls it."""
        return f"{self.kind}-{self.d_in}-{self.d_sae}-{self.batch}"


SETTINGS = [
    Setting(kind, d_in, d_sae, batch)
    for kind in ("topk", "relu")
    for d_in, d_sae in ((512, 4096), (768, 12288))
    for batch in (1024, 4096)
]


@dataclass(frozen=True)
class Row:
    """What was measured."""

    setting: Setting
    ours: float
    theirs: float
    ratio: float
    floor: float
    agreement: float


def our_step(setting: Setting, device: str) -> tuple[Step, dict[str, torch.Tensor]]:
    """The step of a training run, and the weights that it starts from."""
    size = {"d_in": setting.d_in, "d_sae": setting.d_sae, "decoder_norm": "free", "decoder_start_norm": 0.1}
    cfg: DictionaryConfig = (
        TopKConfig(**size, k=K, rescale_by_decoder_norm=True)
        if setting.kind == "topk"
        else ReluConfig(**size, l1=L1)
    )
    dictionary = build(cfg, 0).to(device)
    start = {name: tensor.to(device) for name, tensor in dictionary.state().items()}
    trainer = Trainer("ours", dictionary, TrainingConfig(steps=10_000, lr=LR, clip=1.0))
    count = [0]

    def step(x: torch.Tensor) -> float:
        measures = trainer.step(Batch(x), count[0], measure=False)
        count[0] += 1
        return float("nan") if measures is None else measures.loss

    def losses(x: torch.Tensor) -> float:
        measures = trainer.step(Batch(x), count[0], measure=True)
        count[0] += 1
        assert measures is not None
        return measures.loss

    step.measured = losses  # type: ignore[attr-defined]
    return step, start


def their_step(setting: Setting, start: dict[str, torch.Tensor], device: str) -> Step:
    """SAELens's own trainer's step from the same weights."""
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    size = {"d_in": setting.d_in, "d_sae": setting.d_sae, "device": device}
    if setting.kind == "topk":
        sae = TopKTrainingSAE(TopKTrainingSAEConfig(**size, k=K))
    else:
        sae = StandardTrainingSAE(StandardTrainingSAEConfig(**size, l1_coefficient=L1))
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            parameter.copy_(start[name])
    cfg = SAETrainerConfig(
        total_training_samples=10_000 * setting.batch,
        train_batch_size_samples=setting.batch,
        lr=LR,
        lr_end=LR,
        device=device,
    )
    trainer = SAETrainer(cfg, sae, iter(()))

    def step(x: torch.Tensor) -> float:
        output = trainer.step(x)
        trainer.n_training_steps += 1
        return float(output.loss.detach()) if step.reading else float("nan")  # type: ignore[attr-defined]

    step.reading = True  # type: ignore[attr-defined]
    return step


def clock(device: str) -> float:
    """Seconds of the processor, or of the wall where an accelerator does the work."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def measure(setting: Setting, rounds: int, device: str) -> Row:
    """Compare, then time in alternation."""
    draw = torch.Generator().manual_seed(1)
    batches = [torch.randn(setting.batch, setting.d_in, generator=draw).to(device) for _ in range(3)]
    ours, start = our_step(setting, device)
    theirs = their_step(setting, start, device)
    worst = 0.0
    for number in range(AGREEMENT_STEPS):
        x = batches[number % 3]
        one, other = ours.measured(x), theirs(x)  # type: ignore[attr-defined]
        worst = max(worst, abs(one - other) / abs(other))
    if worst > 1e-4:
        raise SystemExit(f"{setting.name}: the losses differ by {worst:.1e}; there is nothing to time.")
    theirs.reading = False  # type: ignore[attr-defined]
    W = start["W_enc"]
    times: dict[str, list[float]] = {"ours": [], "theirs": [], "floor": []}
    work: dict[str, Callable[[torch.Tensor], object]] = {
        "ours": ours,
        "theirs": theirs,
        "floor": lambda x: x @ W,
    }
    for number in range(rounds):
        names = list(work)
        turn = number % 3
        for name in names[turn:] + names[:turn]:
            begun = clock(device)
            work[name](batches[number % 3])
            times[name].append(clock(device) - begun)
    ratio = statistics.median(t / o for t, o in zip(times["theirs"], times["ours"], strict=True))
    middle = {name: statistics.median(values) for name, values in times.items()}
    # A dense step needs five such products: forward two, backward three (that of the input is not wanted).
    products = 1 if setting.kind == "topk" else 5
    return Row(setting, middle["ours"], middle["theirs"], ratio, products * middle["floor"], worst)


def table(rows: list[Row], rounds: int, device: str) -> str:
    """The rows as Markdown, with what they mean."""
    where = (
        f"{platform.machine()}, one thread, CPU seconds" if device == "cpu" else torch.cuda.get_device_name()
    )
    headers = [
        "step",
        "batch",
        "mechscope, ms",
        "SAELens, ms",
        "SAELens ÷ ours",
        "time ÷ floor",
        "losses equal to",
    ]
    cells: list[list[str]] = []
    for row in rows:
        s = row.setting
        kind = f"TopK, k = {K}" if s.kind == "topk" else "ReLU, L1"
        cells.append(
            [
                f"{kind}, {s.d_in} → {s.d_sae}",
                str(s.batch),
                f"{1000 * row.ours:.0f}",
                f"{1000 * row.theirs:.0f}",
                f"{row.ratio:.1f}",
                f"{row.ours / row.floor:.2f}",
                f"{row.agreement:.0e}",
            ]
        )
    return "\n".join(
        [
            markdown_table(headers, cells),
            "",
            "*Floor*: the products of whole matrices that an exact step cannot do without, timed in the same rounds: "
            "one for TopK (the encoder's forward pass, without which the k largest are not known), five for ReLU.",
            "",
            f"{where}, medians of {rounds} rounds in alternation, float32; SAELens "
            f"{importlib.metadata.version('sae-lens')}, torch {torch.__version__}, "
            f"Python {platform.python_version()}.",
        ]
    )


def write(text: str) -> None:
    """Put the table between its marks on the page."""
    page = PAGE.read_text()
    if BEGIN not in page or END not in page:
        raise SystemExit(f"{PAGE} lacks the marks between which the table belongs.")
    head, rest = page.split(BEGIN)
    write_atomically(PAGE, f"{head}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")


def main() -> None:
    """Measure, print and, if asked, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=[setting.name for setting in SETTINGS])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.write:
        check_file(PAGE)
    rows = []
    for setting in SETTINGS:
        if arguments.only is None or setting.name in arguments.only:
            row = measure(setting, arguments.rounds, arguments.device)
            rows.append(row)
            print(
                f"{setting.name}: {1000 * row.ours:.0f} ms, SAELens {1000 * row.theirs:.0f} ms, "
                f"{row.ratio:.2f} ×, floor {1000 * row.floor:.0f} ms",
                file=sys.stderr,
            )
    text = table(rows, arguments.rounds, arguments.device)
    print(text)
    if arguments.write:
        write(text)


if __name__ == "__main__":
    main()
