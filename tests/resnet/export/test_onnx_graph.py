"""The ONNX graph, run by ONNX Runtime, against the TensorFlow functions of the same model."""

import json
import textwrap
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from resnet.export.classifier import Classifier
from resnet.export.onnx_graph import onnx_model
from resnet.images.decoding import resize_and_crop as with_pillow
from resnet.network.model import ResNet
from tests.imports import ROOT
from tests.resnet.export.test_resampling import photograph

NAMES = ["cat", "Hündin", "owl"]


def network(size: int = 48, blocks: tuple[int, ...] = (2, 1), **options: object) -> ResNet:
    """Weights that no layer ignores: batch normalisation does nothing under its initial ones."""
    keras.utils.set_random_seed(0)
    model = ResNet((size, size, 3), 3, blocks=blocks, width=8, zero_init_last_gamma=False, class_names=NAMES, **options)  # type: ignore[arg-type]
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    return model


def run(model: onnx.ModelProto, images: np.ndarray, output: str = "probabilities") -> np.ndarray:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    if output != "probabilities":
        made.graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([output], {"images": images})[0]


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("variant", ["v1", "v1.5", "D"])
@pytest.mark.parametrize(("stem", "size"), [("large", 49), ("small", 23)])
def test_each_architecture_computes_the_same_as_in_tensorflow(depth: int, variant: str, stem: str, size: int) -> None:
    model = network(size, depth=depth, variant=variant, stem=stem)
    images = np.random.default_rng(1).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    expected = Classifier(model).images(images)["probabilities"].numpy()
    assert np.ptp(expected) > 0.2  # or all would agree, whatever they saw
    np.testing.assert_allclose(run(onnx_model(model), images), expected, atol=1e-5)


def test_the_program_of_the_guide_prints_a_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("exports").mkdir()
    model = network(23, depth=18, stem="small")
    onnx.save(onnx_model(model), "exports/resnet.onnx")
    Image.new("RGB", (40, 31), (200, 30, 30)).save("photo.jpg")
    expected = Classifier(model).images(np.asarray(Image.open("photo.jpg"))[None])["probabilities"].numpy()[0]
    block = (ROOT / "docs/guide.md").read_text("utf-8").split("With ONNX Runtime alone")[1].split("\n\n")[1]
    exec(textwrap.dedent(block), {})
    name, probability = capsys.readouterr().out.split()
    assert name == NAMES[expected.argmax()]
    assert float(probability) == pytest.approx(expected.max(), abs=1e-4)


@pytest.fixture(scope="module")
def pair() -> tuple[onnx.ModelProto, Classifier]:
    model = network()
    return onnx_model(model), Classifier(model)


@pytest.mark.parametrize(
    "size", [(48, 48), (1, 1), (7, 9), (100, 61), (61, 100), (40, 233), (233, 40), (170, 171), (49, 300), (300, 49)]
)
def test_images_of_any_size_are_resized_as_in_tensorflow(
    pair: tuple[onnx.ModelProto, Classifier], size: tuple[int, int]
) -> None:
    images = np.stack([np.asarray(photograph(*size)), np.asarray(photograph(*size))[::-1]])
    expected = pair[1].images(images)["probabilities"].numpy()
    # A sum halfway between two levels may be rounded either way, which moves a probability by up to 3e-4 here.
    np.testing.assert_allclose(run(pair[0], images), expected, atol=2e-3)


@pytest.mark.parametrize("size", [(100, 61), (61, 100), (60, 49), (49, 300)])
def test_the_network_sees_the_pixels_that_pillow_makes(pair: tuple[onnx.ModelProto, Classifier], size: tuple[int, int]) -> None:
    image = photograph(*size)
    found = run(pair[0], np.asarray(image)[None], "resized")[0].transpose(1, 2, 0)
    difference = np.abs(found - with_pillow(image, 48))
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 0.002


def test_dimensions_have_names_and_the_metadata_has_the_classes(pair: tuple[onnx.ModelProto, Classifier]) -> None:
    model = pair[0]
    onnx.checker.check_model(model, full_check=True)
    described = [
        (
            value.name,
            value.type.tensor_type.elem_type,
            [one.dim_param or one.dim_value for one in value.type.tensor_type.shape.dim],
        )
        for value in (*model.graph.input, *model.graph.output)
    ]
    assert described == [
        ("images", onnx.TensorProto.UINT8, ["batch", "height", "width", 3]),
        ("probabilities", onnx.TensorProto.FLOAT, ["batch", 3]),
    ]
    assert {entry.key: json.loads(entry.value) for entry in model.metadata_props} == {"class_names": NAMES}
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 18)]
    assert model.ir_version == 8  # of ONNX 1.13; a newer one is refused by runtimes of that time


def test_a_model_without_names_is_refused() -> None:
    with pytest.raises(ValueError, match="has class names and takes square images"):
        onnx_model(ResNet((32, 32, 3), 2, blocks=(1,), width=4))


def test_a_layer_without_an_operator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet.network.blocks.ReLU", keras.layers.ELU)
    with pytest.raises(ValueError, match="the layer conv2_block1_1_relu. Received: ELU"):
        onnx_model(network())
