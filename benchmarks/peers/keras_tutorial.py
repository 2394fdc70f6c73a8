"""The character-level LSTM of the Keras tutorial, trained by Keras on TensorFlow, one epoch for each line it is sent.

    python benchmarks/peers/keras_tutorial.py ARRAYS.npz THREADS     (benchmarks/seed_tutorial.py starts it)

Reads `epoch` or `held-out` from standard input and answers each with a line of JSON. The model and its settings are
those of keras.io/examples/nlp/lstm_seq2seq: one-hot characters, one LSTM of width 256 on each side, RMSprop, batches
of 64, the last fifth held out. Knows arrays of character numbers, nothing of Dragoman.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

WIDTH, BATCH_ROWS, HELD_OUT_SHARE = 256, 64, 0.2

# Both are read when Keras is imported.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def network(source_characters: int, target_characters: int) -> Any:
    """The tutorial's model, compiled as there."""
    import keras

    source = keras.Input(shape=(None, source_characters))
    _, hidden, cell = keras.layers.LSTM(WIDTH, return_state=True)(source)
    target = keras.Input(shape=(None, target_characters))
    decoder = keras.layers.LSTM(WIDTH, return_sequences=True, return_state=True)
    outputs, _, _ = decoder(target, initial_state=[hidden, cell])
    scores = keras.layers.Dense(target_characters, activation="softmax")(outputs)
    model = keras.Model([source, target], scores)
    model.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def main(arrays: Path, threads: int) -> None:
    # Libraries may print: the answers keep standard output to themselves.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    import keras
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    keras.utils.set_random_seed(1)
    with np.load(arrays) as stored:
        source, target, wanted, real = (stored[name] for name in ("source", "target", "wanted", "real"))
        sizes = int(stored["source_characters"]), int(stored["target_characters"])
    inputs = [np.eye(sizes[0], dtype="float32")[source], np.eye(sizes[1], dtype="float32")[target]]
    outputs = np.eye(sizes[1], dtype="float32")[wanted]
    model = network(*sizes)
    first = len(source) - int(len(source) * HELD_OUT_SHARE)
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        if line.strip() == "epoch":
            start = time.perf_counter()
            seen = model.fit(inputs, outputs, BATCH_ROWS, epochs=1, validation_split=HELD_OUT_SHARE, verbose=0).history
            took = time.perf_counter() - start
            found = {"seconds": took, "accuracy": seen["accuracy"][0], "held_out": seen["val_accuracy"][0]}
        else:
            scores = model.predict([part[first:] for part in inputs], batch_size=256, verbose=0)
            right = scores.argmax(-1) == wanted[first:]
            found = {"held_out_real": float(right[real[first:]].mean())}
        print(json.dumps(found), file=answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
