"""A Marian model of Transformer-base shape under the `transformers` Trainer, a few steps for each line it is sent.

    python benchmarks/peers/marian_trainer.py SETTINGS.json     (benchmarks/training.py starts it)

Reads a number of steps from standard input, takes them, and answers with a line of JSON: seconds, padded pieces, real
pieces of both sides, real target pieces. Knows encoded pairs, nothing of Dragoman.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

# What the loss leaves out.
IGNORED = -100


def network(settings: dict[str, Any]) -> Any:
    """Transformer-base as Marian has it; one embedding for source, target and output."""
    from transformers import MarianConfig, MarianMTModel

    shape = settings["shape"]
    return MarianMTModel(
        MarianConfig(
            vocab_size=settings["vocabulary_size"],
            d_model=shape["width"],
            encoder_attention_heads=shape["heads"],
            decoder_attention_heads=shape["heads"],
            encoder_ffn_dim=shape["feed_forward"],
            decoder_ffn_dim=shape["feed_forward"],
            encoder_layers=shape["encoder_layers"],
            decoder_layers=shape["decoder_layers"],
            dropout=shape["dropout"],
            max_position_embeddings=shape["max_positions"],
            activation_function="relu",
            scale_embedding=True,
            pad_token_id=settings["pad"],
            eos_token_id=settings["end"],
            forced_eos_token_id=settings["end"],
            decoder_start_token_id=settings["begin"],
        )
    )


def collated(rows: Sequence[dict[str, list[int]]], settings: dict[str, Any]) -> dict[str, Any]:
    """Rows padded to the longest source and the longest target of the batch, as the library's collator does."""
    import torch
    from transformers.models.marian.modeling_marian import shift_tokens_right

    pad = settings["pad"]
    source, target = (max(len(row[side]) for row in rows) for side in ("input_ids", "labels"))
    labels = torch.tensor([_filled(row["labels"], target, IGNORED) for row in rows])
    return {
        "input_ids": torch.tensor([_filled(row["input_ids"], source, pad) for row in rows]),
        "attention_mask": torch.tensor([_filled([1] * len(row["input_ids"]), source, 0) for row in rows]),
        # With label smoothing the Trainer keeps the labels for itself, and the model cannot shift them.
        "decoder_input_ids": shift_tokens_right(labels, pad, settings["begin"]),
        "labels": labels,
    }


def _filled(row: list[int], length: int, filling: int) -> list[int]:
    return row + [filling] * (length - len(row))


class Counts:
    """What the steps since the last answer came to."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.padded = self.real = self.target = 0

    def add(self, inputs: dict[str, Any]) -> None:
        target = int((inputs["labels"] != IGNORED).sum())
        self.padded += inputs["input_ids"].numel() + inputs["labels"].numel()
        self.real += int(inputs["attention_mask"].sum()) + target
        self.target += target


def train(settings: dict[str, Any], answers: TextIO) -> None:
    """Train until standard input ends, pausing after as many steps as each line asks for."""
    import torch
    import transformers

    counts, left = Counts(), 0

    def answer() -> bool:
        """Tell what the last steps came to, then wait for how many to take next; False if there are no more."""
        nonlocal counts, left
        if settings["device"] != "cpu":
            torch.cuda.synchronize()
        found = {"seconds": time.perf_counter() - counts.start, "padded": counts.padded, "real": counts.real}
        print(json.dumps(found | {"target": counts.target}), file=answers)
        line = sys.stdin.readline()
        left = int(line or 0)
        counts = Counts()
        return bool(line)

    class Pauses(transformers.TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            control.should_training_stop = not answer()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            nonlocal left
            left -= 1
            if left <= 0:
                control.should_training_stop = not answer()

    class CountingTrainer(transformers.Trainer):
        def training_step(self, model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
            counts.add(inputs)
            return super().training_step(model, inputs, *more, **named)

    transformers.set_seed(1)
    rows = json.loads(Path(settings["rows"]).read_text())
    with tempfile.TemporaryDirectory() as folder:
        CountingTrainer(
            model=network(settings),
            args=arguments(settings, folder),
            train_dataset=rows,
            data_collator=lambda chosen: collated(chosen, settings),
            callbacks=[Pauses()],
        ).train()


def arguments(settings: dict[str, Any], folder: str) -> Any:
    """The Trainer's settings: nothing is saved, logged or measured on the way."""
    from transformers import TrainingArguments

    on_gpu = settings["device"] != "cpu"
    return TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=settings["batch_rows"],
        train_sampling_strategy=settings["order"],
        max_steps=1_000_000,
        learning_rate=settings["learning_rate"],
        warmup_steps=settings["warmup_steps"],
        weight_decay=settings["weight_decay"],
        adam_beta2=0.98,
        optim="adamw_torch_fused",
        label_smoothing_factor=settings["label_smoothing"],
        bf16=on_gpu,
        use_cpu=not on_gpu,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=1,
    )


def main(settings: dict[str, Any]) -> None:
    # Libraries may print: the answers keep standard output to themselves.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    import torch

    torch.set_num_threads(settings["threads"])
    train(settings, answers)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
