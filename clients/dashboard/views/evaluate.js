// evaluate.js - a version on rows whose targets are known: metrics with intervals, confusion matrix, curves, thresholds, residuals, slices.
import {curl, firstRows, list, post} from "../lib/api.js";
import {field, fill, h, select} from "../lib/dom.js";
import {number, percent, plural} from "../lib/format.js";
import {loadModel, modelTabs, versionChoice} from "../lib/model.js";
import {action, alertBox, curlBox, head, show} from "../lib/page.js";
import {legend, plot} from "../lib/plots.js";
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
        const same = version.dataset?.name === data.value;
        fill(result, same ? h("div", {class: "alert warn"}, "This version was trained on rows of this dataset, so the figures flatter it. Rows that it has never seen tell the truth.") : null,
            h("section", {class: "card"}, h("h2", null, `Metrics on ${plural(answer.rows, "row")}`), h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Metric", "Value", "95 % interval"].map((text) => h("th", {scope: "col"}, text)))),
                h("tbody", null, Object.entries(answer.metrics).map(([metric, one]) => h("tr", null, h("th", {scope: "row"}, metric.replaceAll("_", " ")), h("td", null, number(/** @type {any} */ (one).value)), h("td", null, `${number(/** @type {any} */ (one).low)} to ${number(/** @type {any} */ (one).high)}`)))))),
            answer.skipped_rows ? h("p", {class: "small muted"}, `${plural(answer.skipped_rows, "row")} without a usable target were left out.`) : null),
            answer.comparison ? comparison(answer.comparison) : null,
            answer.targets.map((/** @type {any} */ target) => targetCards(target)),
            [answer.slices ?? []].filter((all) => all.length).map((/** @type {any[]} */ all) => h("section", {class: "card"}, h("h2", null, `By ${all[0].column}, the worst first`), h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Rows", "Count", "Loss", "Difference of the loss", ...Object.keys(all[0].metrics ?? {}).slice(0, 4)].map((text) => h("th", {scope: "col"}, text)))),
                h("tbody", null, all.map((/** @type {any} */ one) => h("tr", null, h("th", {scope: "row"}, one.missing ? "missing" : one.range ? `${number(one.range[0])} to ${number(one.range[1])}` : String(one.value)), h("td", null, number(one.rows)), h("td", null, number(one.loss)), h("td", null, `${number(one.loss_difference)} ± ${number(one.loss_standard_error)}`), Object.entries(one.metrics ?? {}).slice(0, 4).map(([, v]) => h("td", null, number(/** @type {any} */ (v)?.value ?? v)))))))))));
    }

    /** @param {any} answer */
    function comparison(answer) {
        return h("section", {class: "card"}, h("h2", null, `Compared with version ${against.value}`), h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Metric", "Difference", "95 % interval", "p"].map((text) => h("th", {scope: "col"}, text)))),
            h("tbody", null, Object.entries(answer.metrics ?? {}).map(([metric, one]) => h("tr", null, h("th", {scope: "row"}, metric), h("td", null, number(/** @type {any} */ (one).difference ?? /** @type {any} */ (one).value)), h("td", null, `${number(/** @type {any} */ (one).low)} to ${number(/** @type {any} */ (one).high)}`), h("td", null, number(/** @type {any} */ (one).p_value, 2))))))), h("p", {class: "small muted"}, "A small p says that the difference is hardly chance."));
    }

    /** @param {any} target */
    function targetCards(target) {
        const cards = [];
        if (target.confusion_matrix) cards.push(confusion(target));
        if (target.curves?.length) cards.push(curves(target));
        if (target.thresholds) cards.push(thresholds(target));
        if (target.residuals) cards.push(residuals(target));
        return h("div", {class: "grid"}, cards);
    }

    /** @param {any} target */
    function confusion(target) {
        const {labels, rows} = target.confusion_matrix;
        const most = Math.max(1, ...rows.flat());
        const rest = h("div", {"aria-live": "polite"});
        return h("section", {class: "card w6"}, h("h2", null, `Confusion matrix of ${target.target}`), h("div", {class: "scroll"}, h("table", {class: "matrix"}, h("caption", null, "Rows: what it is. Columns: what was predicted. Press a cell to see its rows."),
            h("thead", null, h("tr", null, h("td"), labels.map((/** @type {any} */ label) => h("th", {scope: "col"}, String(label))))),
            h("tbody", null, rows.map((/** @type {number[]} */ row, /** @type {number} */ i) => h("tr", null, h("th", {scope: "row"}, String(labels[i])), row.map((count, j) => h("td", null, h("button", {type: "button", style: {background: count ? `color-mix(in srgb, var(${i === j ? "--good-soft" : "--bad-soft"}) ${Math.round(25 + (75 * count) / most)}%, var(--card))` : "var(--card)"}, "aria-label": `${count} rows are ${labels[i]} and were predicted as ${labels[j]}`, onclick: () => cellRows(rest, target.target, labels[i], labels[j])}, number(count))))))))), rest,
        target.classes ? h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Class", "Precision", "Recall", "F1", "Rows"].map((text) => h("th", {scope: "col"}, text)))), h("tbody", null, target.classes.map((/** @type {any} */ one) => h("tr", null, h("th", {scope: "row"}, String(one.label)), h("td", null, percent(one.precision)), h("td", null, percent(one.recall)), h("td", null, number(one.f1)), h("td", null, number(one.support))))))) : null);
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

    /** @param {any} target */
    function curves(target) {
        const names = target.curves.map((/** @type {any} */ one, /** @type {number} */ i) => ({name: `${one.label}: area ${number(one.roc_auc)}`, color: `var(--s${i % 8})`}));
        return [h("section", {class: "card w6"}, h("h2", null, "ROC"), plot(target.curves.map((/** @type {any} */ one) => ({points: one.roc.map((/** @type {any} */ p) => [p.false_positive_rate, p.true_positive_rate])})), {label: `ROC curves of ${target.target}`, x: "false positive rate", y: "true positive rate", xRange: [0, 1], yRange: [0, 1.02], diagonal: true}), legend(names)),
            h("section", {class: "card w6"}, h("h2", null, "Precision and recall"), plot(target.curves.map((/** @type {any} */ one) => ({points: one.precision_recall.map((/** @type {any} */ p) => [p.recall, p.precision])})), {label: `Precision-recall curves of ${target.target}`, x: "recall", y: "precision", xRange: [0, 1], yRange: [0, 1.02]}), legend(target.curves.map((/** @type {any} */ one, /** @type {number} */ i) => ({name: `${one.label}: ${number(one.average_precision)}`, color: `var(--s${i % 8})`})))),
            h("section", {class: "card w6"}, h("h2", null, "Calibration"), plot(target.curves.map((/** @type {any} */ one) => ({points: (one.calibration ?? []).map((/** @type {any} */ p) => [p.predicted, p.observed])})), {label: `Calibration of ${target.target}`, x: "predicted probability", y: "share that is so", xRange: [0, 1], yRange: [0, 1.02], diagonal: true}), h("p", {class: "small muted"}, "On the diagonal, 70 % means 70 of 100."))];
    }

    /** @param {any} target */
    function thresholds(target) {
        const table = target.thresholds.table;
        if (!table.length) return null;
        const shown = h("div", {"aria-live": "polite"});
        const slider = h("input", {type: "range", min: "0", max: String(table.length - 1), value: String(Math.floor(table.length / 2)), "aria-label": "Threshold", style: {width: "100%"}, oninput: () => update()});
        const update = () => fill(shown, h("dl", {class: "tiles"}, Object.entries(table[Number(slider.value)]).filter(([, v]) => typeof v === "number").map(([key, v]) => h("div", {class: "tile"}, h("dt", null, key.replaceAll("_", " ")), h("dd", null, number(v))))));
        update();
        return h("section", {class: "card w6"}, h("h2", null, `Threshold for ${target.thresholds.positive_class}`), slider, shown);
    }

    /** @param {any} target */
    function residuals(target) {
        const bins = target.residuals.by_prediction;
        const quantiles = target.residuals.quantiles;
        return h("section", {class: "card w6"}, h("h2", null, `Residuals of ${target.target}`), bins.length ? plot([{points: bins.map((/** @type {any} */ one) => [(one.low + one.high) / 2, one.mean_residual]), dots: true}], {label: "Mean residual by prediction", x: "prediction", y: "truth minus prediction"}) : null,
            h("div", {class: "scroll"}, h("table", null, h("caption", null, "Quantiles of truth minus prediction"), h("tbody", null, quantiles.map((/** @type {any} */ one) => h("tr", null, h("th", {scope: "row"}, `${number(one.quantile * 100)} %`), h("td", {class: "number"}, number(one.value))))))));
    }

    show(page.main, head(page, name, {crumb: h("a", {href: "#/models"}, "Models"), actions: versionChoice(versions, version.version, `#/models/${encodeURIComponent(name)}/evaluate`)}), modelTabs(name, "Evaluate", version.version),
        h("section", {class: "card"}, h("div", {class: "fields"}, field("Rows of", data), field("Look for weak spots by", slices), field("Compare with", against), h("div", {style: {"align-self": "end"}}, go))), result,
        curlBox(() => [{label: "This evaluation", text: curl("POST", address, body())}]));
    if (datasets.length === 0) fill(result, h("p", {class: "muted"}, "Upload rows whose targets are known first."));
    else go.click();
}
