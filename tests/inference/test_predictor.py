"""The predictor: frames, averaging, batches and extreme images, with random networks and a detector of blobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from helpers.fake_network import FACE, blob_image, blob_network
from helpers.model_cases import SMALL, random_model
from helpers.shared_data import shared
from torch import Tensor, nn

from simplepose.data.image_lists import list_images
from simplepose.data.images import ImageError, read_image
from simplepose.inference.config import PredictorConfig, PredictorOptions
from simplepose.inference.frame import Frame
from simplepose.inference.heatmaps import resample
from simplepose.inference.predictor import Predictor
from simplepose.network.checkpoint import save_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.network.imhn import IMHN
from simplepose.ops.config import DecodeConfig
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import COCO

BLOBS = [blob_image(*shape)[0] for shape in ((120, 150), (70, 200), (120, 170), (200, 64), (120, 150))]
"""Images whose padded inputs are 128 px high and 192, 384, 192, 64 and 192 px wide."""


def blob_predictor(**settings: object) -> Predictor:
    return Predictor(blob_network, FACE, **{"size": 128, **settings})  # type: ignore[arg-type]


def assert_same(a: Poses, b: Poses, tolerance: float = 0.0) -> None:
    assert len(a) == len(b)
    np.testing.assert_allclose(a.keypoints, b.keypoints, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("image", "size", "scale", "resized", "padded"),
    [
        ((480, 640), 512, 1.0, (512, 683), (512, 704)),
        ((480, 640), 512, 0.5, (256, 341), (256, 384)),
        ((480, 640), 512, 2.0, (1024, 1365), (1024, 1408)),
        ((640, 480), 512, 1.0, (512, 384), (512, 384)),
        ((100, 1000), 512, 1.0, (380, 3800), (384, 3840)),  # the maximum width is 3800
        ((1000, 100), 2000, 2.0, (2600, 260), (2624, 320)),  # the maximum height is 2600
        ((1, 1), 512, 1.0, (512, 512), (512, 512)),
        ((1, 30000), 512, 1.0, (1, 3800), (64, 3840)),
        ((30000, 1), 512, 1.0, (512, 1), (512, 64)),
    ],
)
def test_frames_have_the_expected_sizes(
    image: tuple[int, int], size: int, scale: float, resized: tuple[int, int], padded: tuple[int, int]
) -> None:
    frame = Frame.fit(image, size, scale)
    assert (frame.resized, frame.padded) == (resized, padded)
    assert frame.cells == (-(-resized[0] // 4), -(-resized[1] // 4))


def test_fit_longer_resizes_the_longer_side_to_the_size() -> None:
    assert Frame.fit((480, 640), 512, 1.0, "longer").resized == (384, 512)
    assert Frame.fit((640, 480), 512, 0.5, "longer").resized == (256, 192)
    image = np.zeros((48, 64, 3), np.uint8)
    assert Predictor(blob_network, FACE, size=64, fit="longer").prepare(image).frames[0].resized == (48, 64)


@pytest.mark.parametrize("size", [61, 131, 200, 333])
def test_to_image_inverts_the_resize_of_opencv(size: int) -> None:
    """The pixels of a ramp hold their own positions. After the resize they must equal the positions by `to_image`."""
    ramp = np.broadcast_to(np.arange(20, 220, dtype=np.uint8)[:, None], (200, 200))
    frame = Frame.fit((200, 200), size)
    inner = np.arange(8, size - 8)  # away from the border, where the ramp ends
    for axis, image in enumerate((ramp.T, ramp)):
        resized = frame.place(np.ascontiguousarray(image[..., None].repeat(3, 2)))[..., 0].astype(float)
        expected = (resized[40, inner] if axis == 0 else resized[inner, 40]) - 20
        mapped = frame.to_image(np.float32(np.stack([inner, inner], 1)))[:, axis]
        assert abs((expected - mapped).mean()) < 0.06
        assert np.abs(expected - mapped).max() < 0.8  # the ramp is rounded to bytes


def test_input_is_padded_with_gray_and_scaled_to_one() -> None:
    inputs = []

    def model(x: Tensor) -> Tensor:
        inputs.append(x)
        return torch.zeros(len(x), 6, x.shape[2] // 4, x.shape[3] // 4)

    image = np.full((64, 70, 3), (255, 0, 51), np.uint8)
    poses = Predictor(model, FACE, size=64)(image)
    assert len(poses) == 0
    assert inputs[0].shape == (1, 3, 64, 128)
    assert inputs[0][0, :, 5, 5].tolist() == pytest.approx([1, 0, 0.2])  # in BGR order
    assert inputs[0][0, :, :, 70:].unique().tolist() == pytest.approx([128 / 255])


@pytest.mark.parametrize("extra", [0, 2])
def test_flip_testing_swaps_left_and_right_channels(extra: int) -> None:
    """A model that swaps the channels of a mirrored image: the average must equal the maps of the plain image."""
    count = COCO.num_channels - 2 + extra
    values = torch.rand(count, generator=torch.Generator().manual_seed(0))
    mirrored_values = values[torch.from_numpy(COCO.channel_flip[:count].astype(np.int64))]

    def model(x: Tensor) -> Tensor:
        darker = x[:, 0, 0, 0] > x[:, 0, 0, -1]
        rows = torch.where(darker[:, None], mirrored_values, values)
        return rows[:, :, None, None].expand(-1, -1, x.shape[2] // 4, x.shape[3] // 4)

    image = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    maps = Predictor(model, size=64, flip=True).heatmaps(image).maps
    assert maps.shape == (count, 16, 16)
    assert torch.equal(maps, values[:, None, None].expand_as(maps))


def test_scales_are_averaged_on_the_grid_of_scale_one() -> None:
    image = BLOBS[0]
    single = [blob_predictor(scales=(s,)).heatmaps(image) for s in (0.5, 1.0, 1.5)]
    averaged = blob_predictor(scales=(0.5, 1.0, 1.5)).heatmaps(image)
    frame = Frame.fit(image.shape[:2], 128)
    assert averaged.maps.shape[1:] == frame.cells
    assert averaged.cell_size == (4 / frame.factor[1], 4 / frame.factor[0])
    torch.testing.assert_close(averaged.maps, sum(h.maps for h in single) / 3)
    assert not torch.equal(single[0].maps, single[1].maps)


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.77, 1.3, 2.0])
def test_resampling_keeps_linear_maps(scale: float) -> None:
    """Maps that hold image positions must hold the same positions after resampling to another grid.

    Bicubic interpolation (A = -0.75) keeps a ramp within 0.048 cells. Resampling by the ratio of the numbers of cells
    would be wrong by up to half a cell, since the last cells may extend beyond the image.
    """
    grid, frame = Frame.fit((251, 333), 256), Frame.fit((251, 333), 256, scale)
    for axis in (0, 1):
        cells = [torch.arange(n, dtype=torch.float64) for n in (frame.cells[axis], grid.cells[axis])]
        source, expected = ((c + 0.5) * 4 / f.factor[axis] - 0.5 for c, f in zip(cells, (frame, grid), strict=True))
        shape = (-1, 1) if axis == 0 else (1, -1)
        resampled = resample(source.reshape(shape).expand(*frame.cells)[None].float(), frame, grid)[0]
        assert resampled.shape == grid.cells
        border = int(np.ceil(3 / scale)) + 1  # near the border, interpolation uses repeated values
        inner = slice(border, grid.cells[axis] - border)
        line = resampled[inner, 3] if axis == 0 else resampled[3, inner]
        torch.testing.assert_close(line, expected[inner].float(), rtol=0, atol=0.05 * frame.cell_size[1 - axis])


@pytest.mark.parametrize("settings", [{}, {"flip": True, "scales": (0.5, 1.0)}], ids=["plain", "flip and scales"])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_lists_give_the_poses_of_single_images(settings: dict[str, object], batch_size: int) -> None:
    """Images of mixed sizes come in order and do not depend on the batch."""
    predictor = blob_predictor(batch_size=batch_size, **settings)
    found = predictor(BLOBS)
    assert isinstance(found, list)
    assert all(len(poses) for poses in found)
    for image, poses in zip(BLOBS, found, strict=True):
        assert_same(poses, predictor(image), 1e-3)
    assert predictor([]) == []


def test_images_of_equal_padded_size_share_a_batch() -> None:
    sizes = []

    def model(x: Tensor) -> Tensor:
        sizes.append((len(x), x.shape[3]))
        return blob_network(x)

    predictor = Predictor(model, FACE, size=128, batch_size=8)
    list(predictor.predict_many(BLOBS))
    assert sizes == [(3, 192), (1, 384), (1, 64)]
    sizes.clear()
    list(predictor.predict_many(BLOBS, batch_size=2))
    assert max(count for count, _ in sizes) == 2


def test_maps_of_a_batch_equal_those_of_single_images() -> None:
    predictor = Predictor(random_model(), size=64, flip=True, batch_size=3)
    images = [np.random.default_rng(i).integers(0, 256, (64, 60 + i, 3), dtype=np.uint8) for i in range(3)]
    prepared = [predictor.prepare(image) for image in images]
    together = predictor.average(prepared, predictor.run_network(prepared))
    for image, heatmaps in zip(images, together, strict=True):
        torch.testing.assert_close(heatmaps.maps, predictor.heatmaps(image).maps, rtol=1e-4, atol=1e-5)


def test_damaged_images_do_not_stop_the_others(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    PIL.Image.fromarray(BLOBS[0]).save(good)
    bad.write_bytes(b"no image")
    predictor = blob_predictor(batch_size=2)
    results = list(predictor.predict_many([good, bad, tmp_path / "none.png", str(good)]))
    assert [r.source for r in results] == [good, bad, tmp_path / "none.png", str(good)]
    assert [r.error is None for r in results] == [True, False, False, True]
    assert_same(results[0].poses, results[3].poses)
    assert np.array_equal(results[0].image, read_image(good))
    assert results[1].image is None
    with pytest.raises(ImageError, match=r"bad\.png: not an image"):
        _ = results[1].poses
    for call in (lambda: predictor([good, bad]), lambda: predictor(bad), lambda: predictor.heatmaps(bad)):
        with pytest.raises(ImageError, match=r"bad\.png: not an image"):
            call()
    with pytest.raises(TypeError, match="image: expected a path"):
        list(predictor.predict_many([good, 7]))


def test_paths_arrays_tensors_and_pil_images_give_the_same_poses(tmp_path: Path) -> None:
    image = BLOBS[0]
    PIL.Image.fromarray(image[..., ::-1]).save(tmp_path / "a.png")
    predictor = blob_predictor()
    expected = predictor(image)
    assert len(expected)
    inputs = (str(tmp_path / "a.png"), PIL.Image.open(tmp_path / "a.png"), torch.from_numpy(image).permute(2, 0, 1))
    for value in (*inputs, image.astype(np.uint16) * 257):
        assert_same(predictor(value), expected)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 3000, 3), (3000, 1, 3), (40, 50), (33, 17, 4), (65, 64, 1)], ids=str)
def test_images_of_extreme_shapes_are_processed(shape: tuple[int, ...]) -> None:
    image = np.full(shape, 90, np.uint8)
    heatmaps = Predictor(random_model(), size=64, scales=(0.5, 1.0), flip=True).heatmaps(image)
    assert heatmaps.maps.shape == (COCO.num_channels, *Frame.fit(shape[:2], 64).cells)
    assert heatmaps.maps.isfinite().all()
    empty = blob_predictor(scales=(0.5, 1.0), flip=True)(image)
    assert (len(empty), empty.keypoints.shape, empty.skeleton) == (0, (0, 3, 3), FACE)


def test_poses_of_photos_lie_inside_the_image() -> None:
    """With random weights the maps are noise near 0. The test scales them up so that they have peaks."""
    model = random_model(ModelConfig.preset("tiny"))
    with torch.no_grad():
        for stack in model.stacks:
            stack.heads[0].predict.weight.mul_(300)
    predictor = Predictor(model, size=96)
    photos = list_images(shared("data/photos") / "*.jpg")
    results = list(predictor.predict_many(photos))
    assert len(results) == 17
    assert any(len(result.poses) for result in results)
    for result in results:
        assert result.image is not None
        found = result.poses.visible
        xy, (height, width) = result.poses.keypoints[..., :2][found], result.image.shape[:2]
        margin = 8 * height / 96  # the last cell may extend beyond the image
        assert ((xy > -margin) & (xy < np.array([width, height]) + margin)).all()
        assert np.isnan(result.poses.keypoints[..., 0][~found]).all()


def test_the_full_network_gives_finite_maps() -> None:
    """imhn4-512 at 64 px, without its initialization and optimized copy, which take longer than the forward pass."""
    with torch.device("meta"):
        model = IMHN(ModelConfig.preset("imhn4-512"))
    model.to_empty(device="cpu").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.02, 0.02)
        for statistic in model.buffers():
            statistic.fill_(1)
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    heatmaps = Predictor(model, size=64, optimize=False).heatmaps(image)
    assert heatmaps.maps.shape == (50, 16, 16)
    assert heatmaps.maps.isfinite().all()


def test_a_checkpoint_sets_skeleton_and_size(tmp_path: Path) -> None:
    config = ModelConfig(stacks=1, width=16, growth=4, input_size=128, channels=FACE.num_channels)
    model = random_model(config)
    save_checkpoint(tmp_path / "a.safetensors", model, FACE)
    predictor = Predictor.from_checkpoint(tmp_path / "a.safetensors", device="cpu", scales=(1, 0.5), flip=True)
    assert (predictor.size, predictor.skeleton, predictor.config.scales) == (128, FACE, (1.0, 0.5))
    direct = Predictor(model, FACE, scales=(1, 0.5), flip=True, optimize=False)
    torch.testing.assert_close(predictor.heatmaps(BLOBS[0]).maps, direct.heatmaps(BLOBS[0]).maps, rtol=1e-3, atol=1e-4)
    assert isinstance(predictor(BLOBS[0]), Poses)
    with pytest.raises(FileNotFoundError, match="known: tiny"):
        Predictor.from_checkpoint("huge")


def test_checkpoints_bring_their_settings_and_options_win(tmp_path: Path) -> None:
    use = {
        "size": 192,
        "fit": "longer",
        "decode": {"peak_threshold": 0.2, "part_threshold": 0.3},
        "evaluation": {"part_threshold": 0.05},
    }
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, random_model(), use=use)

    def thresholds(predictor: Predictor) -> tuple[float, float]:
        return predictor.config.decode.peak_threshold, predictor.config.decode.part_threshold

    shown = Predictor.from_checkpoint(path, device="cpu")
    assert (shown.size, shown.config.fit, thresholds(shown)) == (192, "longer", (0.2, 0.3))
    assert thresholds(Predictor.from_checkpoint(path, device="cpu", purpose="evaluation")) == (0.2, 0.05)
    chosen = Predictor.from_checkpoint(path, device="cpu", size=64, decode=DecodeConfig())
    assert (chosen.size, chosen.config.fit, thresholds(chosen)) == (64, "longer", (0.1, 0.1))
    explicit = Predictor.from_checkpoint(path, device="cpu", config=PredictorConfig())
    assert (explicit.size, explicit.config.fit, thresholds(explicit)) == (512, "height", (0.1, 0.1))
    with pytest.raises(ValueError, match="use: unknown 'shape'"):
        PredictorConfig.from_use({"shape": 1})
    with pytest.raises(ValueError, match=r"use\.decode: unknown .peaks."):
        PredictorConfig.from_use({"decode": {"peaks": 1}})


@pytest.mark.parametrize("optimize", [True, False])
def test_bfloat16_maps_are_close_to_float32_maps(optimize: bool) -> None:
    exact, rounded = (
        Predictor(random_model(), size=64, precision=p, optimize=optimize) for p in ("float32", "bfloat16")
    )
    a, b = (predictor.heatmaps(BLOBS[0]).maps for predictor in (exact, rounded))
    assert b.dtype == torch.float32
    assert 0 < (a - b).abs().max() < 0.1 * a.abs().max()


def test_decoding_uses_the_settings_of_the_predictor() -> None:
    assert len(blob_predictor()(BLOBS[0]))
    assert len(blob_predictor(decode=DecodeConfig(peak_threshold=0.99))(BLOBS[0])) == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: blob_predictor(scales=()), ValueError, "scales: expected one or more numbers"),
        (lambda: blob_predictor(scales=(1, -2)), ValueError, "scales: .* 0.01 to 100"),
        (lambda: blob_predictor(scales=1.0), TypeError, r"scales: expected numbers such as \(0.5, 1.0\), got 1.0"),
        (lambda: blob_predictor(fit="width"), ValueError, "fit: expected one of 'height', 'longer', got 'width'"),
        (lambda: blob_predictor(size=0), ValueError, "size: expected 1 to 16384, got 0"),
        (lambda: blob_predictor(batch_size=0), ValueError, "batch_size: expected 1"),
        (lambda: blob_predictor(precision="int8"), ValueError, "precision: expected one of 'float32', .*'int8'"),
        (lambda: blob_predictor(flip="no"), TypeError, "flip: expected True or False, got 'no'"),
        (lambda: blob_predictor(stride=4), TypeError, "stride: no such setting of a predictor; known are size, fit"),
        (lambda: blob_predictor(device="gpu"), ValueError, "device: expected 'auto', 'cpu', 'cuda'.*'gpu'"),
        (lambda: blob_predictor(device="cuda:99"), RuntimeError, "device: 'cuda:99' does not exist"),
        (lambda: Predictor(nn.Conv2d(3, 6, 1)), ValueError, "model: expected a model in eval mode"),
        (lambda: Predictor(blob_network, "coco"), TypeError, "skeleton: expected a Skeleton"),
        (
            lambda: Predictor(blob_network, size=64)(BLOBS[0]),
            ValueError,
            r"model: expected maps \[1, 48, 16, 32\] or \[1, 50, 16, 32\] .* \[1, 3, 64, 128\], got \[1, 6, 16, 32\]",
        ),
    ],
)
def test_invalid_arguments_are_rejected_with_a_message(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_callers_network_does_not_change() -> None:
    model = IMHN(SMALL).train()
    Predictor(model, size=64)(np.zeros((64, 64, 3), np.uint8))
    assert model.training
    assert all(p.requires_grad for p in model.parameters())


def test_keyword_arguments_are_the_fields_of_the_config() -> None:
    assert list(PredictorOptions.__annotations__) == [field.name for field in fields(PredictorConfig)]
    assert Predictor(blob_network, FACE, PredictorConfig(flip=True), size=64).config.flip


@pytest.mark.parametrize("settings", [{}, {"flip": True, "scales": (1.0, 0.5)}])
def test_kept_heatmaps_are_the_decoded_ones_without_another_run(settings: dict[str, object]) -> None:
    runs = []

    def network(x: torch.Tensor) -> torch.Tensor:
        runs.append(len(x))
        return blob_network(x)

    predictor = Predictor(network, FACE, size=128, **settings)  # type: ignore[arg-type]
    plain = list(predictor.predict_many(BLOBS[:2]))
    runs_without, runs[:] = list(runs), []
    kept = list(predictor.predict_many(BLOBS[:2], keep_heatmaps=True))
    assert runs == runs_without
    for with_heatmaps, without in zip(kept, plain, strict=True):
        assert without.heatmaps is None
        assert with_heatmaps.heatmaps is not None
        np.testing.assert_array_equal(with_heatmaps.poses.keypoints, without.poses.keypoints)
        decoded = predictor.decode(with_heatmaps.heatmaps)
        np.testing.assert_array_equal(decoded.keypoints, with_heatmaps.poses.keypoints)
