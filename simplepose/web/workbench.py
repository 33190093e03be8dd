"""What the page does with what a browser sends. It needs no web server: a picture and settings in, results out."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.checks import one_line
from simplepose.data.images import ImageError
from simplepose.io.json_text import to_json
from simplepose.web.analysis import Analysis, Analyzer
from simplepose.web.files import Files, download_stem
from simplepose.web.settings import CONTROLS, NetworkSettings, View, decode_config
from simplepose.web.views import caption, draw_people, draw_view, people_table, summary, times_table

MOST_JPEG_SIDE = 65500
"""The longest side of a JPEG in pixels (libjpeg); a longer picture is written as PNG."""

NO_PICTURE = "Upload a picture, or choose an example."

INTERNAL_ERROR = "error: the server failed on this request; its log has the details"


@dataclass(frozen=True)
class Shown:
    """All that the page shows after an event."""

    status: str
    analysis: Analysis | None = None  # kept for the next event
    picture: NDArray[np.uint8] | None = None  # [H, W, 3] RGB
    caption: str = ""
    people: list[list[str]] = field(default_factory=list)
    times: list[list[str]] = field(default_factory=list)
    json_file: Path | None = None
    picture_file: Path | None = None


@dataclass(frozen=True)
class Request:
    """What a browser sent on an event; its values are not checked yet."""

    analysis: Analysis | None  # that was kept after the event before; None: none was
    upload: Any  # as `Files.upload` takes it; None: there is no picture
    settings: Mapping[str, Any]  # the fields of `NetworkSettings` by name
    decoding: Mapping[str, Any]  # the values of `CONTROLS` by name
    view: Mapping[str, Any]  # the fields of `View` by name


class Workbench:
    """The events of the page. A wrong value or file gives a `Shown` with an error as its status, not an exception.

    Args:
        analyzer: runs the networks.
        files: the uploads and the files to download.
    """

    def __init__(self, analyzer: Analyzer, files: Files) -> None:
        self.analyzer = analyzer
        self.files = files

    def own_decoding(self, checkpoint: str) -> dict[str, Any]:
        """The values of `CONTROLS` by name that a checkpoint contains; ValueError if there is no such checkpoint."""
        config = self.analyzer.predictor(checkpoint).config.decode
        return {control.name: getattr(config, control.name) for control in CONTROLS}

    def analyze(self, request: Request) -> Shown:
        """Run the network on the upload and show its people."""
        return _guarded(lambda: self._analyze(request))

    def decode(self, request: Request) -> Shown:
        """Decode the kept maps by the rules of the request; without kept maps as `analyze`."""

        def run(analysis: Analysis) -> Shown:
            config = decode_config(analysis.config, request.decoding)
            return self._show(self.analyzer.decode(analysis, config), View(**request.view))

        return self._kept(request, run)

    def show(self, request: Request) -> Shown:
        """Show the kept people and maps in the view of the request; without kept maps as `analyze`.

        The result has no files to download: `restyle` also writes these.
        """
        return self._kept(request, lambda analysis: self._drawn(analysis, View(**request.view)))

    def restyle(self, request: Request) -> Shown:
        """As `show`, and draw the people of the picture to download again."""
        return self._kept(request, lambda analysis: self._show(analysis, View(**request.view)))

    def _kept(self, request: Request, run: Callable[[Analysis], Shown]) -> Shown:
        analysis = request.analysis
        return self.analyze(request) if analysis is None else _guarded(lambda: run(analysis), analysis)

    def _analyze(self, request: Request) -> Shown:
        if request.upload is None:
            return Shown(NO_PICTURE)
        chosen, view = NetworkSettings(**request.settings), View(**request.view)
        config = decode_config(self.analyzer.predictor(chosen.checkpoint).config.decode, request.decoding)
        path, name = self.files.upload(request.upload)
        return self._show(self.analyzer.analyze(path, name, chosen, config), view)

    def _show(self, analysis: Analysis, view: View) -> Shown:
        """The view, and the files to download."""
        shown = self._drawn(analysis, view)
        stem = f"{download_stem(analysis.name)}_poses"
        suffix = ".jpg" if max(analysis.image.shape[:2]) <= MOST_JPEG_SIDE else ".png"
        drawn = cv2.imencode(suffix, draw_people(analysis.image, analysis.poses, view))[1].tobytes()
        results = to_json(analysis.poses.to_coco(1)).encode()
        json_file, picture_file = self.files.new_downloads({f"{stem}.json": results, f"{stem}{suffix}": drawn})
        return replace(shown, json_file=json_file, picture_file=picture_file)

    def _drawn(self, analysis: Analysis, view: View) -> Shown:
        """The view without files to download."""
        return Shown(
            summary(analysis, view),
            analysis,
            np.asarray(cv2.cvtColor(draw_view(analysis, view), cv2.COLOR_BGR2RGB), np.uint8),
            caption(analysis, view),
            people_table(analysis, view),
            times_table(analysis),
        )


def _guarded(run: Callable[[], Shown], analysis: Analysis | None = None) -> Shown:
    """The result of ``run``, or its error; after an error ``analysis`` is still kept."""
    try:
        return run()
    except (ImageError, TypeError, ValueError, MemoryError) as error:
        return Shown(f"error: {one_line(error) or type(error).__name__}", analysis)
    except Exception:
        traceback.print_exc(file=sys.stderr)
        return Shown(INTERNAL_ERROR, analysis)
