"""The repository as a whole: licences, what is tracked, what the README promises."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import resources
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LARGEST_FILE = 20e6
LARGEST_SAMPLES = 700e3
HOME_FOLDERS = re.compile(r"/(?:work|root|home|Users)/[\w.-]")


def tracked() -> list[Path]:
    """The files that git tracks; skips where the source came without its repository."""
    listing = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def readme_commands(program: str) -> set[str]:
    """The words that follow `program` at the start of a line in the README's code, blocks and inline."""
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```\w*\n(.*?)```", readme, flags=re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", readme)
    return set(re.findall(rf"^{program} (\w+)", "\n".join(blocks + inline), flags=re.MULTILINE))


def test_every_make_target_that_the_readme_names_exists():
    makefile = (ROOT / "Makefile").read_text()
    named = readme_commands("make")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_every_unmask_command_in_the_readme_exists():
    from unmask.cli.app import app

    named = readme_commands("unmask")
    assert {"detect", "visualize"} <= named <= {command.name for command in app.registered_commands}


def test_links_between_documents_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_notice_names_every_embedded_weight_file():
    notice = (ROOT / "NOTICE").read_text()
    for file in (ROOT / "src/unmask/weights").iterdir():
        if file.is_file() and not file.name.endswith(".card.json"):
            assert file.name in notice, f"NOTICE does not say whose {file.name} is"


def test_no_tracked_file_is_large():
    assert [path for path in tracked() if path.stat().st_size > LARGEST_FILE] == []


def test_no_tracked_file_names_a_folder_of_one_machine():
    guilty = [
        path
        for path in tracked()
        if path.suffix not in {".onnx", ".mp4", ".npy", ".png", ".jpg"}
        and HOME_FOLDERS.search(path.read_text("utf-8", errors="replace"))
    ]
    assert guilty == []


def test_the_package_needs_no_torch_and_is_licensed_with_its_notice():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert not [need for need in project["dependencies"] if need.startswith("torch")]
    assert project["license"] == "Apache-2.0"
    for name in project["license-files"]:
        assert (ROOT / name).is_file()
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_ci_runs_what_a_person_runs():
    script = ROOT / ".ci/run"
    assert script.stat().st_mode & 0o111
    assert script.read_text().splitlines()[-1] == "exec make test"


def test_the_samples_are_small_silent_five_second_clips():
    import av

    samples = resources.files("unmask").joinpath("samples")
    sizes = []
    for name in ("untouched.mp4", "manipulated.mp4"):
        path = Path(str(samples.joinpath(name)))
        sizes.append(path.stat().st_size)
        with av.open(str(path)) as container:
            assert len(container.streams) == 1
            assert "filmed still" in container.metadata["comment"].lower()
            frames = sum(1 for _ in container.decode(video=0))
        assert frames == 125
    assert sum(sizes) < LARGEST_SAMPLES


def test_the_samples_differ_in_the_face_and_nowhere_else():
    """Outside the blended region the two clips show the same picture, up to what the encoder adds."""
    import av
    import numpy as np

    first = []
    for name in ("untouched.mp4", "manipulated.mp4"):
        with av.open(str(ROOT / "src/unmask/samples" / name)) as container:
            first.append(next(container.decode(video=0)).to_ndarray(format="gray").astype(float))
    change = np.abs(first[0] - first[1])
    face, corner = change[150:230, 170:270], change[300:, 500:]
    assert face.mean() > 3 * corner.mean()


def test_the_report_page_explains_every_field():
    from unmask.report import schema

    page = (ROOT / "docs/report.md").read_text()
    models = [
        schema.Report, schema.MediaFacts, schema.Codecs, schema.Verdict, schema.Thresholds, schema.Person,
        schema.Track, schema.Evidence, schema.Interval, schema.Measurement, schema.Tool,
        schema.Weight, schema.Timing,
    ]  # fmt: skip
    for model in models:
        for name, field in model.model_fields.items():
            assert f"`{field.alias or name}`" in page, f"docs/report.md does not explain {name}"
