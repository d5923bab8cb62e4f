// try.js - a form made from the columns that the version reads; it answers as one types, says what contributed, and warns outside the training range.
import {curl, get, list, post, raw} from "../lib/api.js";
import {debounce, field, fill, h, select} from "../lib/dom.js";
import {number, percent} from "../lib/format.js";
import {featuresOf, loadModel, modelTabs, versionChoice} from "../lib/model.js";
import {action, alertBox, curlBox, download, head, notice, show, warningBox} from "../lib/page.js";
import {bars} from "../lib/plots.js";
import {drawSurface} from "../lib/surface.js";

const PLANE = 40; // cells along each side

/** @param {import("../lib/page.js").Page} page */
export default async function tryIt(page) {
    const {name, path, versions, version} = await loadModel(page);
    if (!version) {
        show(page.main, head(page, name), modelTabs(name, "Try it", undefined), h("p", {class: "muted"}, "There is no version to try yet."));
        return;
    }
    const features = featuresOf(version);
    const address = `${path}/versions/${version.version}/predict`;
    const datasets = await list("/v1/datasets", 1000).catch(() => []);
    const background = datasets.find((one) => one.name === version.dataset?.name);
    /** @type {Map<string, any>} what the training data says of a column */
    const known = new Map();
    if (background) {
        const data = await get(`/v1/datasets/${encodeURIComponent(`${version.dataset.name}@${version.dataset.version}`)}`, page.signal).catch(() => null);
        for (const column of data?.columns ?? []) known.set(column.name, column);
    }
    /** @type {Record<string, any>} */
    const row = {};
    /** @type {Map<string, HTMLElement>} */
    const notes = new Map();
    const answerPlace = h("div", {"aria-live": "polite"});
    const contributions = h("div");
    const warnings = h("div");

    /* Of two numbers and classes the whole plane can be shown. */
    const plane = features.length === 2 && features.every((one) => one.type === "numeric" && one.max > one.min) && version.task === "classification";
    const canvas = h("canvas", {class: "surface", width: PLANE * 10, height: PLANE * 10, role: "img", "aria-label": "What the model says everywhere in the plane of its two columns"});
    /** @type {{shares: number[][], labels: string[]} | null} */
    let surface = null;
    async function drawPlane() {
        if (!plane) return;
        const [a, b] = features;
        if (!surface) {
            const cells = Array.from({length: PLANE * PLANE}, (_, i) => ({[a.name]: a.min + (((i % PLANE) + 0.5) / PLANE) * (a.max - a.min), [b.name]: b.max - ((Math.floor(i / PLANE) + 0.5) / PLANE) * (b.max - b.min)}));
            const answer = await post(address, {instances: cells, warnings: false}, page.signal);
            const labels = Object.keys(answer.predictions[0].probabilities);
            surface = {labels, shares: answer.predictions.map((/** @type {any} */ one) => labels.map((label) => one.probabilities[label]))};
        }
        const x = (row[a.name] - a.min) / (a.max - a.min);
        const y = (row[b.name] - b.min) / (b.max - b.min);
        const column = Math.max(0, Math.min(PLANE - 1, Math.floor(x * PLANE)));
        const line = Math.max(0, Math.min(PLANE - 1, Math.floor((1 - y) * PLANE)));
        const here = surface.shares[line * PLANE + column];
        drawSurface(canvas, PLANE, surface.shares, [{x, y, kind: here.indexOf(Math.max(...here)), large: true}]);
    }

    const predict = debounce(async () => {
        try {
            const answer = await post(address, {instances: [row]}, page.signal);
            fill(answerPlace, prediction(answer.predictions[0]));
            fill(warnings, warningBox((answer.warnings ?? []).map((/** @type {any} */ one) => (typeof one === "string" ? one : one.detail ?? JSON.stringify(one)))));
        } catch (error) {
            fill(answerPlace, alertBox(error));
        }
        explain();
        drawPlane().catch(() => {});
    }, 60);

    const explain = debounce(async () => {
        if (!background) return;
        try {
            const reference = `${version.dataset.name}@${version.dataset.version}`;
            const answer = await post(`${path}/versions/${version.version}/explain`, {method: "shapley", background: reference, dataset: {records: [row]}}, page.signal);
            const one = answer.explanations[0];
            const sorted = [...one.attributions].sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
            fill(contributions, h("p", {class: "small"}, `On average the model says ${number(one.baseline)}${one.class ? ` for ${one.class}` : ""}; these columns move it to ${number(one.prediction)}.`), bars(sorted.map((a) => ({name: a.column, value: a.value, text: `${a.value > 0 ? "+" : ""}${number(a.value, 3)}`})), {signed: true}));
        } catch (error) {
            fill(contributions, h("p", {class: "small muted"}, /takes too long/.test(/** @type {Error} */ (error).message) ? "This model is too large to attribute a prediction while you type; see Explain for the columns that matter." : /** @type {Error} */ (error).message));
        }
    }, 350);

    /**
     * @param {any} one
     * @returns {any}
     */
    function prediction(one) {
        if (one.outputs) return Object.entries(one.outputs).map(([output, inner]) => [h("h3", null, output), prediction(inner)]);
        const parts = [];
        if (one.label !== undefined) parts.push(h("div", {class: "answer"}, String(one.label)));
        else if (one.labels) parts.push(h("div", {class: "answer"}, one.labels.length ? one.labels.join(", ") : "none"));
        else if (one.value !== undefined) parts.push(h("div", {class: "answer"}, number(one.value, 5), " ", h("small", {class: "muted"}, String(version.target ?? ""))));
        else parts.push(h("pre", null, JSON.stringify(one, null, 1).slice(0, 1500)));
        const interval = one.interval ?? one.prediction_interval;
        if (Array.isArray(interval)) parts.push(h("p", null, `Between ${number(interval[0])} and ${number(interval[1])}${one.coverage ? ` with ${percent(one.coverage)} confidence` : ""}.`));
        else if (interval && interval.low !== undefined) parts.push(h("p", null, `Between ${number(interval.low)} and ${number(interval.high)}.`));
        const set = one.set ?? one.prediction_set;
        if (Array.isArray(set)) parts.push(h("p", null, "Cannot be told apart from: ", set.join(", ") || "nothing known"));
        if (one.distribution) parts.push(h("p", null, `mean ${number(one.distribution.mean)}, standard deviation ${number(one.distribution.deviation)}`));
        if (one.quantiles) parts.push(h("p", null, Object.entries(one.quantiles).map(([q, v]) => `${percent(Number(q))}: ${number(v)}`).join(", ")));
        const shares = one.probabilities ?? one.scores;
        if (shares) parts.push(h("div", {class: "probabilities", style: {"margin-top": "10px"}}, bars(Object.entries(shares).sort((a, b) => b[1] - a[1]).slice(0, 12).map(([label, value]) => ({name: label, value, text: one.probabilities ? percent(value) : number(value)})), one.probabilities ? {max: 1} : {signed: true})));
        return parts;
    }

    /** @param {any} feature */
    function control(feature) {
        const column = known.get(feature.name);
        const note = h("span");
        notes.set(feature.name, note);
        const categories = feature.categories ?? column?.categories?.map((/** @type {any} */ c) => c.value);
        if ((feature.type === "categorical" || feature.type === "boolean" || column?.type === "boolean") && categories) {
            row[feature.name] = column?.categories?.[0]?.value ?? categories[0];
            const choice = select([{value: "", label: "missing"}, ...categories.map((/** @type {string} */ value) => ({value: String(value)}))], String(row[feature.name]), {onchange: () => {
                row[feature.name] = choice.value === "" ? null : choice.value;
                predict();
            }});
            return field(feature.name, choice);
        }
        const low = feature.min ?? column?.min;
        const high = feature.max ?? column?.max;
        const numeric = feature.type === "numeric" || column?.type === "numeric";
        if (numeric) {
            const whole = column && Number.isInteger(column.min) && Number.isInteger(column.max) && column.max - column.min > 4;
            const middle = feature.mean ?? column?.mean ?? 0;
            row[feature.name] = whole ? Math.round(middle) : Number(Number(middle).toPrecision(4));
            const input = h("input", {type: "number", step: "any", value: row[feature.name], oninput: () => moved(input.value)});
            const slider = low !== undefined && high !== undefined && high > low ? h("input", {type: "range", "aria-label": `${feature.name}, slider`, min: low, max: high, step: whole ? "1" : String((high - low) / 200), value: row[feature.name], oninput: () => {
                input.value = slider ? slider.value : "";
                moved(input.value);
            }}) : null;
            const moved = (/** @type {string} */ text) => {
                row[feature.name] = text === "" ? null : Number(text);
                if (slider && text !== "") slider.value = text;
                const outside = row[feature.name] !== null && low !== undefined && (row[feature.name] < low || row[feature.name] > high);
                note.className = outside ? "chip warn" : "";
                note.textContent = outside ? `outside ${number(low)} to ${number(high)}` : "";
                predict();
            };
            const box = field(feature.name, input, low !== undefined ? `Trained on ${number(low)} to ${number(high)}.` : "");
            box.append(slider ?? "", note);
            return box;
        }
        row[feature.name] = column?.categories?.[0]?.value ?? (feature.type === "datetime" ? new Date().toISOString().slice(0, 19) : "");
        const input = h("input", {value: row[feature.name] ?? "", oninput: () => {
            let value = /** @type {any} */ (input.value);
            if (feature.type === "tensor" || feature.type === "labels") try {
                value = JSON.parse(input.value);
            } catch {
                // sent as it is; the server says what it expects
            }
            row[feature.name] = input.value === "" ? null : value;
            predict();
        }});
        return field(feature.name, input, feature.type);
    }

    const controls = features.slice(0, 60).map(control);
    const file = h("input", {type: "file", accept: ".csv,.ndjson,.jsonl"});
    const predictFile = action("Predict the file", async () => {
        const chosen = file.files?.[0];
        if (!chosen) throw new Error("Choose a CSV file first; its first line names the columns.");
        const lines = /\.(ndjson|jsonl)$/.test(chosen.name);
        const type = lines ? "application/x-ndjson" : "text/csv";
        notice(`Predicting ${chosen.name} …`);
        const response = await raw("POST", address, {body: chosen, headers: {"Content-Type": type, Accept: type}});
        download(chosen.name.replace(/(\.[^.]*)?$/, lines ? "-predicted.ndjson" : "-predicted.csv"), await response.blob());
    });
    const stored = select(datasets.map((one) => ({value: one.name})), background?.name ?? datasets[0]?.name ?? "");
    const predictStored = action("Predict all its rows", async () => {
        const job = await post("/v1/batches", {model: `${name}@${version.version}`, dataset: stored.value});
        location.hash = `#/runs/${job.id}`;
    });
    /** @param {number} at */
    async function showRow(at) {
        const rows = await get(`/v1/datasets/${encodeURIComponent(`${version.dataset.name}@${version.dataset.version}`)}/rows?limit=1&offset=${at}`, page.signal);
        features.forEach((feature, i) => {
            const value = rows.data[0]?.[feature.name];
            if (value === undefined || !controls[i]) return;
            const input = /** @type {HTMLInputElement} */ (controls[i].querySelector("input, select"));
            input.value = value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
            input.dispatchEvent(new Event(input.tagName === "SELECT" ? "change" : "input"));
        });
        return rows.data[0]?.[String(version.target)];
    }
    const randomRow = action("A row of the data", async () => {
        const at = Math.floor(Math.random() * background.rows);
        const truth = await showRow(at);
        if (truth !== undefined) notice(`Row ${number(at + 1)}: ${version.target} is ${truth}.`);
    });
    show(page.main, head(page, name, {crumb: h("a", {href: "#/models"}, "Models"), actions: versionChoice(versions, version.version, `#/models/${encodeURIComponent(name)}/try`)}), modelTabs(name, "Try it", version.version),
        h("div", {class: "grid"}, h("section", {class: "card w7"}, h("div", {class: "row", style: {"justify-content": "space-between", "margin-bottom": "10px"}}, h("h2", {style: {margin: "0"}}, "One row"), background ? randomRow : null), h("div", {class: "fields"}, controls), features.length > 60 ? h("p", {class: "small muted"}, `The first 60 of ${features.length} columns; the others count as missing.`) : null),
            h("div", {class: "w5"}, h("section", {class: "card"}, h("h2", null, "Prediction"), answerPlace, h("div", {style: {"margin-top": "12px"}}, warnings)), plane ? h("section", {class: "card"}, h("h2", null, "The plane of both columns"), canvas, h("p", {class: "small muted"}, `Left to right ${features[0].name}, upwards ${features[1].name}; the point is this row. `, version.dataset ? h("a", {href: `#/playground?dataset=${encodeURIComponent(version.dataset.name)}`}, "Watch such a boundary form") : null)) : null, background ? h("section", {class: "card"}, h("h2", null, "What contributed"), contributions) : null,
                h("section", {class: "card"}, h("h2", null, "Predict a file"), h("p", {class: "small muted"}, "A CSV or JSON lines file comes back with the predictions, beside the columns that the model does not read."), h("div", {class: "row"}, field("File", file), predictFile), datasets.length ? [h("h3", {style: {"margin-top": "14px"}}, "Or a stored dataset"), h("div", {class: "row"}, field("Dataset", stored), predictStored)] : null))),
        curlBox(() => [{label: "Predict this row", text: curl("POST", address, {instances: [row]})}, {label: "With the served version", text: curl("POST", `${path}/predict`, {instances: [row]})}, {label: "Predict a file", text: curl("POST", address, {file: "rows.csv", type: "text/csv"}, ["Accept: text/csv"])}]));
    if (background) await showRow(0);
    predict();
}
