"""A whole predictor as one graph, for programs without segtune: ONNX, or torch's own export.

Shape suffixes: B batch (always 1), K classes, H W the network's input.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segcore.batch import Batch, Size
from segcore.classes import ClassSpec
from segcore.files import whole
from segcore.predict.predictor import Predictor
from segcore.training.ensemble import Network

Format = Literal["onnx", "torch-export"]
FORMATS: tuple[Format, ...] = get_args(Format)
SUFFIX: dict[Format, str] = {"onnx": ".onnx", "torch-export": ".pt2"}
OUTPUT = "probabilities"
TOLERANCE = 1e-3
"""How far a probability of the graph may be from the predictor's."""
LARGEST = 1_900_000_000
"""Bytes of weights in one ONNX file, whose format ends at 2 GB."""


class Whole(nn.Module):
    """What a predictor does with an image of its network's own size."""

    def __init__(self, system: Network, classes: ClassSpec, size: Size) -> None:
        super().__init__()
        self.system, self._classes, self._size = system, classes, size

    def forward(self, image_BHW3: Tensor, depth_BHW: Tensor | None = None) -> Tensor:
        """Probabilities (1, K, H, W) of RGB, and of a depth map that is larger farther, both uint8
        and of the network's size."""
        count = len(image_BHW3)
        names = ("0",) * count
        batch = Batch(
            image_B3HW=image_BHW3.permute(0, 3, 1, 2).float() / 255,
            target_BKHW=torch.empty(count, len(self._classes.names), 0, 0),
            sample_ids=names,
            patient_ids=names,
            depth_B1HW=None if depth_BHW is None else depth_BHW[:, None].float() / 255,
        )
        logits_BKHW = self.system(batch, self._size).logits_BKhw.float()
        return self._classes.probabilities(logits_BKHW)


def export_graph(predictor: Predictor, path: Path, form: Format) -> float:
    """Write a predictor as a graph of float32 on the CPU, and hold it against the predictor.

    Its inputs are `image` (1, H, W, 3), RGB, and where the network looks at depth `depth`
    (1, H, W), both uint8 and of the network's size; its output is `probabilities` (1, K, H, W), in
    the order of the classes. Images of another size are resized before, by area where they are
    made smaller, as the predictor does.

    Args:
        predictor: on the CPU, in float32.
        path: of the file, ending in `.onnx` or `.pt2`.
        form: of it.

    Returns:
        The largest difference of a probability on three random images.

    Raises:
        ValueError: the network can't be a graph, the path is none to write, or the graph says
            something else.
    """
    faults = [*_faults(predictor, path, form)]
    if faults:
        raise ValueError("\n".join(faults))
    model = Whole(predictor.system, predictor.classes, predictor.size).eval()
    pairs = [_random(predictor, seed) for seed in range(3)]
    tensors = tuple(torch.from_numpy(x)[None] for x in pairs[0] if x is not None)
    with whole(path) as place, torch.no_grad():
        with _quiet():
            try:
                program = torch.export.export(model, tensors)
            except Exception as error:  # torch has no class of its own for it
                raise ValueError(
                    f"{predictor.config.name} can't be written as a graph: "
                    f"{str(error).strip().splitlines()[0]}"
                ) from error
            if form == "onnx":
                names = ["image", "depth"][: len(tensors)]
                torch.onnx.export(
                    program,
                    dynamo=True,
                    verbose=False,
                    input_names=names,
                    output_names=[OUTPUT],
                    f=place,
                    external_data=False,
                )
            else:
                torch.export.save(program, place)
        off = max(_off(predictor, place, form, image, depth) for image, depth in pairs)
        if not off <= TOLERANCE:
            raise ValueError(
                f"the graph differs from the predictor by {off:.2g}, more than {TOLERANCE:g}: it "
                "was not written"
            )
    return off


def run_graph(
    path: Path, form: Format, image_HW3: NDArray[np.uint8], depth_HW: NDArray[np.uint8] | None
) -> NDArray[np.float32]:
    """What a graph says of an image of its own size: probabilities (K, H, W)."""
    inputs = [x[None] for x in (image_HW3, depth_HW) if x is not None]
    if form == "torch-export":
        module = torch.export.load(path).module()
        with torch.no_grad():
            found: NDArray[np.float32] = module(*map(torch.from_numpy, inputs))[0].numpy()
        return found
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    named = {put.name: x for put, x in zip(session.get_inputs(), inputs, strict=True)}
    (probabilities,) = session.run([OUTPUT], named)
    return np.asarray(probabilities[0], dtype=np.float32)


def _faults(predictor: Predictor, path: Path, form: Format) -> Iterator[str]:
    if path.suffix != SUFFIX[form]:
        yield f"{path}: a graph of the form {form} is written as {SUFFIX[form]}"
    if not path.absolute().parent.is_dir():
        yield f"{path.parent} is not a folder: make it first"
    if not predictor.tta.is_off:
        yield "this network sees each image several times (tta), and a graph sees it once"
    if predictor.takes_prompts and predictor.prompts.source not in ("none", "image"):
        yield (
            f"this network is told boxes (prompts.source={predictor.prompts.source!r}), and a "
            "graph has no input for them"
        )
    size = sum(x.numel() * x.element_size() for x in predictor.system.state_dict().values())
    if form == "onnx" and size > LARGEST:
        yield f"{size / 1e9:.1f} GB of weights are too many for one ONNX file: use torch-export"


def _random(predictor: Predictor, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    rng = np.random.default_rng(seed)
    image_HW3 = rng.integers(0, 256, (*predictor.size, 3), dtype=np.uint8)
    depth_HW = rng.integers(0, 256, predictor.size, dtype=np.uint8)
    return image_HW3, depth_HW if predictor.needs_depth else None


def _off(
    predictor: Predictor,
    path: Path,
    form: Format,
    image_HW3: NDArray[np.uint8],
    depth_HW: NDArray[np.uint8] | None,
) -> float:
    depths = None if depth_HW is None else [depth_HW]
    (own,) = predictor([image_HW3], depths, probabilities=True)
    assert own.probabilities_KHW is not None, "they were asked for"
    found_KHW = run_graph(path, form, image_HW3, depth_HW)
    return float(np.abs(found_KHW - own.probabilities_KHW).max())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters log of their own optimisations."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
