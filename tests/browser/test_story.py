"""Goal: a stranger opens an empty server and, without reading a page, trains, watches, tries, evaluates, explains and looks inside; on a wide window and on a phone, light and dark; every page is
accessible and fits. The screenshots of `make screenshots` come from here."""
import pytest

import harness
from conftest import PHONE, WIDE


@pytest.mark.parametrize("size, dark", [(WIDE, False), (PHONE, True)], ids=["wide-light", "phone-dark"])
def test_the_whole_story(fresh, window, axe, size, dark):
    server, browser = fresh(), window(size=size, dark=dark)

    faults = []

    def done(name):
        """The page as it is now: a picture, and what is wrong with it."""
        browser.screenshot(name)
        faults.extend((name, fault) for fault in [browser.fits(), *(browser.axe(axe) if axe else []), *browser.errors()] if fault)

    # an empty server greets
    browser.open(server.url, "Train a neural network")
    assert [card.text for card in browser.all(".cards h2")] == ["Penguins", "Two spirals", "Diabetes"]
    browser.until("return document.querySelector('.bar').innerText.includes('live')", "the connection")
    done("start-empty")

    # one button trains; the curve is that of the server
    browser.press("Train on Penguins")
    browser.sees("Stored as penguins version 1", 60)
    job = server.get("/v1/jobs").json["data"][0]
    epochs = job["progress"]["epoch"]
    browser.until("return document.querySelector('[data-points]')?.dataset.points === arguments[0]", "all points", arguments=(str(2 * epochs),))
    browser.sees("Best epoch", where=".tiles")
    browser.until("return document.querySelector('.network .box.good, .network .box.warn')", "the health of the layers in the picture")
    browser.until("return document.querySelectorAll('[data-points]').length === 2 && document.querySelectorAll('[data-points]')[1].dataset.points === arguments[0]", "the health of three layers", arguments=(str(3 * epochs),))
    done("run")
    browser.control("Log scale").click()
    browser.js("const s = document.querySelector('input[type=range]'); s.value = 0.8; s.dispatchEvent(new Event('input'))")
    done("run-log")

    # data
    browser.go("#/data/penguins?target=species", "penguins")
    browser.sees("flipper_length_mm")
    browser.until("return document.querySelectorAll('.spark').length === 7 && document.querySelectorAll('.track').length === 6", "histograms and associations")
    done("dataset")
    browser.go("#/data", "Data")
    done("data")

    # a second version with a form, and the comparison of both
    browser.go("#/train?dataset=penguins", "Train")
    browser.sees("families of small networks", 30)
    done("train-automatic")
    browser.js("document.querySelector('input[value=own]').click()")
    browser.until("return document.querySelectorAll('.layer').length === 2", "the proposed network")
    browser.enter("Epochs", "30")
    browser.enter("Seed", "7")
    browser.sees("parameters")
    assert '"epochs": 30' in browser.js("return document.querySelector('textarea').value")
    done("train-network")
    browser.press("Start training")
    browser.sees("Stored as penguins version 2", 60)
    browser.go("#/runs", "Runs")
    browser.until("return document.querySelectorAll('tbody tr').length === 2", "both runs")
    done("runs")
    for box in browser.all("tbody input"):
        box.click()
    browser.press("Compare 2")
    browser.settled("Compare")
    browser.until("return document.querySelector('[data-points]') && document.querySelectorAll('.differs').length >= 2", "the curves and what differs")
    done("compare")

    # the model: roll back, promote
    browser.go("#/models/penguins", "penguins")
    browser.sees("serves version 2")
    done("model")
    browser.press("Roll back default")
    browser.sees("serves version 1")
    assert server.get("/v1/models/penguins").json["aliases"]["default"] == 1
    browser.press("Serve version 2")
    browser.sees("serves version 2")
    browser.press("Calibrate")
    browser.sees("measured on", 60)
    browser.go("#/models", "Models")
    browser.go("#/models/penguins", "penguins")
    browser.sees("Live rows against training rows")
    done("model-calibrated")

    # try it: the answer follows what is typed, and a value outside the training rows is marked
    browser.go("#/models/penguins/try?version=1", "penguins")
    browser.until("return document.querySelector('.answer')", "a prediction")
    browser.until("return [...document.querySelectorAll('.bars')].length >= 2", "what contributed")
    done("try")
    for name, value in (("bill_length_mm", "50"), ("bill_depth_mm", "15"), ("flipper_length_mm", "225"), ("body_mass_g", "5600"), ("island", "Biscoe")):
        browser.enter(name, value)
    browser.until("return document.querySelector('.answer').innerText === 'Gentoo'", "the species of these measurements")
    browser.enter("body_mass_g", "90000")
    browser.sees("outside 2\u202f")
    browser.enter("body_mass_g", "5600")
    browser.one("input[type=file]").send_keys(str(harness.ROOT / "clients/examples/penguins.csv"))
    browser.js("window.saved = []; const make = URL.createObjectURL; URL.createObjectURL = blob => { blob.text().then(text => saved.push(text)); return make.call(URL, blob); }")
    browser.press("Predict the file")
    lines = browser.until("return saved[0]", "the file that comes back").strip().splitlines()
    assert len(lines) == 345 and lines[0].startswith("species,prediction"), lines[:2]

    browser.press("Predict all its rows")
    browser.settled("Predictions of penguins")
    browser.sees("Download the predictions", 60)
    done("batch")

    # evaluate: a cell of the confusion matrix leads to its rows
    browser.go("#/models/penguins/evaluate?version=1", "penguins")
    browser.until("return document.querySelector('.matrix button')", "the confusion matrix")
    done("evaluate")
    browser.js("[...document.querySelectorAll('.matrix button')].find(b => b.textContent !== '0').click()")
    browser.sees("Adelie, predicted as Adelie")
    browser.go("#/models/penguins/explain?version=1", "penguins")
    browser.until("return document.querySelectorAll('.track').length >= 6 && document.querySelectorAll('svg .curve').length > 3", "importance and dependence")
    done("explain")

    # search settings
    browser.go("#/sweeps", "Sweeps")
    browser.enter("Trials", "6")
    browser.press("Start the sweep")
    browser.settled("Sweep of penguins")
    browser.until("return document.querySelectorAll('main tbody tr').length === 6 && document.querySelector('.head .chip').innerText === 'succeeded'", "six trials", 90)
    assert len(browser.all("svg .weight")) == 6
    done("sweep")

    # inside: the sums of a network by hand
    browser.go("#/inside", "Inside")
    done("inside-choice")
    browser.go("#/inside/two-two-one?example", "Inside a 2-2-1 network")
    browser.until("return document.querySelectorAll('.unit').length === 5", "the network")
    for _ in range(3):
        browser.press("Next stage")
    browser.sees("The loss")
    browser.js("document.querySelectorAll('.unit')[2].dispatchEvent(new Event('click'))")
    browser.sees("z = \u03a3 x\u00b7W + b = 0.05\u00b70.15 + 0.1\u00b70.2 + 0.35 = 0.378")
    for _ in range(2):
        browser.press("Next stage")
    browser.js("document.querySelectorAll('.weight')[0].dispatchEvent(new Event('click'))")
    browser.sees("numerically")
    done("inside-by-hand")
    browser.press("Take a step")
    browser.sees("after 1 step")
    browser.go("#/inside/penguins?version=1", "Inside penguins")
    browser.until("return document.querySelectorAll('.unit').length > 20", "the network")
    browser.press("10 steps")
    browser.sees("after 10 steps")
    done("inside-model")

    # the playground learns
    browser.go("#/playground", "Playground")
    browser.sees("Step 0")
    browser.enter("Points", "circles")
    browser.sees("Step 0")
    browser.press("Learn")
    browser.until("return /: loss .* 200 of 200 points right/.test(document.querySelector('main').innerText)", "a learned boundary", 60)
    browser.press("Pause")
    done("playground")

    # a network of two columns shows its plane
    browser.go("#/", "Start")
    browser.press("Train on Two spirals")
    browser.sees("Stored as spirals version 1", 60)
    browser.go("#/models/spirals/try", "spirals")
    browser.sees("The plane of both columns")
    browser.until("const c = document.querySelector('canvas.surface').getContext('2d', {willReadFrequently: true}); return new Set([c.getImageData(0, 200, 400, 1).data].flatMap(d => [...Array(40).keys()].map(i => d.slice(40 * i, 40 * i + 3).join()))).size > 1", "the plane")
    done("try-plane")
    browser.go("#/playground?dataset=spirals", "Playground")
    browser.sees("Step 0")

    browser.go("#/server", "Server")
    browser.sees("Queue and workers")
    browser.until("return document.querySelectorAll('.tile').length >= 9", "the figures")
    done("server")
    assert not faults, "\n".join("%s: %s" % fault for fault in faults)
    if axe is None:
        pytest.skip("npm cannot bring axe-core: accessibility is not checked")


def test_every_curl_line_works(fresh, window):
    """What "Copy as curl" shows does what the page says, typed into a shell."""
    import subprocess

    server, browser = fresh(), window()
    browser.open(server.url)
    browser.press("Train on Penguins")
    browser.sees("Stored as penguins version 1", 60)
    job = browser.js("return location.hash").split("/")[-1]
    count = 0
    for page, title in (("#/", "Start"), ("#/data", "Data"), ("#/data/penguins", "penguins"), ("#/train?dataset=penguins&target=sex", "Train"), ("#/runs", "Runs"), ("#/runs/" + job, "penguins"), ("#/models", "Models"),
                        ("#/models/penguins", "penguins"), ("#/models/penguins/evaluate", "penguins"), ("#/models/penguins/explain", "penguins"), ("#/models/penguins/try", "penguins"), ("#/inside", "Inside"),
                        ("#/inside/penguins?version=1", "Inside penguins"), ("#/playground", "Playground"), ("#/server", "Server")):
        browser.go(page, title)
        browser.js("document.querySelectorAll('details.curl').forEach(d => { d.open = true; })")
        browser.until("return [...document.querySelectorAll('details.curl pre')].length", "the lines of " + page)
        for line in browser.js("return [...document.querySelectorAll('details.curl pre')].map(p => p.innerText)"):
            if "model.bpd" in line or "rows.csv" in line or "/rollback" in line or "/cancel" in line or "text/event-stream" in line:
                continue
            ran = subprocess.run(["bash", "-c", line.replace("curl", "curl -sS --fail-with-body -o /dev/null", 1).replace("-OJ", "")], capture_output=True, text=True, timeout=harness.patience(60))
            assert ran.returncode == 0, (page, line, ran.stderr, ran.stdout)
            count += 1
    assert count > 20
