"""Reads a Marian model in Marian's own form: its config, and what that means for our Transformer.

The options are those of https://marian-nmt.github.io/docs/cmd/marian/. Knows nothing of checkpoints.
"""

from typing import Any

from ...errors import ConfigurationError
from ..architectures.transformer import Transformer, TransformerConfig
from .marian_files import MarianFiles
from .marian_native_files import CONFIG, NativeFiles
from .marian_native_weights import fill
from .marian_pieces import MarianPieces, renumber

# option -> the values that our Transformer can follow; the first is what Marian takes without the option.
ONLY: dict[str, tuple[Any, ...]] = {
    "transformer-decoder-autoreg": ("self-attention",),
    # Its gelu is another function than ours: x * sigmoid(1.702 x).
    "transformer-ffn-activation": ("swish", "relu"),
    "transformer-ffn-depth": ("2",),
    "transformer-decoder-ffn-depth": ("0", "2"),
    "transformer-no-projection": ("false",),
    "transformer-pool": ("false",),
    "transformer-tied-layers": ([],),
    "transformer-train-position-embeddings": ("false",),
    "transformer-train-positions": ("false",),
    "right-left": ("false",),
    "ulr": ("false",),
}
# Each letter is a step: n norm, a add what came in, d dropout, which translating has none of.
DROPOUT = "d"
# (before a sublayer, after it, after the last layer) -> where our norm stands.
NORMS = {("", "an", ""): "post", ("n", "a", "n"): "pre"}
# option -> what Marian takes without it.
NORM_OPTIONS = {"transformer-preprocess": "", "transformer-postprocess": "dan", "transformer-postprocess-top": ""}
EMBEDDING_NORMS = {"": "none", "n": "layer"}
EMBEDDING_NORM_OPTION = "transformer-postprocess-emb"
# (source and target are one, target and output are one) -> ours.
EMBEDDINGS = {
    (True, True): "tied",
    (True, False): "tied-inputs",
    (False, True): "tied-target",
    (False, False): "separate",
}
# Marian computes as many positions as it needs; OPUS-MT trains with segments of up to 500 pieces.
MAX_POSITIONS = 512
# How we call the row of zeros that begins a target: no piece holds a line break.
ZERO_ROW = "\n"


def read_native(files: NativeFiles) -> tuple[Transformer, MarianPieces]:
    """The network with its weights, and its pieces.

    Raises `ConfigurationError` for a config that our Transformer cannot follow, by its key and value, and for files
    that do not fit each other.
    """
    _check_config(files)
    pieces = _renumber(files)
    _check_vocabularies(files)
    try:
        network = Transformer(TransformerConfig(**_shape(files, pieces)))
    except ValueError as error:
        raise ConfigurationError(f"{CONFIG} in {files.model.name} describes no network of ours: {error}") from error
    fill(network, files.arrays, pieces)
    return network, pieces


def _check_config(files: NativeFiles) -> None:
    if files.config.get("type") != "transformer":
        raise files.refused("type", "'transformer'")
    for key, values in ONLY.items():
        if files.config.get(key, values[0]) not in values:
            raise files.refused(key, " or ".join(map(repr, values)))


def _renumber(files: NativeFiles) -> MarianPieces:
    vocabularies = [_with_zero_row(files.vocabulary)]
    if files.target_vocabulary is not None:
        vocabularies.append(_with_zero_row(files.target_vocabulary))
    start, end = vocabularies[-1][ZERO_ROW], vocabularies[-1].get("</s>", 0)
    return renumber(
        MarianFiles(
            name=files.model.name,
            config={"decoder_start_token_id": start, "eos_token_id": end},
            tokenizer={"pad_token": ZERO_ROW},
            models=files.models,
            vocabulary=vocabularies[0],
            target_vocabulary=vocabularies[1] if len(vocabularies) == 2 else None,
        )
    )


def _with_zero_row(vocabulary: Any) -> dict[str, int]:
    return {**vocabulary, ZERO_ROW: len(vocabulary)}


def _check_vocabularies(files: NativeFiles) -> None:
    target = files.vocabulary if files.target_vocabulary is None else files.target_vocabulary
    sizes = [str(len(files.vocabulary)), str(len(target))]
    if files.config.get("dim-vocabs") != sizes:
        raise files.refused("dim-vocabs", f"{sizes}, as many pieces as the vocabularies have")
    if files.target_vocabulary is not None and _ties_source(files):
        key = next(key for key in ("tied-embeddings-all", "tied-embeddings-src") if files.is_on(key))
        raise files.refused(key, "'false' where source and target have a vocabulary each")


def _shape(files: NativeFiles, pieces: MarianPieces) -> dict[str, Any]:
    return {
        "vocabulary_size": len(pieces.vocabulary),
        "source_vocabulary_size": None if pieces.vocabulary.is_shared else pieces.vocabulary.source_size,
        "width": files.number("dim-emb"),
        "heads": files.number("transformer-heads"),
        "feed_forward": files.number("transformer-dim-ffn"),
        "decoder_feed_forward": files.number("transformer-decoder-dim-ffn", 0) or None,
        "encoder_layers": files.number("enc-depth"),
        "decoder_layers": files.number("dec-depth"),
        "max_positions": MAX_POSITIONS,
        "norm": _norm(files),
        "positions": "sinusoidal-halves",
        "activation": files.config.get("transformer-ffn-activation", "swish"),
        "embeddings": EMBEDDINGS[_ties_source(files), _ties_output(files)],
        "embedding_scale": "root-width",
        "embedding_norm": _embedding_norm(files),
        "output_bias": "learned",
    }


def _norm(files: NativeFiles) -> str:
    steps = tuple(_steps(files, key, default) for key, default in NORM_OPTIONS.items())
    if steps not in NORMS:
        found = ", ".join(f"{key} = {files.config.get(key, default)!r}" for key, default in NORM_OPTIONS.items())
        raise ConfigurationError(
            f"{files.model.name} has {found} in its config: they must be '', 'dan' and '', or 'n', 'da' and 'n'"
        )
    return NORMS[steps]


def _embedding_norm(files: NativeFiles) -> str:
    steps = _steps(files, EMBEDDING_NORM_OPTION, DROPOUT)
    if steps not in EMBEDDING_NORMS:
        raise files.refused(EMBEDDING_NORM_OPTION, "made of the letters d and n")
    return EMBEDDING_NORMS[steps]


def _steps(files: NativeFiles, key: str, default: str) -> str:
    return str(files.config.get(key, default)).replace(DROPOUT, "")


def _ties_source(files: NativeFiles) -> bool:
    return files.is_on("tied-embeddings-all") or files.is_on("tied-embeddings-src")


def _ties_output(files: NativeFiles) -> bool:
    return files.is_on("tied-embeddings-all") or files.is_on("tied-embeddings")
