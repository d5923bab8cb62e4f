// evaluation.js - the report of an evaluation: metrics with intervals, confusion matrix, curves, thresholds, residuals, slices.
import {fill, h} from "./dom.js";
import {number, percent, plural} from "./format.js";
import {legend, plot} from "./plots.js";

/** @typedef {(place: HTMLElement, target: string, truth: any, predicted: any) => void} Cell shows the rows behind a cell of the confusion matrix */

/**
 * @param {any} answer
 * @param {Cell | null} cell
 * @param {string} [against] what it is compared with
 */
export function evaluationReport(answer, cell, against = "") {
    return [
            h("section", {class: "card"}, h("h2", null, `Metrics on ${plural(answer.rows, "row")}`), h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Metric", "Value", "95 % interval"].map((text) => h("th", {scope: "col"}, text)))),
                h("tbody", null, Object.entries(answer.metrics).map(([metric, one]) => h("tr", null, h("th", {scope: "row"}, metric.replaceAll("_", " ")), h("td", null, number(/** @type {any} */ (one).value)), h("td", null, `${number(/** @type {any} */ (one).low)} to ${number(/** @type {any} */ (one).high)}`)))))),
            answer.skipped_rows ? h("p", {class: "small muted"}, `${plural(answer.skipped_rows, "row")} without a usable target were left out.`) : null),
            answer.comparison ? comparison(answer.comparison, against) : null,
            answer.targets.map((/** @type {any} */ target) => targetCards(target, cell)),
            [answer.slices ?? []].filter((all) => all.length).map((/** @type {any[]} */ all) => h("section", {class: "card"}, h("h2", null, `By ${all[0].column}, the worst first`), h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Rows", "Count", "Loss", "Difference of the loss", ...Object.keys(all[0].metrics ?? {}).slice(0, 4)].map((text) => h("th", {scope: "col"}, text)))),
                h("tbody", null, all.map((/** @type {any} */ one) => h("tr", null, h("th", {scope: "row"}, one.missing ? "missing" : one.range ? `${number(one.range[0])} to ${number(one.range[1])}` : String(one.value)), h("td", null, number(one.rows)), h("td", null, number(one.loss)), h("td", null, `${number(one.loss_difference)} ± ${number(one.loss_standard_error)}`), Object.entries(one.metrics ?? {}).slice(0, 4).map(([, v]) => h("td", null, number(/** @type {any} */ (v)?.value ?? v))))))))))
    ];
}

/**
 * @param {any} answer
 * @param {string} against
 */
function comparison(answer, against) {
    return h("section", {class: "card"}, h("h2", null, `Compared with ${against}`), h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Metric", "Difference", "95 % interval", "p"].map((text) => h("th", {scope: "col"}, text)))),
        h("tbody", null, Object.entries(answer.metrics ?? {}).map(([metric, one]) => h("tr", null, h("th", {scope: "row"}, metric), h("td", null, number(/** @type {any} */ (one).difference ?? /** @type {any} */ (one).value)), h("td", null, `${number(/** @type {any} */ (one).low)} to ${number(/** @type {any} */ (one).high)}`), h("td", null, number(/** @type {any} */ (one).p_value, 2))))))), h("p", {class: "small muted"}, "A small p says that the difference is hardly chance."));
}

/**
 * @param {any} target
 * @param {Cell | null} cell
 */
function targetCards(target, cell) {
    const cards = [];
    if (target.confusion_matrix) cards.push(confusion(target, cell));
    if (target.curves?.length) cards.push(curves(target));
    if (target.thresholds) cards.push(thresholds(target));
    if (target.residuals) cards.push(residuals(target));
    return h("div", {class: "grid"}, cards);
}

/**
 * @param {any} target
 * @param {Cell | null} cell
 */
function confusion(target, cell) {
    const {labels, rows} = target.confusion_matrix;
    const most = Math.max(1, ...rows.flat());
    const rest = h("div", {"aria-live": "polite"});
    return h("section", {class: "card w6"}, h("h2", null, `Confusion matrix of ${target.target}`), h("div", {class: "scroll"}, h("table", {class: "matrix"}, h("caption", null, "Rows: what it is. Columns: what was predicted.", cell ? " Press a cell to see its rows." : ""),
        h("thead", null, h("tr", null, h("td"), labels.map((/** @type {any} */ label) => h("th", {scope: "col"}, String(label))))),
        h("tbody", null, rows.map((/** @type {number[]} */ row, /** @type {number} */ i) => h("tr", null, h("th", {scope: "row"}, String(labels[i])), row.map((count, j) => h("td", null, h("button", {type: "button", style: {background: count ? `color-mix(in srgb, var(${i === j ? "--good-soft" : "--bad-soft"}) ${Math.round(25 + (75 * count) / most)}%, var(--card))` : "var(--card)"}, "aria-label": `${count} rows are ${labels[i]} and were predicted as ${labels[j]}`, disabled: !cell, onclick: () => cell?.(rest, target.target, labels[i], labels[j])}, number(count))))))))), rest,
    target.classes ? h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Class", "Precision", "Recall", "F1", "Rows"].map((text) => h("th", {scope: "col"}, text)))), h("tbody", null, target.classes.map((/** @type {any} */ one) => h("tr", null, h("th", {scope: "row"}, String(one.label)), h("td", null, percent(one.precision)), h("td", null, percent(one.recall)), h("td", null, number(one.f1)), h("td", null, number(one.support))))))) : null);
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
        h("div", {class: "scroll"}, h("table", null, h("caption", null, "Quantiles of truth minus prediction. Each dot is the mean of a tenth of the predictions."), h("tbody", null, quantiles.map((/** @type {any} */ one) => h("tr", null, h("th", {scope: "row"}, `${number(one.quantile * 100)} %`), h("td", {class: "number"}, number(one.value))))))));
}

