"""What is the Transformer's own; what all architectures share is in test_architecture_contract."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from dragoman.model.architectures.attention import Attention
from dragoman.model.architectures.dropout import Dropout
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.arithmetic import attend
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD
from torch import Tensor

SOURCE = torch.tensor([[9, 17, 23, 41, END], [33, 8, END, PAD, PAD]])
SMALL = TransformerConfig(60, width=8, heads=2, feed_forward=12, encoder_layers=1, decoder_layers=1, max_positions=6)

ATTENTION = ("query.weight", "query.bias", "key_value.weight", "key_value.bias", "output.weight", "output.bias")
NORM = ("weight", "bias")
FEED_FORWARD = ("0.weight", "0.bias", "2.weight", "2.bias")
ENCODER_LAYER = (
    *(f"attention.{name}" for name in ATTENTION),
    *(f"attention_norm.{name}" for name in NORM),
    *(f"feed_forward.{name}" for name in FEED_FORWARD),
    *(f"feed_forward_norm.{name}" for name in NORM),
)
DECODER_LAYER = (
    *ENCODER_LAYER[:8],
    *(f"cross.{name}" for name in ATTENTION),
    *(f"cross_norm.{name}" for name in NORM),
    *ENCODER_LAYER[8:],
)


@pytest.fixture(scope="module")
def network(tiny_network: Callable[[int, int], Transformer]) -> Transformer:
    return tiny_network(60, 3)


def test_default_shape_keeps_the_parameter_names_of_published_checkpoints() -> None:
    assert list(Transformer(SMALL).state_dict()) == [
        "embedding.weight",
        *(f"encoder.0.{name}" for name in ENCODER_LAYER),
        *(f"decoder.0.{name}" for name in DECODER_LAYER),
        *(f"{side}_norm.{name}" for side in ("encoder", "decoder") for name in NORM),
    ]


def test_default_shape_keeps_its_numbers() -> None:
    network = Transformer(SMALL).eval()
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter).roll(number, 0))
        scores = network.logits(network(SOURCE, torch.tensor([[BEGIN, 12], [BEGIN, 44]])))

    # Taken from the code that trained the first published checkpoint.
    expected = [
        [[0.719715, 0.262924, -0.627818], [0.59754, 0.22445, -0.503075]],
        [[1.635512, 0.55546, -1.550643], [1.121683, 0.392784, -1.028568]],
    ]
    torch.testing.assert_close(scores[:, :, [0, 20, 59]], torch.tensor(expected), rtol=0, atol=1e-5)


def test_network_has_no_weight_for_the_padding_piece(network: Transformer) -> None:
    assert network.embedding.weight[PAD].abs().sum() == 0


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary"])
def test_segment_of_more_positions_than_the_network_has_is_refused(positions: str) -> None:
    network = Transformer(TransformerConfig(60, width=8, heads=2, max_positions=6, positions=positions))

    with pytest.raises(ValueError, match="position 7 of a segment: this network has 6"):
        network.start(torch.full((1, 7), 9))


def test_attention_is_that_of_the_fused_kernel() -> None:
    torch.manual_seed(1)
    attention = Attention(8, 1)
    x, mask = torch.randn(2, 5, 8), (SOURCE != PAD)[:, None, None, :]
    queries, (keys, values) = attention.queries(x), attention.project(x)

    by_weights = attention.output(attention.weights(queries, keys, mask) @ values[:, 0])
    torch.testing.assert_close(attention(queries, (keys, values), mask), by_weights)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_in_bfloat16_learns_what_the_fused_kernel_does(causal: bool) -> None:
    torch.manual_seed(2)
    inputs = [torch.randn(3, 2, 5, 8) for _ in range(3)]
    mask = None if causal else (torch.arange(5) < torch.tensor([5, 3, 1])[:, None])[:, None, None, :]
    towards = torch.randn(3, 2, 5, 8)

    def learned(dtype: torch.dtype) -> list[Tensor]:
        leaves = [tensor.to(dtype).requires_grad_() for tensor in inputs]
        mixed = attend(leaves[0], leaves[1], leaves[2], mask, causal=causal)
        assert mixed.dtype == dtype
        return [
            mixed.float(),
            *(gradient.float() for gradient in torch.autograd.grad(mixed, leaves, towards.to(dtype))),
        ]

    for found, wanted in zip(learned(torch.bfloat16), learned(torch.float32), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.05)


def test_training_in_bfloat16_on_a_cpu_keeps_away_from_the_fused_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Tensor:
        raise AssertionError("its gradients take many times as long")

    monkeypatch.setattr(F, "scaled_dot_product_attention", refuse)
    network = Transformer(SMALL)
    with torch.autocast("cpu", torch.bfloat16):
        network(SOURCE, SOURCE).sum().backward()

    assert network.embedding.weight.grad is not None


def test_shared_matrices_are_one_parameter() -> None:
    network = Transformer(TransformerConfig(60, width=8, heads=2))

    assert network.embedding_of_source is network.embedding
    assert network.output_weight is network.embedding.weight


def test_separate_matrices_have_their_own_sizes() -> None:
    network = Transformer(TransformerConfig(60, width=8, heads=2, embeddings="separate", source_vocabulary_size=70))

    assert network.embedding_of_source.weight.shape == (70, 8)
    assert network.embedding.weight.shape == network.output_weight.shape == (60, 8)
    assert network.output_weight is not network.embedding.weight


def test_post_norm_stack_ends_without_a_norm_of_its_own() -> None:
    names = Transformer(TransformerConfig(60, width=8, heads=2, norm="post")).state_dict()

    assert not [name for name in names if name.startswith(("encoder_norm", "decoder_norm"))]


def test_output_bias_is_added_to_the_scores() -> None:
    network = Transformer(TransformerConfig(60, width=8, heads=2, output_bias="learned"))
    hidden = torch.zeros(1, 8)
    with torch.no_grad():
        assert network.output_bias is not None
        network.output_bias.copy_(torch.arange(60.0))

    assert torch.equal(network.logits(hidden)[0], torch.arange(60.0))


def test_dropout_drops_a_feature_at_all_positions_of_a_segment() -> None:
    torch.manual_seed(0)
    dropped = Dropout(0.5).train()(torch.ones(4, 9, 32))

    assert torch.equal(dropped, dropped[:, :1].expand(4, 9, 32))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}


def test_dropout_does_nothing_outside_training() -> None:
    x = torch.ones(2, 3, 4)

    assert Dropout(0.5).eval()(x) is x
