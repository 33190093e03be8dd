"""CMU-Net: its size, branches and stages, stride 8 in training and prediction, and inputs of multiples of 8."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers.model_cases import ARM, SMALL_CMU, random_image, random_model
from helpers.train_cases import QUICK

from simplepose.inference.predictor import Predictor
from simplepose.network.build import build_model
from simplepose.network.checkpoint import Checkpoint, load_checkpoint
from simplepose.network.cmu import CMUNet
from simplepose.network.config import ModelConfig
from simplepose.network.export import export_onnx
from simplepose.network.optimize import optimize_for_inference
from simplepose.skeleton.skeleton import COCO
from simplepose.training.config import TrainConfig
from simplepose.training.log import read_log
from simplepose.training.loop import train
from simplepose.training.state import initialize_from

TWO_BRANCHES = ModelConfig.cmu(branches=2, stacks=2, width=16, input_size=64)


@pytest.mark.parametrize("config", [SMALL_CMU, TWO_BRANCHES], ids=["one branch", "two branches"])
def test_every_parameter_has_a_gradient(config):
    model = random_model(config).train()
    outputs = model(random_image(2, 40, 72), all_outputs=True)
    assert [[tuple(maps.shape) for maps in stack] for stack in outputs] == [[(2, 50, 5, 9)]] * 2
    sum(stack[0].square().mean() for stack in outputs).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_default_output_is_the_last_stage():
    model = random_model(SMALL_CMU)
    with torch.inference_mode():
        assert torch.equal(model(random_image()), model(random_image(), all_outputs=True)[-1][0])
    with pytest.raises(ValueError, match="multiples of 8, got 60 x 64"):
        model(random_image(1, 60, 64))


def parameters(inputs, outputs, kernel):
    return inputs * outputs * kernel * kernel + outputs


def test_the_layers_are_those_of_cmu_pose():
    # the front: ten convolutions of VGG-19, and two more to 128 channels
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 256, 128]
    front = sum(parameters(a, b, 3) for a, b in pairwise(widths))

    def branch(maps, joined):
        if not joined:
            return 3 * parameters(128, 128, 3) + parameters(128, 512, 1) + parameters(512, maps, 1)
        first = parameters(128 + joined, 128, 7) + 4 * parameters(128, 128, 7)
        return first + parameters(128, 128, 1) + parameters(128, maps, 1)

    total = COCO.num_channels
    for branches, split in ((1, [total]), (2, [COCO.num_parts, total - COCO.num_parts])):
        with torch.device("meta"):
            model = build_model(ModelConfig.cmu(branches=branches, stacks=3))
        expected = front + sum(branch(maps, joined) for joined in (0, total, total) for maps in split)
        assert sum(p.numel() for p in model.parameters()) == expected


def test_presets_take_the_channels_of_the_skeleton():
    assert ModelConfig.preset("cmu3-368") == ModelConfig.cmu(stacks=3)
    config = ModelConfig.cmu(ARM, branches=2)
    assert (config.channels, config.part_channels) == (7, 2)
    assert (config.stride, config.strides, config.multiple, config.input_size) == (8, (8,), 8, 368)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"growth": 8}, 'kind: expected growth 0 .* with "cmu", got 8'),
        ({"channel_attention": True}, 'kind: expected growth 0 and no attention .* with "cmu"'),
        ({"input_size": 370}, "input_size: expected 8 to 4096, a multiple of 8, got 370"),
        ({"part_channels": 50}, "part_channels: expected 0 to 49, got 50"),
        ({"kind": "imhn", "part_channels": 30, "input_size": 384}, 'part_channels: expected 0 unless kind is "cmu"'),
    ],
)
def test_settings_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(ModelConfig.cmu(), **changes)


def test_the_class_refuses_another_kind():
    with pytest.raises(ValueError, match="config: expected kind \"cmu\", got 'imhn'"):
        CMUNet(ModelConfig())


def test_an_optimized_network_gives_the_same_maps():
    model = random_model(TWO_BRANCHES)
    with torch.inference_mode():
        expected = model(random_image(2, 40, 72))
    error = (optimize_for_inference(model)(random_image(2, 40, 72)) - expected).abs().max()
    assert error < 1e-5 * expected.abs().max()


def test_the_predictor_pads_to_multiples_of_8_and_decodes_at_stride_8():
    predictor = Predictor(random_model(SMALL_CMU), scales=(1.0, 1.5), flip=True)
    heatmaps = predictor.heatmaps(np.zeros((90, 150, 3), np.uint8))
    assert predictor.size == 64
    assert heatmaps.frame.padded == (64, 112)  # 64 x 107 pixels
    assert tuple(heatmaps.maps.shape) == (50, 8, 14)
    assert heatmaps.cell_size == pytest.approx((8 * 150 / 107, 8 * 90 / 64))


@pytest.mark.usefixtures("one_thread")
def test_it_trains_validates_and_resumes(tmp_path):
    config = replace(QUICK, data="synth:8,1", model=SMALL_CMU, sizes=(56, 72))
    report = train(config, tmp_path / "run", stop_step=3)
    report = train(config, report.run, resume=True)
    loaded = load_checkpoint(report.run / "last.safetensors")
    assert loaded.config == SMALL_CMU
    assert {name for record in read_log(report.run) for name in record if "stride" in name} == {"loss_stride8"}
    with pytest.raises(ValueError, match="sizes: expected 8 to 4096, a multiple of 8, got 60"):
        replace(config, sizes=(60,))
    assert TrainConfig(model=SMALL_CMU).targets.stride == 8


def test_init_from_another_skeleton_reinitializes_the_maps_and_their_readers():
    source = ModelConfig.cmu(ARM, branches=2, stacks=2, width=16)
    model = build_model(TWO_BRANCHES)
    reinitialized = initialize_from(model, Checkpoint(source, ARM, build_model(source).state_dict()), COCO)
    assert {name.split(".", 4)[-1] for name in reinitialized} == {
        *("predict.weight", "predict.bias", "join.weight", "join.bias")
    }
    with pytest.raises(ValueError, match="init: expected a network with as many branches"):
        initialize_from(build_model(SMALL_CMU), Checkpoint(source, ARM, {}), COCO)


def test_onnxruntime_gives_the_networks_maps(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = random_model(SMALL_CMU)
    export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    image = random_image(2, 40, 72)
    with torch.inference_mode():
        expected = model(image).numpy()
    (maps,) = session.run(["heatmaps"], {"image": image.numpy()})
    assert np.abs(maps - expected).max() < 1e-5 * np.abs(expected).max()
