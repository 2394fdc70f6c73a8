"""A Marian model that is damaged, or that our Transformer cannot follow, is refused with a sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.interchange.marian import import_marian
from safetensors.torch import load_file, save_file

MakeMarian = Callable[..., Path]


@pytest.fixture
def folder(make_marian: MakeMarian) -> Path:
    return make_marian()


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    weights = {**load_file(folder / "model.safetensors"), **changes}
    save_file({name: weight for name, weight in weights.items() if weight is not None}, folder / "model.safetensors")


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no folder .*nothing"):
        import_marian(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["config.json", "source.spm", "target.spm", "vocab.json"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()

    with pytest.raises(ConfigurationError, match=f"is not a Marian model: it has no {name}"):
        import_marian(folder)


def test_missing_weights_are_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()

    with pytest.raises(ConfigurationError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        import_marian(folder)


def test_missing_target_vocabulary_is_named(make_marian: MakeMarian) -> None:
    folder = make_marian(share_encoder_decoder_embeddings=False)
    (folder / "target_vocab.json").unlink()

    with pytest.raises(ConfigurationError, match=r"it has no target_vocab\.json"):
        import_marian(folder)


@pytest.mark.parametrize(
    "name", ["config.json", "vocab.json", "tokenizer_config.json", "source.spm", "target.spm", "model.safetensors"]
)
def test_truncated_file_is_named(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(ConfigurationError, match=name):
        import_marian(folder)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x02nothing", b"cos\nsystem\n(S'true'\ntR."])
def test_pickled_weights_that_are_damaged_or_run_code_are_refused(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(content)

    with pytest.raises(
        ConfigurationError, match=r"pytorch_model\.bin is truncated, damaged or holds more than weights"
    ):
        import_marian(folder)


def test_pickled_file_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"epoch": 3}, folder / "pytorch_model.bin")

    with pytest.raises(ConfigurationError, match="does not hold weights by name"):
        import_marian(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "bart"),
        ("normalize_before", True),
        ("normalize_embedding", True),
        ("add_final_layer_norm", True),
        ("static_position_embeddings", False),
        ("forced_bos_token_id", 3),
        ("activation_function", "gelu_new"),
    ],
)
def test_config_that_cannot_be_followed_is_refused_by_key_and_value(folder: Path, key: str, value: Any) -> None:
    change_json(folder / "config.json", **{key: value})

    with pytest.raises(ConfigurationError, match=f"{key} = {value!r}"):
        import_marian(folder)


@pytest.mark.parametrize("value", [None, "16", -1, True])
def test_config_without_a_whole_number_is_refused_by_key(folder: Path, value: Any) -> None:
    change_json(folder / "config.json", d_model=value)

    with pytest.raises(ConfigurationError, match=f"must give a whole number for d_model, not {value!r}"):
        import_marian(folder)


def test_impossible_shape_is_refused(folder: Path) -> None:
    change_json(folder / "config.json", encoder_attention_heads=3)

    with pytest.raises(ConfigurationError, match="cannot be split into 3 heads"):
        import_marian(folder)


def test_vocabulary_of_another_size_is_refused(folder: Path) -> None:
    numbers = json.loads((folder / "vocab.json").read_text())
    change_json(folder / "vocab.json", more=len(numbers))

    with pytest.raises(ConfigurationError, match=rf"vocab\.json has {len(numbers) + 1} pieces, config\.json says"):
        import_marian(folder)


@pytest.mark.parametrize("number", [0, -1, 1000, "7", None])
def test_vocabulary_with_a_wrong_number_is_refused(folder: Path, number: Any) -> None:
    change_json(folder / "vocab.json", **{"▁": number})

    with pytest.raises(ConfigurationError, match=r"vocab\.json must number its \d+ pieces from 0 on, each once"):
        import_marian(folder)


def test_vocabulary_without_a_mark_is_refused(folder: Path) -> None:
    text = (folder / "vocab.json").read_text()
    (folder / "vocab.json").write_text(text.replace("<unk>", "<strange>"))

    with pytest.raises(ConfigurationError, match="lacks its unk_token '<unk>'"):
        import_marian(folder)


def test_config_with_another_end_than_the_vocabulary_is_refused(folder: Path) -> None:
    change_json(folder / "generation_config.json", eos_token_id=5)

    with pytest.raises(ConfigurationError, match="config says eos_token_id 5, the vocabulary numbers it 0"):
        import_marian(folder)


def test_begin_beyond_the_vocabulary_is_refused(folder: Path) -> None:
    change_json(folder / "generation_config.json", decoder_start_token_id=1000)

    with pytest.raises(ConfigurationError, match="decoder_start_token_id 1000"):
        import_marian(folder)


def test_misshapen_weight_is_named(folder: Path) -> None:
    name = "model.encoder.layers.0.self_attn.k_proj.weight"
    change_weights(folder, **{name: torch.zeros(16, 8)})

    with pytest.raises(ConfigurationError, match=rf"{name} has the shape \[16, 8\].* must have \[16, 16\]"):
        import_marian(folder)


@pytest.mark.parametrize("name", ["model.shared.weight", "model.decoder.layers.0.encoder_attn.v_proj.bias"])
def test_missing_weight_is_named(folder: Path, name: str) -> None:
    change_weights(folder, **{name: None})

    with pytest.raises(ConfigurationError, match=f"lacks the weight {name}"):
        import_marian(folder)


def test_weight_of_no_use_is_named(folder: Path) -> None:
    change_weights(folder, **{"model.encoder.layernorm_embedding.weight": torch.ones(16)})

    with pytest.raises(ConfigurationError, match=r"model\.encoder\.layernorm_embedding\.weight"):
        import_marian(folder)


def test_matrix_of_another_vocabulary_is_refused(folder: Path) -> None:
    change_weights(folder, **{"model.shared.weight": torch.zeros(7, 16)})

    with pytest.raises(ConfigurationError, match=r"model\.shared\.weight has the shape \[7, 16\]"):
        import_marian(folder)


@pytest.mark.parametrize("codes", [torch.randn(64, 16), torch.zeros(16)])
def test_learned_positions_are_refused(folder: Path, codes: torch.Tensor) -> None:
    change_weights(folder, **{"model.encoder.embed_positions.weight": codes})

    with pytest.raises(ConfigurationError, match="learned positions cannot be imported"):
        import_marian(folder)


def test_unnamed_languages_are_asked_for(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text("{}")

    with pytest.raises(ConfigurationError, match="name them, --pairs en-fr"):
        import_marian(folder)


def test_language_without_a_piece_is_refused(make_marian: MakeMarian) -> None:
    with pytest.raises(ConfigurationError, match="no piece for the target language 'es'"):
        import_marian(make_marian(languages=("fra",)), (("en", "fr"), ("en", "es")))
