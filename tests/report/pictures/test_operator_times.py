from atb.data.tokenizer.vocabulary import SHIPPED_VOCABULARY
from atb.devices.contract import OperatorTime
from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.profiler.campaign.details import BreakDown, break_down, time_tokenisation
from atb.profiler.record import Conditions
from atb.report.pictures.charts import operators

SHAPES = [Architecture(1, 128, 2, 128, 512), Architecture(2, 128, 2, 128, 512)]


def test_a_break_down_sums_up_by_kind():
    device = FakeDevice()
    conditions = Conditions.of(device, device.runtimes["fake"], RunSettings())
    found = BreakDown(
        SHAPES[0],
        conditions,
        (
            OperatorTime("MatMul", "a", 3e-4, 1, 0.3),
            OperatorTime("Softmax", "s", 3e-4, 1, 0.3),
            OperatorTime("MatMul", "b", 4e-4, 1, 0.4),
        ),
    )
    assert list(found.by_kind()) == ["MatMul", "Softmax"]
    assert found.to_json()["operators"][0]["name"] == "a"


def test_every_model_has_its_bars(tmp_path):
    device = FakeDevice()
    found = break_down(device, device.runtimes["fake"], RunSettings(), SHAPES)
    picture = operators(found)
    legend = [text.get_text() for text in picture.figure.axes[0].get_legend().get_texts()]
    assert [text.split(",")[0] for text in legend] == [str(shape) for shape in SHAPES]
    path = tmp_path / "operators.png"
    picture.save(path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_tokenisation_grows_with_length_and_batch():
    device = FakeDevice()
    seconds = [
        time_tokenisation(
            device, device.runtimes["fake"], RunSettings(**fields), vocabulary=SHIPPED_VOCABULARY
        ).seconds
        for fields in ({}, {"sequence_length": 256}, {"batch": 4})
    ]
    assert seconds[1] > 1.9 * seconds[0]
    assert seconds[2] > 3.9 * seconds[0]
