"""CTranslate2 with one exported model, timed batch by batch, in a process of its own.

    python ctranslate2_process.py SETTINGS     (`peer_process` starts it)

Each line of standard input is a question in JSON, answered by a line. `batches` are translated one after the other,
each to exactly its `target_pieces`; `texts` end to end, with the SentencePiece model that lies beside the weights.
Knows an exported model, and of Dragoman one file, by its place.
"""

import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

SOURCE_NAMES = ("shared_vocabulary.json", "source_vocabulary.json")


class Model:
    """An exported model and the names of its source pieces."""

    def __init__(self, settings: dict[str, Any]) -> None:
        import ctranslate2

        folder = Path(settings["folder"])
        device, _, index = settings["device"].partition(":")
        if device == "cuda":
            runpy.run_path(str(Path(__file__).with_name("cuda_libraries.py")))["load_cublas"]()
        self._translator = ctranslate2.Translator(
            str(folder),
            device,
            device_index=int(index or 0),
            compute_type=settings["precision"],
            inter_threads=1,
            intra_threads=settings["threads"],
        )
        self._folder = folder
        self._options = {"use_vmap": settings["use_vmap"], "max_input_length": 0}
        self._batch_rows = settings["batch_rows"]
        self._names: list[str] = json.loads(
            next(path for name in SOURCE_NAMES if (path := folder / name).is_file()).read_text(encoding="utf-8")
        )

    def batches(self, question: dict[str, Any]) -> dict[str, float]:
        """Seconds for batches of segments with forced lengths; naming the pieces is not counted."""
        named = [
            # CTranslate2 adds END.
            ([[self._names[piece] for piece in source[:-1]] for source in batch["sources"]], batch["target_pieces"])
            for batch in question["batches"]
        ]
        start = time.perf_counter()
        results = [self._translated(sources, pieces, question) for sources, pieces in named]
        seconds = time.perf_counter() - start
        for found, (_, pieces) in zip(results, named, strict=True):
            if any(len(result.hypotheses[0]) != pieces for result in found):
                sys.exit(f"CTranslate2 did not keep to {pieces} pieces")
        return {"seconds": seconds}

    def texts(self, question: dict[str, Any]) -> dict[str, Any]:
        """Seconds from texts to translations of `most_pieces`; `first` is a piece before each source, if any."""
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor(model_file=str(self._folder / "tokenizer.model"))
        first = [question["first"]] if question["first"] else []
        start = time.perf_counter()
        sources = [first + pieces for pieces in processor.encode(question["texts"], out_type=str)]
        results = self._translator.translate_batch(
            sources,
            beam_size=question["beam_size"],
            max_batch_size=self._batch_rows,
            max_decoding_length=question["most_pieces"],
            **self._options,
        )
        texts = processor.decode([result.hypotheses[0] for result in results])
        return {"seconds": time.perf_counter() - start, "texts": texts}

    def _translated(self, sources: list[list[str]], pieces: int, question: dict[str, Any]) -> list[Any]:
        found: list[Any] = self._translator.translate_batch(
            sources,
            beam_size=question["beam_size"],
            max_batch_size=self._batch_rows,
            min_decoding_length=pieces,
            max_decoding_length=pieces,
            **self._options,
        )
        return found


def main(settings: dict[str, Any]) -> None:
    # Libraries may print: the answers keep standard output to themselves.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    model = Model(settings)
    answers.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        question = json.loads(line)
        answer = model.texts(question) if "texts" in question else model.batches(question)
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
