"""MarianMTModel of `transformers`, timed batch by batch.

    python benchmarks/peers/marian_generate.py SETTINGS     (benchmarks/engine.py starts it)

Each line of standard input holds batches of sources (with END) and the pieces that each translation has, in JSON; the
answer is a line too. With "int8", linear layers have 8-bit weights and quantise what comes in (torch.ao), the fastest
that was found for it. Knows piece numbers, nothing of Dragoman.
"""

import json
import os
import sys
import time
import warnings
from typing import Any


class Model:
    """The model in one folder."""

    def __init__(self, settings: dict[str, Any]) -> None:
        import torch
        from transformers import MarianMTModel

        self._torch = torch
        torch.set_num_threads(settings["threads"])
        model: Any = MarianMTModel.from_pretrained(settings["folder"])
        model.eval()
        if settings["precision"] == "int8":
            # It announces its removal in favour of torchao, at length and in several places.
            warnings.simplefilter("ignore")
            quantisation: Any = torch.ao.quantization
            model = quantisation.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
        self._model = model

    def batches(self, question: dict[str, Any]) -> dict[str, float]:
        """Seconds for batches of segments with forced lengths."""
        torch = self._torch
        tensors = [(torch.tensor(batch["sources"]), batch["target_pieces"]) for batch in question["batches"]]
        start = time.perf_counter()
        for sources, pieces in tensors:
            found = self._generated(sources, pieces, question["beam_size"])
            if found.shape[1] != pieces + 1:  # with BEGIN
                sys.exit(f"transformers did not keep to {pieces} pieces")
        return {"seconds": time.perf_counter() - start}

    def _generated(self, sources: Any, pieces: int, beam_size: int) -> Any:
        with self._torch.inference_mode():
            return self._model.generate(
                input_ids=sources,
                attention_mask=self._torch.ones_like(sources),
                num_beams=beam_size,
                do_sample=False,
                min_new_tokens=pieces,
                max_new_tokens=pieces,
            )


def main(settings: dict[str, Any]) -> None:
    # Libraries may print: the answers keep standard output to themselves.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    model = Model(settings)
    answers.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        answers.write(json.dumps(model.batches(json.loads(line))) + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
