// explain.js - which columns a version depends on, and how.
import {curl, explain, list} from "../lib/api.js";
import {field, fill, h, select} from "../lib/dom.js";
import {number} from "../lib/format.js";
import {featuresOf, loadModel, modelTabs, versionChoice} from "../lib/model.js";
import {alertBox, curlBox, head, show} from "../lib/page.js";
import {bars, legend, plot} from "../lib/plots.js";

/** @param {import("../lib/page.js").Page} page */
export default async function explainView(page) {
    const {name, path, versions, version} = await loadModel(page);
    if (!version) {
        show(page.main, head(page, name), modelTabs(name, "Explain", undefined), h("p", {class: "muted"}, "There is no version to explain yet."));
        return;
    }
    const datasets = await list("/v1/datasets", 1000);
    const address = `${path}/versions/${version.version}/explain`;
    const data = select(datasets.map((one) => ({value: one.name})), datasets.find((one) => one.name === version.dataset?.name)?.name ?? datasets[0]?.name ?? "", {onchange: () => run()});
    const columns = featuresOf(version).map((feature) => feature.name);
    const column = select(columns.map((value) => ({value})), columns[0] ?? "", {onchange: () => dependence()});
    const importance = h("div");
    const curve = h("div");
    const bodyOf = () => ({method: "partial_dependence", dataset: data.value, columns: [column.value], curves: 20});

    async function rank() {
        fill(importance, h("p", {class: "muted", role: "status"}, "Shuffling each column …"));
        try {
            const answer = await explain(address, {dataset: data.value}, page.signal);
            column.value = answer.columns[0]?.column ?? column.value; // the most important one is shown first
            fill(importance, bars(answer.columns.map((/** @type {any} */ one) => ({name: one.column, value: one.importance, text: `${number(one.importance, 3)} ± ${number(one.std, 2)}`}))), h("p", {class: "small muted"}, `How much worse the ${answer.metric} becomes when the values of a column are shuffled over ${number(answer.rows)} rows. It is ${number(answer.value)} now. Two columns that say the same hide each other.`));
        } catch (error) {
            fill(importance, alertBox(error));
        }
    }

    async function dependence() {
        fill(curve, h("p", {class: "muted", role: "status"}, "Predicting along the column …"));
        try {
            const answer = await explain(address, bodyOf(), page.signal);
            const one = answer.columns[0];
            const targets = /** @type {any[]} */ (one.curves);
            const numeric = one.values.every((/** @type {any} */ v) => typeof v === "number");
            fill(curve, targets.map((output, i) => {
                const means = output.mean;
                const title = String(output.class ?? output.target ?? version.target ?? "");
                if (numeric) return [h("h3", null, title), plot([...(output.rows ?? []).map((/** @type {number[]} */ row) => ({points: row.map((/** @type {number} */ y, /** @type {number} */ k) => [one.values[k], y]), color: "var(--line)"})), {points: means.map((/** @type {number} */ y, /** @type {number} */ k) => [one.values[k], y]), color: `var(--s${i % 8})`}], {label: `Partial dependence of ${title} on ${column.value}`, x: column.value, y: "mean prediction", height: 220})];
                return [h("h3", null, title), bars(one.values.map((/** @type {any} */ v, /** @type {number} */ k) => ({name: v === null ? "missing" : String(v), value: means[k]})))];
            }), numeric ? legend([{name: "mean", color: "var(--s0)"}, {name: "single rows", color: "var(--line)"}]) : null, h("p", {class: "small muted"}, "What the model predicts on average when the column is set to each value, everything else as it is."));
        } catch (error) {
            fill(curve, alertBox(error));
        }
    }
    const run = async () => {
        await rank();
        await dependence();
    };
    show(page.main, head(page, name, {crumb: h("a", {href: "#/models"}, "Models"), actions: versionChoice(versions, version.version, `#/models/${encodeURIComponent(name)}/explain`)}), modelTabs(name, "Explain", version.version),
        h("section", {class: "card"}, h("div", {class: "fields"}, field("Rows of", data))),
        h("div", {class: "grid"}, h("section", {class: "card w6"}, h("h2", null, "Which columns matter"), importance), h("section", {class: "card w6"}, h("h2", null, "How one column acts"), field("Column", column), h("div", {style: {"margin-top": "12px"}}, curve))),
        h("p", {class: "small muted"}, "One row's contributions are on ", h("a", {href: `#/models/${encodeURIComponent(name)}/try?version=${version.version}`}, "Try it"), "."),
        curlBox(() => [{label: "Importance of the columns", text: curl("POST", address, {dataset: data.value})}, {label: "Partial dependence", text: curl("POST", address, bodyOf())}]));
    if (datasets.length) await run();
    else fill(importance, h("p", {class: "muted"}, "Upload rows first."));
}
