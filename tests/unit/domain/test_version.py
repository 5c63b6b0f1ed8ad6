"""A release is read once: however it is written, it compares as one and names one image."""

import pytest

from deepseek_operator.domain.devices.profiles import BUILT_IN, resolve
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.domain.programs.trainers.table import TRAINERS
from deepseek_operator.domain.values.version import Version, parse, rendered, tag

RELEASED = [
    (profile.name, program)
    for profile in BUILT_IN.by_name.values()
    for program, image in profile.images.items()
    if "{version}" in image
]
DEFAULTS = {
    **{name: entry.version for name, entry in ENGINES.items()},
    **{name: entry.version for name, entry in TRAINERS.items()},
}


@pytest.mark.parametrize(("name", "program"), RELEASED)
def test_a_v_changes_no_image_of_any_program_on_any_device(name: str, program: str) -> None:
    image, release = resolve(name).image, DEFAULTS.get(program, "1.2.3")
    assert image(program, f"v{release}") == image(program, f"V{release} ") == image(program, release)
    assert "vv" not in (image(program, f"v{release}") or "")


@pytest.mark.parametrize("written", ["0.33", "v0.33", "0.33.0", "v0.33.0", " 0.33.0"])
def test_two_numbers_are_completed(written: str) -> None:
    assert resolve("h200").image("vllm", written) == "vllm/vllm-openai:v0.33.0"
    assert parse(written) == Version(0, 33)


@pytest.mark.parametrize("written", ["25.10", "v25.10"])
def test_a_release_by_month_stays_two_numbers(written: str) -> None:
    assert "tritonserver:25.10-vllm" in (resolve("h200").image("triton", written, by_calendar=True) or "")


@pytest.mark.parametrize(
    ("written", "release"),
    [
        ("v0.34.0rc1", "0.34.0rc1"),
        ("0.34rc1", "0.34.0rc1"),
        ("v0.5.4.post1", "0.5.4.post1"),
        ("0.5.4.post1", "0.5.4.post1"),
        ("0.33.0-cu129", "0.33.0-cu129"),
        ("1.3.0.dev20260901", "1.3.0.dev20260901"),
    ],
)
def test_what_follows_the_numbers_is_kept(written: str, release: str) -> None:
    assert rendered(written) == tag(written) == release


def test_a_local_build_is_compared_and_names_no_image() -> None:
    assert parse("0.33.0+cpu") == Version(0, 33)
    assert resolve("h200").image("vllm", "0.33.0+cpu") is None


@pytest.mark.parametrize("written", ["nightly", "latest", "", "33", "sha256:abc", "v"])
def test_what_is_no_release_says_what_to_write(written: str) -> None:
    with pytest.raises(ValueError, match=r"write two or three numbers, like 0\.33\.0"):
        rendered(written)
