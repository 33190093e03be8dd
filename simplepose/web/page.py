"""The layout of the page, in gradio. What happens on an event is in `simplepose.web.workbench`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gradio as gr

from simplepose.web.files import KEEP_SECONDS
from simplepose.web.settings import (
    CONTROLS,
    LAYERS,
    LEAST_SIZE,
    MOST_SIZE,
    SCALES,
    SIZE_STEP,
    Control,
    Example,
    NetworkSettings,
    View,
)
from simplepose.web.views import PEOPLE_HEADER, TIMES_HEADER, map_names
from simplepose.web.workbench import NO_PICTURE, Request, Shown, Workbench

TITLE = "simplepose"

MOST_SESSIONS = 8
"""The number of browsers whose pictures and maps are kept; the picture of an older one is analyzed again."""

MOST_WAITING = 32
"""The number of events that may wait for a prediction; further ones get an error."""

MOST_KEYPOINTS = 20
"""The end of the slider of the minimum number of keypoints."""

NETWORK_FIELDS = tuple(field.name for field in fields(NetworkSettings))
VIEW_FIELDS = tuple(field.name for field in fields(View))

CLEAN_SECONDS = 600
"""Time between two removals of old uploads."""


def build_page(workbench: Workbench, examples: Sequence[Example]) -> Any:
    """The page as `gradio.Blocks`."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(CLEAN_SECONDS, int(KEEP_SECONDS))) as blocks:
        _Page(workbench, examples)
    blocks.queue(max_size=MOST_WAITING, default_concurrency_limit=1, api_open=False)
    blocks.state_session_capacity = MOST_SESSIONS
    return blocks


class _Page:
    """The components of the page and their events."""

    def __init__(self, workbench: Workbench, examples: Sequence[Example]) -> None:
        self.workbench = workbench
        self.examples = examples
        self.analysis = gr.State(None, time_to_live=KEEP_SECONDS)
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                self._add_inputs()
            with gr.Column(scale=2, min_width=480):
                self._add_view()
                self._add_results()
        self.settings = [self.checkpoint, self.size, self.scales, self.flip]
        self.views = [self.layer, self.index, self.blend, self.min_keypoints, self.people, self.boxes, self.names]
        self.inputs = [self.analysis, self.image, *self.settings, *self.controls.values(), *self.views]
        self.results = [self.status, self.picture, self.caption, self.people_table, self.times_table]
        self.outputs = [self.analysis, *self.results, self.json_button, self.picture_button]
        self._add_events()

    def _add_inputs(self) -> None:
        own = self.workbench.analyzer.checkpoints[0]
        gr.Markdown(f"# {TITLE}")
        self.image = gr.Image(
            label="picture", type="filepath", sources=["upload", "webcam", "clipboard"], height=300, elem_id="upload"
        )
        self.samples = gr.Dataset(
            label="examples",
            components=[gr.Image(visible=False, type="filepath")],
            samples=[[str(example.path)] for example in self.examples],
            type="index",
            elem_id="examples",
        )
        self.checkpoint = gr.Dropdown(
            self.workbench.analyzer.checkpoints, value=own, label="checkpoint", elem_id="checkpoint"
        )
        with gr.Accordion("network", open=False):
            size = self.workbench.analyzer.own_size(own)
            self.size = gr.Slider(LEAST_SIZE, MOST_SIZE, size, step=SIZE_STEP, label="input size in pixels")
            self.scales = gr.CheckboxGroup(list(SCALES), value=[1.0], label="input scales")
            self.flip = gr.Checkbox(False, label="flip testing")
        with gr.Accordion("decoding", open=False, elem_id="decoding"):
            values = self.workbench.own_decoding(own)
            self.controls = {control.name: _control(control, values[control.name]) for control in CONTROLS}
            self.reset = gr.Button("the checkpoint's own settings", size="sm")
        self.times_table = gr.Dataframe(
            headers=list(TIMES_HEADER), label="times", interactive=False, elem_id="times", type="array"
        )

    def _add_view(self) -> None:
        self.status = gr.Textbox(NO_PICTURE, label="people", interactive=False, elem_id="status", lines=1, max_lines=3)
        self.layer = gr.Radio(list(LAYERS), value="people", label="view", elem_id="layer")
        with gr.Row():
            self.index = gr.Slider(0, 1, 0, step=1, label="map, 0 is all", interactive=False, elem_id="index")
            self.blend = gr.Slider(0.0, 1.0, View().blend, step=0.05, label="blend", elem_id="blend")
        self.picture = gr.Image(
            label="result", interactive=False, format="jpeg", buttons=["fullscreen"], elem_id="picture"
        )
        with gr.Row():
            self.caption = gr.Textbox(label="shown", interactive=False, elem_id="caption", scale=3)
            self.people = gr.Checkbox(View().people, label="people over maps", min_width=120)

    def _add_results(self) -> None:
        with gr.Row():
            self.json_button = gr.DownloadButton("COCO results (JSON)", interactive=False, size="md", elem_id="json")
            self.picture_button = gr.DownloadButton(
                "picture with people", interactive=False, size="md", elem_id="drawn"
            )
        self.people_table = gr.Dataframe(
            headers=list(PEOPLE_HEADER), label="people", interactive=False, elem_id="people", type="array"
        )
        with gr.Row():
            self.min_keypoints = gr.Slider(
                1, MOST_KEYPOINTS, View().min_keypoints, step=1, label="minimum keypoints of a person"
            )
            with gr.Column():
                self.boxes = gr.Checkbox(False, label="boxes")
                self.names = gr.Checkbox(False, label="names of keypoints")

    def _add_events(self) -> None:
        events = self.workbench
        self._on([self.image.input], events.analyze)
        self._on([c.input for c in (self.size, self.scales, self.flip)], events.analyze)
        self._on([c.input for c in self.controls.values()], events.decode)
        self._on([c.input for c in (self.index, self.blend, self.people)], events.show)
        self._on([c.input for c in (self.min_keypoints, self.boxes, self.names)], events.restyle)
        self._listen([self.layer.input], self._choose_layer, self.inputs, [*self.outputs, self.index])
        own = [self.size, *self.controls.values(), self.index]
        self._listen([self.checkpoint.input], self._choose_checkpoint, self.inputs, [*self.outputs, *own])
        controls = [*self.outputs, *self.controls.values()]
        self._listen([self.reset.click], self._reset_decoding, self.inputs, controls)
        chosen = [self.image, self.checkpoint, self.size, self.scales, self.flip, *self.controls.values(), self.index]
        inputs = [self.samples, *self.inputs]
        self._listen([self.samples.click], self._choose_example, inputs, [*self.outputs, *chosen])

    def _on(self, triggers: Sequence[Any], run: Callable[[Request], Shown]) -> None:
        """Call a method of the workbench on the triggers, and show its result."""
        self._listen(triggers, lambda *values: self._updates(run(self._request(values))), self.inputs, self.outputs)

    def _listen(self, triggers: Sequence[Any], run: Callable[..., Any], inputs: Any, outputs: Any) -> None:
        """Run one event at a time, in the order of arrival; of a moving slider only the last position waits.

        The values arrive as the browser sent them (``preprocess=False``): the workbench checks them. Gradio itself
        would decode an uploaded picture before its size is checked.
        """
        gr.on(
            list(triggers),
            run,
            inputs,
            outputs,
            preprocess=False,
            queue=True,
            trigger_mode="always_last",
            concurrency_id="prediction",
            concurrency_limit=1,
            api_visibility="private",
            show_progress="minimal",
        )

    def _request(self, values: Sequence[Any]) -> Request:
        """The values of `inputs` as a request to the workbench."""
        analysis, upload, *rest = values
        settings, rest = rest[: len(self.settings)], rest[len(self.settings) :]
        decoding, view = rest[: len(self.controls)], rest[len(self.controls) :]
        return Request(
            analysis,
            upload,
            dict(zip(NETWORK_FIELDS, settings, strict=True)),
            dict(zip(self.controls, decoding, strict=True)),
            dict(zip(VIEW_FIELDS, view, strict=True)),
        )

    def _choose_layer(self, *values: Any) -> list[Any]:
        request = _with_all_maps(self._request(values))
        index = self._index(request.settings["checkpoint"], request.view["layer"])
        return [*self._updates(self.workbench.show(request)), index]

    def _choose_checkpoint(self, *values: Any) -> list[Any]:
        request = _with_all_maps(self._request(values))
        checkpoint = request.settings["checkpoint"]
        size, own = self.workbench.analyzer.own_size(checkpoint), self.workbench.own_decoding(checkpoint)
        request = replace(request, settings={**request.settings, "size": size}, decoding=own)
        shown = self._updates(self.workbench.analyze(request))
        return [*shown, size, *own.values(), self._index(checkpoint, request.view["layer"])]

    def _reset_decoding(self, *values: Any) -> list[Any]:
        request = self._request(values)
        own = self.workbench.own_decoding(request.settings["checkpoint"])
        return [*self._updates(self.workbench.decode(replace(request, decoding=own))), *own.values()]

    def _choose_example(self, chosen: Any, *values: Any) -> list[Any]:
        example = self.examples[int(chosen)]
        settings = vars(example.settings)
        own = self.workbench.own_decoding(example.settings.checkpoint)
        request = _with_all_maps(self._request(values))
        request = replace(request, upload={"path": str(example.path)}, settings=settings, decoding=own)
        shown = self._updates(self.workbench.analyze(request))
        index = self._index(example.settings.checkpoint, request.view["layer"])
        network = [list(value) if isinstance(value, tuple) else value for value in settings.values()]
        return [*shown, str(example.path), *network, *own.values(), index]

    def _index(self, checkpoint: str, layer: Any) -> Any:
        """The slider of the map, at 0, for a layer of a checkpoint's skeleton."""
        names = map_names(self.workbench.analyzer.predictor(checkpoint).skeleton, layer)
        return gr.Slider(maximum=max(1, len(names)), value=0, interactive=bool(names))

    def _updates(self, shown: Shown) -> list[Any]:
        """The values of `outputs`. After an error the last picture of a kept analysis stays."""
        if shown.analysis is not None and shown.picture is None:
            return [shown.analysis, shown.status, *[gr.skip()] * (len(self.outputs) - 2)]
        files = [_download(path) for path in (shown.json_file, shown.picture_file)]
        if shown.analysis is not None and shown.json_file is None:
            files = [gr.skip(), gr.skip()]
        tables = [{"headers": list(header), "data": rows} for header, rows in (
            (PEOPLE_HEADER, shown.people),
            (TIMES_HEADER, shown.times),
        )]  # fmt: skip
        return [shown.analysis, shown.status, shown.picture, shown.caption, *tables, *files]


def _with_all_maps(request: Request) -> Request:
    """The request with a view of all maps of its layer."""
    return replace(request, view={**request.view, "index": 0})


def _control(control: Control, value: Any) -> Any:
    """The component of a setting of decoding."""
    if control.most is None:
        return gr.Checkbox(value, label=control.label, elem_id=control.name)
    return gr.Slider(control.least, control.most, value, step=control.step, label=control.label, elem_id=control.name)


def _download(path: Path | None) -> Any:
    """A button for a file; without one it cannot be pressed."""
    return gr.DownloadButton(value=None if path is None else str(path), interactive=path is not None)
