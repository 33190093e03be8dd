"""The network "mobile" and its encoders: shapes, gradients, padding, folding, checkpoints and export."""

import json

import numpy as np
import pytest
import torch
from helpers.model_cases import ARM, SMALL, SMALL_MOBILE, SmallEncoder, random_image, random_model
from safetensors import safe_open
from safetensors.torch import save_file

from simplepose.network.build import build_model
from simplepose.network.checkpoint import WEIGHTS, load_checkpoint, save_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.network.depthwise import depthwise
from simplepose.network.encoder import build_encoder
from simplepose.network.export import export_onnx
from simplepose.network.imhn import IMHN
from simplepose.network.mobile import MobilePose
from simplepose.network.movenet import Conv, MoveNetEncoder
from simplepose.network.optimize import fold_network, optimize_for_inference
from simplepose.network.released_names import expected_released_names


def worst_error(found, expected):
    return max(float((f - e).abs().max() / e.abs().max()) for f, e in zip(found, expected, strict=True))


@pytest.mark.parametrize("config", [SMALL_MOBILE, ModelConfig.preset("photo")], ids=["small", "photo"])
def test_every_parameter_has_a_gradient(config):
    model = random_model(config).train()
    outputs = model(random_image(2, 64, 128), all_outputs=True)
    assert [[tuple(maps.shape) for maps in stack] for stack in outputs] == [
        [(2, 50, 16, 32), (2, 50, 8, 16), (2, 50, 4, 8)]
    ]
    assert config.num_scales == 3
    sum(maps.square().mean() for maps in outputs[0]).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_default_output_is_the_finest_scale():
    model = random_model(SMALL_MOBILE)
    with torch.inference_mode():
        assert torch.equal(model(random_image()), model(random_image(), all_outputs=True)[0][0])
    with pytest.raises(ValueError, match="multiples of 64, got 96 x 64"):
        model(random_image(1, 96, 64))


def test_one_scale_and_no_attention_are_settings_of_it_too():
    config = ModelConfig(**{**SMALL_MOBILE.to_dict(), "spatial_attention": False, "channel_attention": False})
    outputs = random_model(config)(random_image(), all_outputs=True)
    assert [len(stack) for stack in outputs] == [1]


def test_the_preset_photo_has_the_studied_size():
    with torch.device("meta"):
        model = build_model(ModelConfig.preset("photo"))
    assert isinstance(model, MobilePose)
    assert sum(p.numel() for p in model.parameters()) == 5_860_306
    assert sum(p.numel() for p in model.encoder.parameters()) == 4_711_715
    assert ModelConfig.preset("photo", ARM).channels == ARM.num_channels


def test_the_kind_chooses_the_network():
    assert isinstance(build_model(SMALL), IMHN)
    assert isinstance(build_model(SMALL_MOBILE), MobilePose)
    assert isinstance(MobilePose(SMALL_MOBILE, SmallEncoder()).encoder, SmallEncoder)
    for network, config in ((IMHN, SMALL_MOBILE), (MobilePose, SMALL)):
        with pytest.raises(ValueError, match="build_model takes every kind"):
            network(config)
    with pytest.raises(ValueError, match="encoder: expected one of movenet, small, got 'huge'"):
        build_encoder("huge")
    with pytest.raises(ValueError, match="kind: the released layout has no names for 'mobile'"):
        expected_released_names(SMALL_MOBILE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "big"}, "kind: expected one of 'imhn', 'mobile', 'cmu', got 'big'"),
        ({"kind": "mobile"}, 'kind: expected stacks 1, growth 0 .* with "mobile", got 4, 128 and False'),
        ({"up_widths": (96, 96, 128)}, r"up_widths: expected a tuple of 4 integers, got \(96, 96, 128\)"),
        ({"up_blocks": (1, 1, 17)}, "up_blocks: expected 0 to 16, got 17"),
        ({"encoder": 3}, "encoder: expected a name, got 3"),
    ],
)
def test_settings_are_checked(changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ModelConfig(**changes)


def test_stride_2_pads_right_and_below_as_tensorflow_does():
    conv = Conv(1, 1, 3, stride=2, bias=False)
    torch.nn.init.ones_(conv.weight)
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    # windows of the rows and columns 0 to 2 and 2 to 4, where 4 is beyond the map
    assert conv(x).flatten().tolist() == [45, 39, 66, 50]


def test_the_encoder_scales_bgr_to_rgb_from_minus_1_to_1():
    encoder, seen = MoveNetEncoder(), []
    encoder.stem.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    image = torch.stack([torch.full((64, 64), value) for value in (0.0, 0.5, 1.0)])[None]
    with torch.inference_mode():
        encoder(image)
    assert seen[0][0, :, 0, 0].tolist() == [1, 0, -1]


@pytest.mark.parametrize("config", [SMALL_MOBILE, ModelConfig.preset("photo")], ids=["small", "photo"])
def test_folding_changes_only_the_rounding(config):
    model, image = random_model(config).double(), random_image(2, 64, 128).double()
    folded = fold_network(model)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    with torch.inference_mode():
        assert worst_error(folded(image, all_outputs=True)[0], model(image, all_outputs=True)[0]) < 1e-12


@pytest.mark.parametrize(("precision", "limit"), [("float32", 1e-5), ("bfloat16", 0.05)])
def test_an_optimized_network_gives_the_same_maps(precision, limit):
    model, image = random_model(ModelConfig.preset("photo")), random_image(1, 64, 128)
    maps = optimize_for_inference(model, precision=precision)(image)
    with torch.inference_mode():
        assert worst_error([maps], [model(image)]) < limit


@pytest.mark.parametrize("stride", [1, 2])
def test_bfloat16_gradients_of_depthwise_convolutions_are_those_of_float32(stride):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(8, 8, 3, stride, 1, groups=8)
    x = torch.randn(2, 8, 10, 10).bfloat16().float().requires_grad_()
    with torch.no_grad():
        conv.weight.copy_(conv.weight.bfloat16())
    gradients = []
    for autocast in (False, True):
        conv.zero_grad()
        x.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = depthwise(conv, x)
        y.float().square().sum().backward()
        gradients.append([x.grad, conv.weight.grad, conv.bias.grad])
    assert [g.dtype for g in gradients[1]] == [torch.float32] * 3
    assert worst_error(gradients[1], gradients[0]) < 0.02


def test_a_checkpoint_round_trip_keeps_kind_and_maps(tmp_path):
    model = random_model(SMALL_MOBILE)
    save_checkpoint(tmp_path / "m.safetensors", model)
    checkpoint = load_checkpoint(tmp_path / "m.safetensors")
    assert checkpoint.config == SMALL_MOBILE
    with torch.inference_mode():
        assert torch.equal(checkpoint.build()(random_image()), model(random_image()))


def test_a_checkpoint_without_kind_is_an_imhn(tmp_path):
    path = tmp_path / "old.safetensors"
    save_checkpoint(path, random_model(SMALL))
    with safe_open(str(path), "pt") as file:
        header = json.loads(file.metadata()["simplepose"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name in ("kind", "encoder", "up_widths", "up_blocks"):
        del header["model"][name]
    save_file(tensors, path, {"simplepose": json.dumps(header)})
    assert load_checkpoint(path).config == SMALL
    assert load_checkpoint(WEIGHTS / "tiny.safetensors").config.kind == "imhn"


def test_onnxruntime_gives_the_networks_maps(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = random_model(ModelConfig.preset("photo"))
    export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for shape in ((1, 64, 64), (2, 64, 192)):
        image = random_image(*shape)
        with torch.inference_mode():
            expected = model(image).numpy()
        (maps,) = session.run(["heatmaps"], {"image": image.numpy()})
        assert maps.shape == expected.shape
        assert np.abs(maps - expected).max() < 1e-5 * np.abs(expected).max()
