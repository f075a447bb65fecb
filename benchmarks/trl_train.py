"""Trains a few steps on every TRL set of a folder with TRL's own trainers: `python benchmarks/trl_train.py FOLDER`.

It runs in `.venv-trl`, beside Weir and without it; `make trl` starts it with HF_HUB_OFFLINE=1. The model is tiny and random, made from a configuration, its tokenizer
learned from the sets themselves: nothing is downloaded. The losses say nothing about quality; that they are finite says
that the trainer took every row.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
import trl
from datasets import DatasetDict, disable_progress_bars, load_dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

STEPS = 5
SETTINGS = {
    "max_steps": STEPS,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-3,
    "logging_steps": 1,
    "report_to": [],
    "use_cpu": True,
    "bf16": False,
    "seed": 0,
    "save_strategy": "no",
    "disable_tqdm": True,
    "activation_checkpointing": False,
}
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def main(folder: Path) -> None:
    """Trains on every set and prints one line of losses each; exits with 1 if one is not finite or a step is missing."""
    disable_progress_bars()
    sets = {path.name: load(path) for path in sorted(folder.iterdir()) if (path / "manifest.json").exists()}
    tokenizer = make_tokenizer(text for rows in sets.values() for text in find_texts(rows["train"].to_list()))
    results = [train(name, rows, tokenizer, folder / name) for name, rows in sets.items()]
    print(json.dumps({"torch": torch.__version__, "transformers": transformers.__version__, "trl": trl.__version__}))
    for result in results:
        print(json.dumps(result))
    is_good = all(len(result["losses"]) == STEPS and all(map(math.isfinite, result["losses"])) for result in results)
    sys.exit(not (results and is_good))


def load(folder: Path) -> DatasetDict:
    """The splits of a set, as its dataset card declares them."""
    return load_dataset(str(folder), cache_dir=str(folder.parent / "cache"))


def train(name: str, rows: DatasetDict, tokenizer: Any, folder: Path) -> dict[str, Any]:
    """A few steps on one set; the trainer follows from the format."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    make = TRAINERS[manifest["name"]]
    with tempfile.TemporaryDirectory() as scratch:
        settings = {"output_dir": scratch, **SETTINGS, **manifest.get("suggested_weights", {})}
        trainer = make(rows["train"], tokenizer, settings)
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "set": name,
        "trainer": type(trainer).__name__,
        "rows": rows["train"].num_rows,
        "steps": trainer.state.global_step,
        "losses": [round(loss, 4) for loss in losses],
    }


def make_tokenizer(texts: Iterator[str]) -> transformers.PreTrainedTokenizerFast:
    """A byte-level tokenizer that knows the words of the sets and a plain chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<eos>", "<|system|>", "<|user|>", "<|assistant|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")
    fast.chat_template = TEMPLATE
    return fast


def find_texts(value: Any) -> Iterator[str]:
    """Every text of a nested value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from find_texts(item)


def configure(tokenizer: Any) -> transformers.Qwen2Config:
    """A model of two small layers."""
    return transformers.Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        num_labels=1,
    )


def make_model(tokenizer: Any) -> transformers.Qwen2ForCausalLM:
    """The language model, random."""
    torch.manual_seed(0)
    return transformers.Qwen2ForCausalLM(configure(tokenizer))


def train_sft(rows: Any, tokenizer: Any, settings: dict[str, Any]) -> Any:
    """Supervised fine-tuning."""
    args = trl.SFTConfig(max_length=512, **settings)
    return trl.SFTTrainer(make_model(tokenizer), args=args, train_dataset=rows, processing_class=tokenizer)


def train_dpo(rows: Any, tokenizer: Any, settings: dict[str, Any]) -> Any:
    """Direct preference optimisation."""
    args = trl.DPOConfig(max_length=512, **settings)
    return trl.DPOTrainer(
        make_model(tokenizer), make_model(tokenizer), args=args, train_dataset=rows, processing_class=tokenizer
    )


def train_kto(rows: Any, tokenizer: Any, settings: dict[str, Any]) -> Any:
    """KTO, with the weights that the manifest suggests."""
    args = trl.KTOConfig(max_length=512, **settings)
    return trl.KTOTrainer(
        make_model(tokenizer), make_model(tokenizer), args=args, train_dataset=rows, processing_class=tokenizer
    )


def train_reward(rows: Any, tokenizer: Any, settings: dict[str, Any]) -> Any:
    """A reward model."""
    torch.manual_seed(0)
    model = transformers.Qwen2ForSequenceClassification(configure(tokenizer))
    args = trl.RewardConfig(max_length=512, **settings)
    return trl.RewardTrainer(model, args=args, train_dataset=rows, processing_class=tokenizer)


def train_grpo(rows: Any, tokenizer: Any, settings: dict[str, Any]) -> Any:
    """Group-relative policy optimisation: the model answers the prompts, short answers are rewarded."""
    args = trl.GRPOConfig(max_completion_length=16, num_generations=4, **settings)
    return trl.GRPOTrainer(
        make_model(tokenizer), reward_funcs=reward_short, args=args, train_dataset=rows, processing_class=tokenizer
    )


def reward_short(completions: list[Any], **_: Any) -> list[float]:
    """Minus the length of each answer, in characters."""
    return [-float(len("".join(find_texts(completion)))) for completion in completions]


TRAINERS: dict[str, Callable[[Any, Any, dict[str, Any]], Any]] = {
    "trl-sft": train_sft,
    "trl-preference": train_dpo,
    "trl-kto": train_kto,
    "reward-ranking": train_reward,
    "trl-prompt-only": train_grpo,
}

if __name__ == "__main__":
    main(Path(sys.argv[1]))
