"""The page of pytest --nvme-report in a browser without network: the curves are there, and it can be looked at."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PICTURES = ROOT / "target" / "report"

TEST = """
    import contextlib
    import logging

    def test_four_workers(nvme0n1):
        logging.info("four workers")
        with contextlib.ExitStack() as stack:
            for depth in (4, 16, 64, 256):
                stack.enter_context(nvme0n1.ioworker(io_size=8, qdepth=depth, read_percentage=70, time=4))

    def test_short(nvme0n1):
        for _ in range(2):
            nvme0n1.ioworker(io_size=8, io_count=20).start().close()

    def test_beyond_the_end(nvme0, nvme0n1, qpair, buf):
        nvme0.getfeatures(7).waitdone()
        for lba in range(6):
            nvme0n1.read(qpair, buf, lba).waitdone()
        nvme0n1.read(qpair, buf, 1 << 40).waitdone()
        assert False, "the read was refused"
"""

# Looks at the pixels: what is drawn in the colour of a series.
PROBE = """
<pre id="probe"></pre>
<script>
addEventListener("error", (event) => { document.getElementById("probe").dataset.error = event.message; });
for (const test of document.querySelectorAll(".test")) test.open = true;
setTimeout(() => {
  const plots = [...document.querySelectorAll("[data-plot]")].map((place) => {
    const canvas = place.querySelector("canvas");
    const found = { test: place.closest(".test").dataset.name, plot: place.dataset.plot, text: place.innerText };
    if (!canvas) return found;
    const colors = [...place.querySelectorAll(".u-series .u-marker")].map((mark) => getComputedStyle(mark).borderColor);
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const drawn = colors.map((color) => {
      const [r, g, b] = color.match(/[0-9]+/g).map(Number);
      let pixels = 0;
      for (let i = 0; i < data.length; i += 4)
        pixels += data[i + 3] > 200 && Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 60;
      return { color, pixels };
    });
    return { ...found, points: +place.dataset.points, series: +place.dataset.series, drawn: drawn.slice(-place.dataset.series) };
  });
  const requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  document.getElementById("probe").textContent = JSON.stringify({ plots, requests });
}, 500);
</script>
"""


@pytest.fixture(scope="module")
def browse():
    """Run Chromium without a window and without names of hosts; it is installed where it is missing."""
    subprocess.run([ROOT / "scripts" / "install-packages", "chromium"], check=True, timeout=540)
    chromium = shutil.which("chromium")
    assert chromium, "there is no chromium: install it (Debian: scripts/install-packages chromium)"

    def browse(page, profile, *arguments):
        command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        command += [
            f"--user-data-dir={profile}",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--hide-scrollbars",
        ]
        command += ["--virtual-time-budget=8000", *arguments, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    return browse


@pytest.fixture(scope="module")
def report(tmp_path_factory, pciaddr):
    """A report with an earlier one to compare with."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "test_it.py").write_text(textwrap.dedent(TEST))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--pciaddr={pciaddr}"]
    command += ["-o", "log_level=INFO"]
    for more in (["--nvme-report=old.html"], ["--nvme-report=new.html", "--nvme-baseline=old.json"]):
        done = subprocess.run([*command, *more], cwd=folder, capture_output=True, text=True, timeout=120)
        assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    return folder / "new.html"


def test_the_curves_are_drawn(browse, report, tmp_path):
    probed = tmp_path / "probed.html"
    probed.write_text(report.read_text() + PROBE)
    dom = browse(probed, tmp_path / "profile", "--dump-dom", "--window-size=1300,2000")
    found = re.search(r'<pre id="probe"(.*?)>(.*?)</pre>', dom, re.DOTALL)
    assert found and "data-error" not in found[1], found and found[1]
    found = json.loads(found[2].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert found["requests"] == []

    session = json.loads(report.with_suffix(".json").read_text())
    workers = {test["id"].split("::")[1]: test["workers"] for test in session["tests"]}
    plots = {(plot["test"].split("::")[1], plot["plot"]): plot for plot in found["plots"]}
    assert len(plots) == 6
    for kind in ("iops", "percentiles", "histogram"):
        plot = plots["test_four_workers", kind]
        # Each worker, and dashed what it was before.
        assert plot["series"] == 8 and len(plot["drawn"]) == 8, plot
        assert all(drawn["pixels"] > 40 for drawn in plot["drawn"]), plot
        assert len({drawn["color"] for drawn in plot["drawn"]}) == 4
    four = workers["test_four_workers"]
    # The runs before may have taken a second more, or these.
    assert (
        plots["test_four_workers", "iops"]["points"]
        >= max(len(worker["iops_over_time"]) for worker in four)
        >= 4
    )
    assert (
        plots["test_four_workers", "histogram"]["points"]
        >= max(len(worker["histogram"]) for worker in four)
        > 5
    )
    assert "It ran for less than a second" in plots["test_short", "iops"]["text"]
    assert all(drawn["pixels"] > 10 for drawn in plots["test_short", "percentiles"]["drawn"])


@pytest.mark.parametrize("scheme, number", [("dark", 0), ("light", 1)])
def test_it_can_be_looked_at(browse, report, tmp_path, scheme, number):
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = PICTURES / f"{scheme}.png"
    picture.unlink(missing_ok=True)
    arguments = [f"--screenshot={picture}", "--window-size=1300,2300"]
    browse(report, tmp_path, *arguments, f"--blink-settings=preferredColorScheme={number}")
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 50_000
    shutil.copy(report, PICTURES / "report.html")
