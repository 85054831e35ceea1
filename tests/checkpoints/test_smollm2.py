"""SmolLM2-135M, a real language model in 4 bits, read from its GGUF file: what it computes and what it can do."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import mechscope as ms
from mechscope.checkpoints.packaged_models import PACKAGED

FILE = PACKAGED["smollm2-135m"]
pytestmark = [
    pytest.mark.real_model,
    pytest.mark.skipif(not FILE.is_here, reason="needs `mechscope models get smollm2-135m` (98 MB)"),
]
WORDS = ([" good", " great", " wonderful", " amazing"], [" bad", " terrible", " awful", " horrible"])
pytest.importorskip("gguf", reason="needs the gguf package: pip install 'mechscope[gguf]'")


@pytest.fixture(scope="module")
def model() -> Any:
    return ms.load_model("smollm2-135m")


@pytest.mark.slow
def test_logits_equal_those_of_transformers(model: Any) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        FILE.file.parent, gguf_file=FILE.file.name, dtype=torch.float32
    )
    tokens = torch.randint(0, 49_152, (1, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(tokens).logits
        ours = ms.load_model("smollm2-135m", process=False)(tokens)
        assert float((ours - expected).abs().max() / expected.abs().max()) < 1e-5
        # Processing leaves log-probabilities as they are, up to rounding over thirty layers.
        processed = model(tokens).log_softmax(-1)
        assert float((processed - expected.log_softmax(-1)).abs().max()) < 1e-2


def test_every_digit_is_a_token_and_a_chat_begins_once(model: Any) -> None:
    assert model.to_str_tokens("in 1987", prepend_bos=False) == ["in", " ", "1", "9", "8", "7"]
    assert not model.cfg.default_prepend_bos
    chat = "<|im_start|>user\nHi<|im_end|>\n"
    assert model.to_tokens(chat)[0].tolist().count(model.tokenizer.bos_token_id) == 1
    assert model.to_string(model.to_tokens(chat)[0]) == chat


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_it_infers_indirect_objects(model: Any, seed: int) -> None:
    task = ms.tasks.ioi(model, n=64, seed=seed)
    with torch.no_grad():
        difference = task.measure(task.logits(model, task.clean))
    assert float((difference > 0).float().mean()) > 0.95
    assert float(difference.mean()) > 4


@pytest.mark.slow
def test_it_knows_later_years_digit_by_digit(model: Any) -> None:
    task = ms.tasks.greater_than(model, n=32, seed=0)
    assert task.name == "greater-than, digit by digit"
    found = task.baselines(model)
    assert float((found.clean > 0).float().mean()) >= 0.95
    assert float(found.clean.mean()) > 0.4 > 0 > float(found.corrupted.mean())
    (nouns,) = task.left_out
    assert nouns.words == ("feud", "truce") and nouns.listed == 36


@pytest.mark.parametrize("name", ["docstring", "gendered_pronoun", "subject_verb_agreement"])
def test_it_does_the_other_tasks_of_language(model: Any, name: str) -> None:
    task = getattr(ms.tasks, name)(model, n=16, seed=0)
    with torch.no_grad():
        difference = task.measure(task.logits(model, task.clean))
    assert float((difference > 0).float().mean()) > 0.95


def test_a_chat_is_answered_and_the_answer_can_be_cut_off(model: Any) -> None:
    chat = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    output = model.generate(chat, max_new_tokens=20, do_sample=False, verbose=False)
    assert output.startswith(chat)
    answer = output[len(chat) :]
    assert "Paris" in answer and "<|im_end|>" not in answer
    # It stopped by itself, at the token that ends its turn.
    tokens = model.generate(chat, max_new_tokens=20, do_sample=False, verbose=False, return_type="tokens")
    assert tokens[0, -1] == model.tokenizer.eos_token_id
    assert answer == model.to_string(tokens[0, model.to_tokens(chat).shape[1] : -1])


def test_it_has_induction_heads(model: Any) -> None:
    scores = ms.techniques.head_scores(model, pattern="induction", seeds=(0,), batch_size=4).values
    strongest = float(scores.max())
    assert strongest > 0.6
    assert float(scores.sel(layer=slice(0, 9)).max()) < strongest / 2


def test_the_difference_of_texts_of_two_moods_steers_it(model: Any) -> None:
    glad = [
        "I love this film, it is wonderful",
        "What a great day, I am so happy",
        "The food was delicious and the staff were kind",
        "This is the best book I have ever read",
        "She smiled with joy and delight",
        "A superb and beautiful performance",
    ]
    sad = [
        "I hate this film, it is terrible",
        "What an awful day, I am so sad",
        "The food was disgusting and the staff were rude",
        "This is the worst book I have ever read",
        "She cried with grief and despair",
        "A dreadful and ugly performance",
    ]
    layer = 18
    vector = ms.techniques.steering_vector(model, glad, sad, layer=layer)
    texts = ["I thought the movie was", "The service at the hotel was", "Overall the trip was"]
    good, bad = ([model.to_single_token(word) for word in words] for words in WORDS)

    def mood(direction: torch.Tensor, coefficient: float) -> float:
        with torch.no_grad(), ms.techniques.steered(model, direction, layer, coefficient):
            logits = torch.stack([model(text)[0, -1] for text in texts])
        return float((logits[:, good].mean(1) - logits[:, bad].mean(1)).mean())

    shift = mood(vector, 1.0) - mood(vector, -1.0)
    assert shift > 5  # logits
    # Twice as long, a random direction shifts the mood by several logits too: it breaks the model.
    for seed in range(2):
        null = torch.randn(len(vector), generator=torch.Generator().manual_seed(seed))
        null = null / null.norm() * vector.norm()
        assert shift > 2 * abs(mood(null, 1.0) - mood(null, -1.0))
