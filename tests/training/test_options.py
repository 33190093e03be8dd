"""Frozen parts, rates and relative steps of the encoder, and input sizes drawn for each step."""

from dataclasses import replace

import pytest
import torch
from helpers.model_cases import SMALL_MOBILE, random_image, random_model
from helpers.train_cases import QUICK, weights

from simplepose.data.dataset import COCODataset, collate
from simplepose.data.targets import make_targets
from simplepose.network.checkpoint import load_checkpoint, save_checkpoint
from simplepose.skeleton.skeleton import COCO
from simplepose.synth.dataset import write_dataset
from simplepose.synth.scene import SynthConfig
from simplepose.training.config import TrainConfig
from simplepose.training.data import BatchSampler
from simplepose.training.distributed import Process
from simplepose.training.log import read_log
from simplepose.training.loop import train
from simplepose.training.optimizer import (
    channel_sizes,
    clip_gradients,
    freeze_parameters,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)

pytestmark = pytest.mark.usefixtures("one_thread")

MOBILE = replace(QUICK, model=SMALL_MOBILE)
ONE_PROCESS = Process(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A data set of twelve synthetic images of 64 x 64 pixels."""
    out = tmp_path_factory.mktemp("people") / "data"
    config = SynthConfig(size=64, people=(1, 2), person_size=(30.0, 60.0), unlabeled=0.0, crowds=0.0)
    write_dataset(out, 12, 5, config, progress=False)
    return out


class TwoParts(torch.nn.Module):
    """An encoder whose two output channels differ in size by a factor of 1000, and a head."""

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Conv2d(3, 2, 1)
        self.head = torch.nn.Conv2d(2, 1, 1)
        with torch.no_grad():
            self.encoder.weight.copy_(torch.tensor([[10.0, -10, 10], [0.01, 0.01, -0.01]])[:, :, None, None])
            self.encoder.bias.fill_(0.5)


def one_step(config):
    """The model before and after one step whose gradients are all 1, and its optimizer."""
    model, before = TwoParts(), TwoParts()
    before.load_state_dict(model.state_dict())
    optimizer = make_optimizer(model, config)
    set_learning_rate(optimizer, 0.01)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return before, model, optimizer


def test_learning_rate_of_each_step():
    config = TrainConfig(lr=1.0, schedule="step", warmup_steps=3, decay_epochs=2, decay=0.2, epochs=5)
    rates = [learning_rate(config, step, 4) for step in range(20)]
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert rates[7:9] == pytest.approx([1, 0.2])
    assert rates[-1] == pytest.approx(0.04)
    cosine = replace(config, schedule="cosine", warmup_steps=0)
    assert [learning_rate(cosine, s, 4) for s in (0, 10)] == pytest.approx([1, 0.5])
    assert 0 < learning_rate(cosine, 19, 4) < 0.01


def test_frozen_parts_keep_weights_and_statistics(people, tmp_path):
    source = random_model(SMALL_MOBILE)
    save_checkpoint(tmp_path / "init.safetensors", source, use={"fit": "longer"})
    config = replace(MOBILE, data=str(people), init=str(tmp_path / "init.safetensors"), freeze=("encoder", "bottom.0"))
    train(config, tmp_path / "run", device="cpu")
    assert load_checkpoint(tmp_path / "run" / "last.safetensors").use == {"fit": "longer"}
    before, after = load_checkpoint(tmp_path / "init.safetensors").state, weights(tmp_path / "run")
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[f"model.{name}"])}
    assert changed == {name for name in before if not name.startswith(("encoder.", "bottom.0."))}
    assert all(torch.equal(t, after[f"ema.{name}"]) for name, t in before.items() if name.startswith("encoder."))


def test_frozen_features_run_without_gradients():
    model = random_model(SMALL_MOBILE).train()
    freeze_parameters(model, ["encoder.steps.0"])
    features = model.encoder(random_image()).features
    assert [f.requires_grad for f in features] == [False, True, True, True]
    norms = [m.training for m in model.encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms == [False, True, True, True]


def test_prefixes_are_whole_names():
    model = random_model(SMALL_MOBILE)
    with pytest.raises(ValueError, match=r"freeze: no parameter .* begins with 'enc'; its parts are bottom, deepest"):
        freeze_parameters(model, ["enc"])
    with pytest.raises(ValueError, match="freeze: expected parameters that are left to train"):
        freeze_parameters(model, [name for name, _ in model.named_children()])


def test_without_options_there_is_one_group_of_all_parameters():
    model = TwoParts()
    (group,) = make_optimizer(model, MOBILE).param_groups
    assert all(a is b for a, b in zip(group["params"], model.parameters(), strict=True))
    assert group["lr_factor"] == 1


def test_the_encoder_has_its_own_rate():
    before, after, optimizer = one_step(replace(MOBILE, encoder_lr=0.1, weight_decay=0.0))
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01, 0.001])
    assert (before.head.bias - after.head.bias).tolist() == pytest.approx([0.01])
    assert (before.encoder.bias - after.encoder.bias).tolist() == pytest.approx([0.001] * 2, rel=1e-4)


def test_relative_steps_are_in_proportion_to_each_channel():
    before, after, _ = one_step(replace(MOBILE, encoder_lr=0.1, relative_steps=True))
    moved = (before.encoder.weight - after.encoder.weight).flatten(1)
    floor = 0.05 * float(before.encoder.weight.detach().square().mean().sqrt())
    assert moved[0].tolist() == pytest.approx([0.001 * 10] * 3, rel=1e-3)
    assert moved[1].tolist() == pytest.approx([0.001 * floor] * 3, rel=1e-3)
    assert (before.encoder.bias - after.encoder.bias).tolist() == pytest.approx([0.001 * 0.5] * 2, rel=1e-3)
    assert (before.head.bias - after.head.bias).tolist() == pytest.approx([0.01], rel=1e-3)


def test_channel_sizes():
    weight = torch.tensor([[3.0, -4.0], [0.0, 0.0]])
    assert channel_sizes(weight).flatten().tolist() == pytest.approx([12.5**0.5, 0.05 * 2.5])
    assert channel_sizes(torch.zeros(3)).tolist() == pytest.approx([1e-3])


def test_gradients_of_the_groups_are_clipped_apart():
    model = TwoParts()
    optimizer = make_optimizer(model, replace(MOBILE, encoder_lr=0.1))
    for parameter, size in zip(model.parameters(), (3.0, 0.0, 0.0, 0.5), strict=True):
        parameter.grad = torch.zeros_like(parameter)
        parameter.grad.flatten()[0] = size
    norm = clip_gradients(optimizer, 1.0)
    assert float(norm) == pytest.approx((3.0**2 + 0.5**2) ** 0.5)
    assert float(model.encoder.weight.grad.norm()) == pytest.approx(1.0, rel=1e-5)
    assert float(model.head.bias.grad) == 0.5


def test_the_size_is_drawn_for_each_step_and_samples_follow(people):
    config = replace(MOBILE, data=str(people), sizes=(64, 128), batch=4, accumulate=2)
    sampler = BatchSampler(12, config, ONE_PROCESS)
    steps = []
    for epoch in range(4):
        sampler.start_at(epoch, 0)
        parts = list(sampler)
        steps += [{size for part in parts[k : k + 2] for _, size in part} for k in range(0, len(parts), 2)]
    assert all(len(sizes) == 1 for sizes in steps)  # one size a step, in all of its passes
    assert set.union(*steps) == {64, 128}
    sampler.start_at(0, 1)
    assert [part[0][1] for part in sampler][::2] == [sizes for step in steps[1:3] for sizes in step]

    samples = COCODataset(people, size=64, augment=config.augment)
    small, large = (collate([samples[(i, size)] for i in range(2)]) for size in (64, 128))
    for batch, size in ((small, 64), (large, 128)):
        assert batch.images.shape == (2, size, size, 3)
        assert batch.person_mask.shape == batch.loss_mask.shape == (2, size // 4, size // 4)
        truth = make_targets(batch, COCO, config.targets, scales=3)
        assert [t.shape[-1] for t in truth.targets] == [size // 4, size // 8, size // 16]
    assert torch.equal(small.images, collate([samples[0], samples[1]]).images)
    labeled = (small.keypoints[..., 2] > 0) & (large.keypoints[..., 2] > 0)
    distances = [batch.keypoints[0, 0, :, :2][labeled[0, 0]] for batch in (small, large)]
    spread = [float((d - d.mean(0)).norm()) for d in distances]
    assert spread[1] == pytest.approx(2 * spread[0], rel=1e-4)  # the person is twice as large


def test_a_run_with_all_options_resumes_to_the_same_bits(people, tmp_path):
    config = replace(
        MOBILE, data=str(people), sizes=(64, 128), encoder_lr=0.3, relative_steps=True, freeze=("encoder.steps.0",)
    )
    train(config, tmp_path / "whole", device="cpu")
    train(config, tmp_path / "parts", device="cpu", stop_step=3)
    train(config, tmp_path / "parts", device="cpu", resume=True)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []
    assert [r["step"] for r in read_log(tmp_path / "whole") if "loss_stride16" in r] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze": "encoder"}, "freeze: expected a list, got 'encoder'"),
        ({"freeze": (3,)}, r"freeze: expected names of parts, got \(3,\)"),
        ({"sizes": (100,)}, "sizes: expected 64 to 4096, a multiple of 64, got 100"),
        ({"encoder_lr": -1.0}, r"encoder_lr: expected a finite number at least 0.*, got -1\.0"),
        ({"model": QUICK.model, "encoder_lr": 0.5}, 'expected model.kind="mobile", whose network has an encoder'),
        ({"relative_steps": True, "optimizer": "sgd"}, "relative_steps: expected optimizer='adamw', got 'sgd'"),
    ],
)
def test_options_are_checked(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        replace(MOBILE, **changes)


def test_options_round_trip_through_json():
    config = replace(MOBILE, freeze=("encoder.steps.0",), sizes=(64, 128), encoder_lr=0.1, relative_steps=True)
    assert TrainConfig.from_dict(config.to_dict()) == config
    assert MOBILE.with_values({"sizes": [64, 128], "freeze": ["encoder"]}).sizes == (64, 128)
