"""Goal: the dashboard survives what the world does to it: a server that is killed in the middle of a run, a slow network, keys, names and cells that look like markup, mistakes in a form, and
people who have no mouse."""
import harness
from conftest import PHONE
from selenium.webdriver.common.keys import Keys
from test_keys import create


def test_a_killed_server_loses_no_point(fresh, window):
    server, browser = fresh(), window()
    browser.allowed = ["net::ERR_", "503 (Service Unavailable)"]  # while it is away
    server.post_csv("line", "x,y\n" + "".join("%d,%d\n" % (i, 3 * i) for i in range(3000)))
    # minutes: of 10000 epochs, and not more, each is kept
    job = server.submit(dataset="line", target="y", model={"name": "line", "layers": [{"type": "dense", "units": 128, "activation": "tanh"}] * 2}, epochs=10000, batch_size=4, early_stopping=False,
                        checkpoint_every_epochs=5)
    browser.open("%s/#/runs/%s" % (server.url, job["id"]), "line")
    browser.until("return Number(document.querySelector('[data-points]')?.dataset.points) > 20", "the first points", 60)
    server.kill()
    browser.until("return document.querySelector('.bar').innerText.includes('connecting')", "the lost connection")
    server.start(server.port)
    browser.until("return document.querySelector('.bar').innerText.includes('live')", "the connection", 60)
    before = browser.js("return Number(document.querySelector('[data-points]').dataset.points)")
    browser.until("return Number(document.querySelector('[data-points]').dataset.points) > arguments[0]", "further points", 60, (before + 10,))
    server.post("/v1/jobs/%s/cancel" % job["id"])
    server.wait(job["id"])
    browser.sees("cancelled")
    kept = server.get("/v1/jobs/%s/metrics?max_points=100000" % job["id"]).json["data"]
    browser.until("return Number(document.querySelector('[data-points]').dataset.points) === arguments[0]", "every point of the server", arguments=(sum(isinstance(p.get(name), float) for p in kept for name in ("loss", "val_loss")),))
    assert [p["epoch"] for p in kept] == list(range(1, len(kept) + 1))


def test_with_a_key(fresh, window, tmp_path):
    folder = str(tmp_path / "data")
    key = create(folder, "browser", "train")
    server, browser = fresh(folder=folder), window()
    browser.allowed = ["401 (Unauthorized)"]
    browser.open(server.url, "Sign in")
    browser.enter("API key", "bpd_00000000_" + "0" * 52)
    browser.press("Sign in")
    browser.sees("no key is valid that reads like this one")
    browser.enter("API key", key)
    browser.press("Sign in")
    browser.settled("Train a neural network")
    assert browser.js("return document.cookie") == ""
    browser.press("Train on Two spirals")
    browser.sees("Stored as spirals version 1", 60)
    browser.until("return document.querySelector('.bar').innerText.includes('live')", "the stream")
    browser.driver.refresh()
    browser.settled("spirals")
    server.restart(kill=True, port=server.port)
    browser.allowed += ["net::ERR_"]
    browser.until("return document.querySelector('.bar').innerText.includes('live')", "the stream after the restart")
    browser.go("#/models", "Models")
    browser.sees("spirals")
    browser.press("Sign out")
    browser.settled("Sign in")


def test_markup_in_data_is_text(fresh, window, tmp_path):
    server, browser = fresh(), window()
    table = tmp_path / "odd.csv"
    evil = "<img src=x onerror=alert(1)>"
    table.write_text('"%s",kind\n' % evil + "".join('"%s%d","<script>document.title=1</script>%s"\n' % (evil, i % 3, "ab"[i % 2]) for i in range(60)))
    browser.open(server.url + "/#/data", "Data")
    browser.one("#file").send_keys(str(table))
    browser.sees("First rows")
    browser.sees(evil)
    browser.js("document.querySelector('select[aria-label=\"Type of kind\"]').value = 'text'; document.querySelector('select[aria-label=\"Type of kind\"]').dispatchEvent(new Event('change'))")
    browser.enter("Name", "odd data!")
    browser.press("Upload")
    browser.until("return document.querySelector('.fault:not([hidden])')", "what is wrong with the name")
    browser.allowed = ["422 (Unprocessable"]
    browser.enter("Name", "odd")
    browser.press("Upload")
    browser.settled("odd")
    browser.sees("60 rows")
    assert not browser.all("main img, main script") and browser.js("return document.title").startswith("odd")
    assert {c["name"]: c["type"] for c in server.get("/v1/datasets/odd").json["columns"]}["kind"] == "text"


def test_a_type_that_does_not_fit_can_be_taken_back(fresh, window, tmp_path):
    server, browser = fresh(), window()
    browser.allowed = ["422 (Unprocessable"]
    table = tmp_path / "colours.csv"
    table.write_text("colour,size\n" + "".join("%s,%d\n" % (("red", "blue")[i % 2], i) for i in range(40)))
    browser.open(server.url + "/#/data", "Data")
    browser.one("#file").send_keys(str(table))
    browser.sees("First rows")
    browser.js("const s = document.querySelector('select[aria-label=\"Type of colour\"]'); s.value = 'numeric'; s.dispatchEvent(new Event('change'))")
    browser.sees('Line 2, colour "red": expected a number')
    assert browser.js("const s = document.querySelector('select[aria-label=\"Type of colour\"]'); return [s.value, s === document.activeElement]") == ["categorical", True]
    browser.press("Upload")
    browser.settled("colours")
    assert [c["type"] for c in server.get("/v1/datasets/colours").json["columns"]] == ["categorical", "numeric"]

    # an error that mentions names is not one of the name
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    browser.go("#/data", "Data")
    browser.one("#file").send_keys(str(empty))
    browser.sees("the file is empty")
    browser.press("Upload")
    browser.until("return document.querySelector('.notice.bad')?.innerText.includes('the file is empty')", "the error of the upload")
    assert not browser.all("[aria-invalid]")


def test_an_automatic_run_has_a_name_and_folds_its_networks(fresh, window):
    server, browser = fresh(), window()
    server.upload("penguins", (harness.ROOT / "clients/examples/penguins.csv").read_bytes())
    browser.open(server.url + "/#/train", "Train")
    browser.enter("Dataset", "penguins")
    browser.until("return document.querySelector('textarea').value.includes('\"name\": \"penguins\"')", "the proposed name")
    browser.enter("Name of the model", "birds")
    browser.enter("Effort", "fast")
    browser.sees("families of small networks")
    browser.press("Start training")
    browser.sees("Stored as birds version 1", 60)
    assert browser.js("const d = [...document.querySelectorAll('details')].find(d => d.innerText.startsWith('Families')); return d && !d.open && JSON.parse(d.querySelector('pre').textContent).families.length > 0")
    job = server.get("/v1/jobs").json["data"][0]
    assert job["ensemble"] and job["model"] == "birds"

    # what its version is, in words instead of a picture of dozens of layers
    layers = server.get("/v1/models/birds/versions/1").json["layers"]
    networks = {name for layer in layers if layer["type"] == "weighted_average" for name in layer["inputs"]} - {layer["name"] for layer in layers if layer["type"] == "weighted_average"}
    browser.go("#/models/birds", "birds")
    browser.sees("An ensemble: %d networks that were trained separately" % len(networks))
    browser.sees("All %d layers" % len(layers))
    assert len(networks) > 2 and not browser.js("return document.querySelector('svg.network')")
    browser.screenshot("ensemble")
    browser.go("#/inside/birds", "Inside")
    browser.sees("This version is an ensemble: %d networks" % len(networks))

    # its settings again: automatic, under the same name
    browser.go("#/train?job=" + job["id"], "Train")
    assert browser.js("return document.querySelector('input[value=auto]').checked") and browser.control("Name of the model").get_attribute("value") == "birds"


def test_large_numbers_leave_the_name_of_an_axis_free(fresh, window):
    server, browser = fresh(), window()
    server.post_csv("line", "x,y\n" + "".join("%d,%d\n" % (i, 30000 * i) for i in range(60)))
    server.wait(server.submit(dataset="line", target="y", model={"name": "line", "layers": [{"type": "dense", "units": 4}]}, epochs=20)["id"])
    browser.open(server.url + "/#/models/line/explain", "line")
    browser.until("return document.querySelector('svg text[transform^=rotate]')", "the name of the axis")
    assert browser.js("""const svg = document.querySelector('svg:has(text[transform^=rotate])'), name = svg.querySelector('text[transform^=rotate]').getBoundingClientRect();
        const numbers = [...svg.querySelectorAll('text[text-anchor=end]')].map(t => t.getBoundingClientRect().left);
        return [numbers.length > 1, numbers.every(left => left >= name.right)]""") == [True, True]


def test_a_form_shows_problems_at_their_field(fresh, window):
    server, browser = fresh(), window()
    browser.allowed = ["422 (Unprocessable"]
    server.upload("penguins", (harness.ROOT / "clients/examples/penguins.csv").read_bytes())
    browser.open(server.url + "/#/train?dataset=penguins&target=species", "Train")
    browser.js("document.querySelector('input[value=own]').click()")
    browser.sees("parameters")
    browser.enter("Epochs", "0")
    browser.until("return document.querySelector('[aria-invalid]') && document.querySelector('.field .fault:not([hidden])').innerText.includes('epochs must be')", "the problem at its field")
    assert browser.js("return [...document.querySelectorAll('button')].find(b => b.textContent === 'Start training').disabled")
    browser.enter("Epochs", "5")
    browser.until("return !document.querySelector('[aria-invalid]')", "no problem")
    browser.js("""const t = document.querySelector('textarea'), job = JSON.parse(t.value); job.model.layers[0].units = 17; job.model.layers.push({type: 'dropout', rate: 7});
        t.value = JSON.stringify(job); t.dispatchEvent(new Event('input'))""")
    browser.until("return document.querySelectorAll('.layer').length === 3 && document.querySelector('.layer input').value === '17'", "the form as the JSON")
    browser.until("return [...document.querySelectorAll('.field .fault:not([hidden])')].some(f => f.innerText.includes('rate'))", "the problem of the rate")
    browser.press("Remove layer 3")
    browser.until("return !document.querySelector('[aria-invalid]')", "no problem")
    browser.press("Start training")
    browser.sees("Stored as penguins version 1", 60)
    assert server.get("/v1/jobs").json["data"][0]["definition"]["layers"][0]["units"] == 17


def test_with_the_keyboard_alone(fresh, window):
    server, browser = fresh(), window()
    browser.open(server.url, "Train a neural network")
    active = lambda: browser.driver.switch_to.active_element  # noqa: E731
    body = browser.one("body")
    body.send_keys(Keys.TAB)
    assert active().text == "Skip to the content"
    for _ in range(40):
        if active().get_attribute("aria-label") == "Train on Two spirals":
            break
        active().send_keys(Keys.TAB)
    active().send_keys(Keys.ENTER)
    browser.settled("spirals")
    assert active().tag_name == "h1" and active().text == "spirals"
    browser.sees("Stored as spirals version 1", 60)
    browser.go("#/inside/two-two-one?example", "Inside")
    browser.until("return document.querySelectorAll('.unit').length === 5", "the network")
    for _ in range(60):
        if "Unit 1 of hidden" in (active().get_attribute("aria-label") or ""):
            break
        active().send_keys(Keys.TAB)
    active().send_keys(Keys.ENTER)
    browser.sees("z = \u03a3 x\u00b7W + b")


def test_on_a_slow_network(fresh, window):
    server, browser = fresh(), window(size=PHONE)
    browser.driver.execute_cdp_cmd("Network.enable", {})
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, "latency": 200, "downloadThroughput": 60000, "uploadThroughput": 30000})
    browser.open(server.url, "Train a neural network")
    browser.press("Train on Penguins")
    browser.sees("Stored as penguins version 1", 90)
    browser.until("return Number(document.querySelector('[data-points]')?.dataset.points) > 10", "the curve", 60)
    browser.allowed = ["net::ERR_"]
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0})
    browser.go("#/data")
    browser.sees("The server does not answer")
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1})
    browser.press("Try again")
    browser.settled("Data")
    browser.sees("penguins")


def test_the_queue_is_reordered(fresh, window):
    server, browser = fresh("--workers", "1"), window()
    server.post_csv("line", "x,y\n" + "".join("%d,%d\n" % (i, 3 * i) for i in range(2000)))
    first = server.submit(dataset="line", target="y", model={"name": "long", "layers": [{"type": "dense", "units": 64}]}, epochs=1000000, batch_size=4, early_stopping=False)
    jobs = [server.submit(dataset="line", target="y", model={"name": name, "layers": []}, epochs=1) for name in "abcd"]
    browser.open(server.url + "/#/server", "Server")
    order = "return [...document.querySelectorAll('.queue li a')].map(a => a.innerText).join('')"
    browser.until("%s === 'abcd'" % order, "the queue")
    browser.press("Move d up")
    browser.until("%s === 'abdc'" % order, "d before c")
    browser.press("Move a down")
    browser.until("%s === 'badc'" % order, "a after b")
    browser.js("""const [from, to] = [2, 0].map(i => document.querySelectorAll('.queue li')[i]);
        for (const [target, type] of [[from, 'dragstart'], [to, 'dragover'], [to, 'drop']]) target.dispatchEvent(new DragEvent(type, {bubbles: true, cancelable: true}))""")
    browser.until("%s === 'dbac'" % order, "d first")
    queued = sorted((server.get("/v1/jobs/" + job["id"]).json for job in jobs), key=lambda job: job["queue_position"])
    assert "".join(job["model"] for job in queued) == "dbac"
    server.post("/v1/jobs/%s/cancel" % first["id"])
    for job in jobs:
        server.wait(job["id"])


def test_two_classes_have_a_threshold(fresh, window):
    server, browser = fresh(), window()
    server.upload("penguins", (harness.ROOT / "clients/examples/penguins.csv").read_bytes())
    server.train(dataset="penguins", target="sex", model={"name": "sex", "layers": [{"type": "dense", "units": 8, "activation": "relu"}]}, epochs=20)
    browser.open(server.url + "/#/models/sex/evaluate", "sex")
    slider = browser.one("input[aria-label='Threshold']")
    before = browser.text(".w6 .tiles")
    browser.js("arguments[0].value = 1; arguments[0].dispatchEvent(new Event('input'))", slider)
    browser.until("return document.querySelector('.w6 .tiles').innerText !== arguments[0]", "the figures of another threshold", arguments=(before,))


def test_a_replica_says_where_changes_are_made(fresh, window):
    primary = fresh("--workers", "1")
    primary.upload("penguins", harness.ROOT / "clients/examples/penguins.csv")
    primary.train(model={"name": "birds", "layers": [{"type": "dense", "units": 4}]}, dataset="penguins", target="species", epochs=2)
    replica = fresh("--follow", primary.url)
    harness.until(lambda: replica.raw("GET", "/readyz").status == 200 and replica.get("/v1/models").json["data"], what="the copy")
    one = window()
    one.open(replica.url + "/")
    assert primary.url in one.until("const p = document.getElementById('replica'); return !p.hidden && p.textContent", "the banner")
    one.go("#/models", "Models")
    assert "birds" in one.text()
    for path in ("#/models/birds", "#/models/birds/try", "#/models/birds/explain", "#/data", "#/runs", "#/sweeps", "#/server"):
        one.go(path)
    two = window()
    two.open(primary.url + "/")
    assert two.js("return document.getElementById('replica').hidden")
