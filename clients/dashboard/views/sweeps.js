// sweeps.js - all sweeps, and submitting one: a job with a space of options to search.
import {curl, list, post} from "../lib/api.js";
import {field, fill, h, select} from "../lib/dom.js";
import {number, when} from "../lib/format.js";
import {likelyTarget} from "../lib/model.js";
import {action, alertBox, curlBox, head, show, statusChip} from "../lib/page.js";
import {soon} from "../lib/state.js";

/** @param {import("../lib/page.js").Page} page */
export default async function sweeps(page) {
    const datasets = await list("/v1/datasets", 1000);
    const body = h("tbody");
    const data = select(datasets.map((one) => ({value: one.name})), page.query.get("dataset") ?? datasets[0]?.name ?? "", {onchange: () => propose()});
    const target = h("select", {onchange: () => propose(true)});
    const method = select([{value: "asha", label: "successive halving"}, {value: "random", label: "random"}, {value: "grid", label: "grid"}], "asha", {onchange: () => propose(true)});
    const trials = h("input", {type: "number", min: "1", max: "1000", value: "20", oninput: () => propose(true)});
    const json = h("textarea", {rows: 20, spellcheck: "false", "aria-label": "The sweep as JSON"});
    const fault = h("div", {role: "status"});

    /** @param {boolean} [same] the same dataset */
    function propose(same = false) {
        const dataset = datasets.find((one) => one.name === data.value);
        if (!dataset) return;
        const columns = dataset.columns.map((/** @type {any} */ one) => one.name);
        if (!same || !target.options.length) {
            fill(target, columns.map((/** @type {string} */ name) => h("option", {value: name}, name)));
            target.value = page.query.get("target") ?? likelyTarget(dataset) ?? "";
        }
        const grid = method.value === "grid";
        json.value = JSON.stringify({dataset: data.value, model: {name: data.value, layers: [{type: "dense", units: 32, activation: "relu"}, {type: "dense", units: 16, activation: "relu"}]}, job: {target: target.value, epochs: 81},
            space: grid ? {"optimizer.learning_rate": {log_range: [0.001, 0.03], points: 3}, "batch_size": {choice: [16, 64]}, "model.layers.0.units": {choice: [16, 64]}}
                : {"optimizer.learning_rate": {log_range: [0.0003, 0.1]}, batch_size: {choice: [16, 32, 64]}, "model.layers.0.units": {range: [8, 128]}, "model.layers.0.activation": {choice: ["relu", "tanh", "gelu"]}},
            method: method.value, ...(grid ? {} : {trials: Number(trials.value) || 20}), publish: "if_better"}, null, 2);
    }

    async function draw() {
        const all = await list("/v1/sweeps", 200);
        fill(body, all.length === 0 ? h("tr", null, h("td", {colspan: "6"}, h("div", {class: "empty"}, "No sweep yet."))) : all.map((one) => h("tr", {class: "link-row"}, h("td", null, h("a", {href: `#/sweeps/${one.id}`}, one.model)), h("td", null, statusChip(one.status)), h("td", null, one.method), h("td", null, `${number(one.trials.succeeded + one.trials.failed + one.trials.cancelled + one.trials.invalid)} of ${number(one.trials.total)}`), h("td", null, one.metric), h("td", null, when(one.created_at)))));
    }

    const start = action("Start the sweep", async () => {
        fill(fault);
        try {
            const made = await post("/v1/sweeps", JSON.parse(json.value));
            location.hash = `#/sweeps/${made.id}`;
        } catch (error) {
            fill(fault, alertBox(error));
        }
    }, {class: "primary"});
    show(page.main, head(page, "Sweeps", {crumb: h("a", {href: "#/runs"}, "Runs"), about: "A sweep trains one model with many settings and finds the best."}),
        h("section", {class: "card"}, h("h2", null, "Sweeps"), h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Model", "Status", "Method", "Trials", "Metric", "Submitted"].map((name) => h("th", {scope: "col"}, name)))), body))),
        h("section", {class: "card"}, h("h2", null, "Search settings"), datasets.length ? [h("div", {class: "fields"}, field("Dataset", data), field("Column to predict", target), field("Method", method, "Successive halving stops trials that fall behind."), field("Trials", trials)), h("p", {class: "small muted", style: {"margin-top": "12px"}}, "What is searched is in space: paths into the job with the values to try."), json, fault, h("div", {class: "row end", style: {"margin-top": "10px"}}, start)] : h("p", {class: "muted"}, "Upload data first.")),
        curlBox(() => [{label: "List the sweeps", text: curl("GET", "/v1/sweeps")}]));
    propose();
    await draw();
    soon("jobs", draw, 1000, page.signal);
}
