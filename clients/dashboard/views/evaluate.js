// evaluate.js - a version on rows whose targets are known: metrics with intervals, confusion matrix, curves, thresholds, residuals, slices.
import {curl, firstRows, list, post} from "../lib/api.js";
import {field, fill, h, select} from "../lib/dom.js";
import {evaluationReport} from "../lib/evaluation.js";
import {number} from "../lib/format.js";
import {loadModel, modelTabs, versionChoice} from "../lib/model.js";
import {action, alertBox, curlBox, head, show} from "../lib/page.js";
import {previewTable} from "./data.js";

const ROWS_READ = 5000; // for the rows behind a cell of the confusion matrix

/** @param {import("../lib/page.js").Page} page */
export default async function evaluate(page) {
    const {name, path, versions, version} = await loadModel(page);
    if (!version) {
        show(page.main, head(page, name), modelTabs(name, "Evaluate", undefined), h("p", {class: "muted"}, "There is no version to evaluate yet."));
        return;
    }
    const datasets = await list("/v1/datasets", 1000);
    const data = select(datasets.map((one) => ({value: one.name})), datasets.find((one) => one.name === version.dataset?.name)?.name ?? datasets[0]?.name ?? "");
    const slices = select([{value: "", label: "no slices"}, ...(version.features ?? []).map((/** @type {string} */ value) => ({value}))], "");
    const against = select([{value: "", label: "no comparison"}, ...versions.filter((one) => one.version !== version.version).map((one) => ({value: String(one.version), label: `version ${one.version}`}))], "");
    const result = h("div");
    const body = () => ({dataset: data.value, ...(slices.value ? {slices: [slices.value]} : {}), ...(against.value ? {compare: Number(against.value)} : {})});
    const address = `${path}/versions/${version.version}/evaluate`;
    const go = action("Evaluate", async () => {
        fill(result, h("p", {class: "muted", role: "status"}, "Predicting all rows and resampling the metrics …"));
        try {
            draw(await post(address, body(), page.signal));
        } catch (error) {
            fill(result, alertBox(error));
        }
    }, {class: "primary"});

    /** @param {any} answer */
    function draw(answer) {
        if (answer.object === "job") { // too much for one request
            location.hash = `#/runs/${answer.id}`;
            return;
        }
        const same = version.dataset?.name === data.value;
        fill(result, same ? h("div", {class: "alert warn"}, "This version was trained on rows of this dataset, so the figures flatter it. Rows that it has never seen tell the truth.") : null, evaluationReport(answer, cellRows, `version ${against.value}`));
    }

    /**
     * @param {HTMLElement} place
     * @param {string} target
     * @param {any} truth
     * @param {any} predicted
     */
    async function cellRows(place, target, truth, predicted) {
        fill(place, h("p", {class: "muted"}, "Predicting the rows …"));
        try {
            const rows = await firstRows(data.value, ROWS_READ, page.signal);
            const candidates = rows.filter((/** @type {any} */ row) => String(row[target]) === String(truth));
            /** @type {any[]} */
            const found = [];
            for (let start = 0; start < candidates.length && found.length < 50; start += 500) {
                const part = candidates.slice(start, start + 500);
                const answer = await post(`${path}/versions/${version.version}/predict`, {instances: part.map((/** @type {any} */ row) => Object.fromEntries((version.features ?? []).map((/** @type {string} */ f) => [f, row[f]])))}, page.signal);
                answer.predictions.forEach((/** @type {any} */ one, /** @type {number} */ i) => String(one.label ?? one[target]?.label) === String(predicted) && found.push(part[i]));
            }
            fill(place, h("h3", {style: {"margin-top": "12px"}}, `${truth}, predicted as ${predicted}`), found.length ? previewTable(found.slice(0, 50), [target, ...(version.features ?? [])]) : h("p", {class: "muted"}, `No such row among the first ${number(ROWS_READ)}.`));
        } catch (error) {
            fill(place, alertBox(error));
        }
    }

    show(page.main, head(page, name, {crumb: h("a", {href: "#/models"}, "Models"), actions: versionChoice(versions, version.version, `#/models/${encodeURIComponent(name)}/evaluate`)}), modelTabs(name, "Evaluate", version.version),
        h("section", {class: "card"}, h("div", {class: "fields"}, field("Rows of", data), field("Look for weak spots by", slices), field("Compare with", against), h("div", {style: {"align-self": "end"}}, go))), result,
        curlBox(() => [{label: "This evaluation", text: curl("POST", address, body())}]));
    if (datasets.length === 0) fill(result, h("p", {class: "muted"}, "Upload rows whose targets are known first."));
    else go.click();
}
