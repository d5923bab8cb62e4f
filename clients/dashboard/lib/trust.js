// trust.js - what says whether a version can be believed: its calibration, and whether live rows still look like those it was trained on.
import {get, list, post} from "./api.js";
import {fill, field, h, s, select} from "./dom.js";
import {number, percent, plural} from "./format.js";
import {action, alertBox, notice, warningBox} from "./page.js";

/** @type {Record<string, string>} */
const TONES = {stable: "good", moderate: "warn", major: "bad", too_few_rows: "", no_rows: ""};

/**
 * Training rows and live rows in the same bins, side by side.
 * @param {any} feature
 */
function twins(feature) {
    const shares = (/** @type {number[]} */ counts) => {
        const total = counts.reduce((a, b) => a + b, 0) || 1;
        return counts.map((count) => count / total);
    };
    const reference = shares(feature.reference);
    const live = shares(feature.live);
    const most = Math.max(...reference, ...live, 1e-9);
    const width = 120 / reference.length;
    const bar = (/** @type {number} */ share, /** @type {number} */ x, /** @type {string} */ color) => s("rect", {x: x.toFixed(1), y: (30 - (28 * share) / most).toFixed(1), width: (width * 0.42).toFixed(1), height: ((28 * share) / most).toFixed(1), style: {fill: color}});
    return s("svg", {class: "spark", viewBox: "0 0 120 30", role: "img", "aria-label": `${feature.feature ?? feature.output}: training rows and live rows by bin`, preserveAspectRatio: "none"}, reference.map((share, i) => [bar(share, i * width, "var(--s0)"), bar(live[i], (i + 0.46) * width, "var(--s1)")]));
}

/**
 * @param {string} path of the version
 * @param {AbortSignal} signal
 */
export function driftCard(path, signal) {
    const body = h("div");
    const windows = select([{value: "hour", label: "this hour"}, {value: "day", label: "24 hours"}, {value: "week", label: "7 days"}], "day", {"aria-label": "Window", onchange: () => draw()});
    /** @type {any} */
    let answer = null;
    function draw() {
        const shown = answer.windows?.find((/** @type {any} */ one) => one.window === windows.value);
        if (!shown || shown.rows === 0) {
            fill(body, h("p", {class: "muted"}, answer.message ?? (answer.windows?.length ? "No row was predicted in this time." : "This version has no reference of its training rows.")));
            return;
        }
        fill(body, h("p", {class: "small"}, `${plural(shown.rows, "row")} predicted. Blue: training rows, orange: live rows.`), h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null, ["Column", "Index", "", "Bins"].map((name, i) => h("th", {scope: "col", class: i === 1 ? "number" : ""}, name || h("span", {class: "muted"}, "Status"))))),
            h("tbody", null, [...shown.features.slice(0, 8), ...(shown.outputs ?? [])].map((/** @type {any} */ one) => h("tr", null, h("th", {scope: "row"}, one.feature ?? `predicted ${one.output}`), h("td", {class: "number"}, number(one.stability_index, 2)), h("td", null, h("span", {class: `chip ${TONES[one.status] ?? ""}`}, String(one.status).replaceAll("_", " "))), h("td", null, twins(one))))))),
        h("p", {class: "small muted"}, "Population stability index: below 0.1 is stable, from 0.25 on the rows have changed."));
    }
    get(`${path}/drift`, signal).then((found) => {
        answer = found;
        draw();
    }, (error) => signal.aborted || fill(body, alertBox(error)));
    return h("section", {class: "card w6"}, h("div", {class: "row", style: {"justify-content": "space-between"}}, h("h2", null, "Live rows against training rows"), windows), body);
}

/**
 * @param {string} path of the version
 * @param {AbortSignal} signal
 * @param {string} trained the dataset that it was trained on
 */
export function calibrationCard(path, signal, trained) {
    const body = h("div");
    const data = h("select");
    const coverage = h("input", {type: "number", min: "0.5", max: "0.999", step: "any", value: "0.9"});
    const form = h("div", {class: "fields"}, field("Rows that it has not seen", data), field("Coverage", coverage, "How often sets or intervals must have the truth."));

    /** @param {any} calibration */
    function draw(calibration) {
        const fitted = calibration.fitted;
        fill(body, calibration.calibrated ? h("p", null, h("span", {class: "chip good"}, "calibrated"), " Predictions come with a set of labels or an interval.") : h("p", {class: "muted"}, "Not calibrated: probabilities may be too sure of themselves."),
            warningBox(calibration.warnings ?? fitted?.warnings ?? []),
            (fitted?.targets ?? []).filter((/** @type {any} */ one) => one.held_out).map((/** @type {any} */ one) => h("div", {class: "scroll"}, h("table", null, h("caption", null, `${one.target}, measured on ${plural(one.held_out.rows, "row")} held out`), h("tbody", null,
                Object.keys(one.held_out.before ?? {}).map((name) => h("tr", null, h("th", {scope: "row"}, name.replaceAll("_", " ")), h("td", {class: "number"}, `${number(one.held_out.before[name], 3)} → ${number(one.held_out.after?.[name], 3)}`))),
                one.held_out.coverage === undefined ? null : h("tr", null, h("th", {scope: "row"}, "coverage"), h("td", {class: "number"}, `${percent(one.held_out.coverage)} (${percent(one.held_out.coverage_low)} to ${percent(one.held_out.coverage_high)})`)),
                one.held_out.mean_size === undefined ? null : h("tr", null, h("th", {scope: "row"}, "mean size"), h("td", {class: "number"}, number(one.held_out.mean_size, 3))))))));
    }
    const fit = action("Calibrate", async () => {
        const answer = await post(`${path}/calibrate`, {dataset: data.value, conformal: {coverage: Number(coverage.value)}});
        draw(answer);
        notice("Calibrated: predictions have sets or intervals now.");
    });
    list("/v1/datasets", 1000).then((all) => {
        fill(data, all.map((one) => h("option", {value: one.name}, one.name)));
        if (all.some((one) => one.name === trained)) data.value = trained;
    }, () => {});
    get(`${path}/calibration`, signal).then(draw, (error) => signal.aborted || fill(body, alertBox(error)));
    return h("section", {class: "card w6"}, h("h2", null, "Calibration"), body, form, h("div", {class: "row end", style: {"margin-top": "10px"}}, fit));
}
