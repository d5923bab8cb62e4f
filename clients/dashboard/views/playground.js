// playground.js - two inputs, two classes, and the boundary that a network draws between them as it learns. The server computes every step in double; the page
// only draws.
import {curl, firstRows, list, post} from "../lib/api.js";
import {field, fill, h, select} from "../lib/dom.js";
import {number} from "../lib/format.js";
import {alertBox, curlBox, head, show} from "../lib/page.js";
import {plot} from "../lib/plots.js";
import {drawSurface} from "../lib/surface.js";

const GRID = 44; // cells of the surface along each side
const POINTS = 200; // at most: a trace takes 256 samples
const STEPS_MAX = 4000;

/**
 * Repeatable random numbers (mulberry32).
 * @param {number} seed
 */
function random(seed) {
    let state = seed;
    return () => {
        state = (state + 0x6d2b79f5) | 0;
        let t = Math.imul(state ^ (state >>> 15), 1 | state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
}

/** @typedef {{x: [number, number][], y: number[], labels: string[], names: [string, string]}} Sample */

/** @type {Record<string, (r: () => number) => {x: [number, number], y: number}>} */
const shapes = {
    "two spirals": (r) => {
        const arm = r() < 0.5 ? 0 : 1;
        const t = Math.sqrt(0.03 + 0.97 * r());
        const angle = t * 2.2 * Math.PI + arm * Math.PI;
        return {x: [t * Math.cos(angle) + 0.05 * (r() - 0.5), t * Math.sin(angle) + 0.05 * (r() - 0.5)], y: arm};
    },
    circles: (r) => {
        const inner = r() < 0.5;
        const radius = inner ? 0.45 * r() : 0.65 + 0.3 * r();
        const angle = 2 * Math.PI * r();
        return {x: [radius * Math.cos(angle), radius * Math.sin(angle)], y: inner ? 1 : 0};
    },
    "exclusive or": (r) => {
        const x = 2 * r() - 1;
        const y = 2 * r() - 1;
        return {x: [x, y], y: x * y > 0 ? 1 : 0};
    },
    "two clouds": (r) => {
        const c = r() < 0.5 ? 0 : 1;
        const normal = () => Math.sqrt(-2 * Math.log(1 - r())) * Math.cos(2 * Math.PI * r());
        return {x: [(c ? 0.4 : -0.4) + 0.22 * normal(), (c ? 0.4 : -0.4) + 0.22 * normal()], y: c};
    },
};

/**
 * @param {string} shape
 * @returns {Sample}
 */
function made(shape) {
    const r = random(11);
    const all = Array.from({length: POINTS}, () => shapes[shape](r));
    return {x: all.map((one) => one.x), y: all.map((one) => one.y), labels: ["a", "b"], names: ["x", "y"]};
}

/**
 * Two numeric columns of a dataset, scaled to -1 … 1, and a column of classes.
 * @param {any} dataset
 * @returns {Promise<Sample>}
 */
async function stored(dataset) {
    const columns = dataset.columns.filter((/** @type {any} */ c) => c.type === "numeric").slice(0, 2);
    const target = dataset.columns.find((/** @type {any} */ c) => c.categories && c.categories_count <= 6);
    const rows = (await firstRows(dataset.name, 2000)).filter((/** @type {any} */ row) => row[target.name] !== null && columns.every((/** @type {any} */ c) => typeof row[c.name] === "number"));
    const labels = [...new Set(rows.map((/** @type {any} */ row) => String(row[target.name])))].sort();
    const every = Math.max(1, rows.length / POINTS);
    const kept = Array.from({length: Math.min(POINTS, rows.length)}, (_, i) => rows[Math.floor(i * every)]);
    const scale = (/** @type {any} */ c, /** @type {number} */ v) => (2 * (v - c.min)) / (c.max - c.min || 1) - 1;
    return {x: kept.map((row) => /** @type {[number, number]} */ ([scale(columns[0], row[columns[0].name]), scale(columns[1], row[columns[1].name])])), y: kept.map((row) => labels.indexOf(String(row[target.name]))), labels, names: [columns[0].name, columns[1].name]};
}

/** @param {import("../lib/page.js").Page} page */
export default async function playground(page) {
    const datasets = (await list("/v1/datasets", 200)).filter((one) => one.columns?.filter((/** @type {any} */ c) => c.type === "numeric").length >= 2 && one.columns.some((/** @type {any} */ c) => c.categories && c.categories_count >= 2 && c.categories_count <= 6));
    const source = select([...Object.keys(shapes).map((value) => ({value})), ...datasets.map((one) => ({value: `data:${one.name}`, label: `dataset ${one.name}`}))], page.query.get("dataset") ? `data:${page.query.get("dataset")}` : "two spirals", {onchange: () => reset()});
    const layers = h("input", {value: "8, 8", onchange: () => reset()});
    const activation = select(["tanh", "relu", "sigmoid", "gelu", "silu", "linear"].map((value) => ({value})), "tanh", {onchange: () => reset()});
    const optimizer = select(["adam", "sgd", "rmsprop", "nadam", "lion"].map((value) => ({value})), "adam", {onchange: () => reset()});
    const rate = h("input", {type: "number", step: "any", min: "0", value: "0.03", onchange: () => reset()});
    const seed = h("input", {type: "number", min: "0", value: "3", onchange: () => reset()});
    const perTurn = select(["1", "5", "20", "50"].map((value) => ({value, label: `${value} ${value === "1" ? "step" : "steps"} a turn`})), "5", {"aria-label": "Speed"});
    const canvas = h("canvas", {class: "surface", width: GRID * 10, height: GRID * 10, role: "img", "aria-label": "The two classes and the boundary between them"});
    const figures = h("p", {role: "status"});
    const curve = h("div");
    const fault = h("div");
    /** @type {Sample} */
    let sample = made("two spirals");
    let steps = 0;
    let running = false;
    let turn = 0;
    const grid = Array.from({length: GRID * GRID}, (_, i) => [((i % GRID) + 0.5) / GRID * 2.4 - 1.2, 1.2 - ((Math.floor(i / GRID) + 0.5) / GRID) * 2.4]);

    function body() {
        const hidden = layers.value.split(/[ ,]+/).map(Number).filter((units) => units > 0).slice(0, 6);
        const classes = sample.labels.length;
        return {definition: {loss: classes > 2 ? "cross_entropy" : "binary_cross_entropy", layers: [...hidden.map((units) => ({type: "dense", units: Math.min(64, units), activation: activation.value})), {type: "dense", units: classes > 2 ? classes : 1, activation: classes > 2 ? "softmax" : "sigmoid"}]},
            x: sample.x, y: sample.y, seed: Number(seed.value) || 0, optimizer: {type: optimizer.value, learning_rate: Number(rate.value) || 0.01}, steps, brief: true, probe: grid.concat(sample.x)};
    }

    async function compute() {
        turn += 1;
        const mine = turn;
        try {
            const answer = await post("/v1/trace", body(), page.signal);
            if (mine !== turn) return;
            fill(fault);
            draw(answer);
        } catch (error) {
            stop();
            if (!page.signal.aborted) fill(fault, alertBox(error));
        }
    }

    /** @param {any} answer */
    function draw(answer) {
        const shares = (/** @type {number[]} */ p) => (p.length === 1 ? [1 - p[0], p[0]] : p);
        drawSurface(canvas, GRID, answer.probe[0].slice(0, GRID * GRID).map(shares), sample.x.map(([x, y], i) => ({x: (x + 1.2) / 2.4, y: (y + 1.2) / 2.4, kind: sample.y[i]})));
        const right = answer.probe[0].slice(GRID * GRID).filter((/** @type {number[]} */ p, /** @type {number} */ i) => {
            const parts = shares(p);
            return parts.indexOf(Math.max(...parts)) === sample.y[i];
        }).length;
        fill(figures, h("strong", null, `Step ${number(steps)}`), `: loss ${number(answer.loss)}, ${number(right)} of ${number(sample.x.length)} points right, ${number(answer.parameters)} parameters`);
        fill(curve, answer.history.length > 1 ? plot([{points: answer.history.map((/** @type {number} */ loss, /** @type {number} */ i) => [i, loss])}], {label: "The loss over the steps", x: "step", y: "loss", height: 240}) : h("p", {class: "muted small"}, "The loss appears here."));
        canvas.setAttribute("aria-label", `The boundary after ${steps} steps: ${right} of ${sample.x.length} points are on their side`);
    }

    const start = h("button", {type: "button", class: "primary", onclick: () => (running ? stop() : go())}, "Learn");
    function stop() {
        running = false;
        start.textContent = "Learn";
    }
    async function go() {
        running = true;
        start.textContent = "Pause";
        if (steps >= STEPS_MAX) steps = 0;
        while (running && !page.signal.aborted && steps < STEPS_MAX) {
            steps = Math.min(STEPS_MAX, steps + Number(perTurn.value));
            await Promise.all([compute(), new Promise((resolve) => setTimeout(resolve, 50))]);
        }
        stop();
    }
    async function reset() {
        stop();
        steps = 0;
        const name = source.value;
        sample = name.startsWith("data:") ? await stored(datasets.find((one) => `data:${one.name}` === name)) : made(name);
        await compute();
    }
    show(page.main, head(page, "Playground", {crumb: h("a", {href: "#/inside"}, "Inside"), about: "Each step sees all points, so a step is an epoch. The server computes it in double precision; press Learn and watch the boundary."}),
        h("div", {class: "grid"}, h("section", {class: "card w6"}, canvas, h("div", {class: "row", style: {margin: "12px 0"}}, start, h("button", {type: "button", onclick: () => {
            stop();
            steps += 1;
            compute();
        }}, "One step"), h("button", {type: "button", onclick: () => reset()}, "Start over"), perTurn), figures, fault),
        h("div", {class: "w6"}, h("section", {class: "card"}, h("h2", null, "Network"), h("div", {class: "fields"}, field("Points", source), field("Units of the hidden layers", layers, "Separated by commas; empty for none."), field("Activation", activation), field("Optimizer", optimizer), field("Learning rate", rate), field("Seed", seed))), h("section", {class: "card"}, h("h2", null, "Loss"), curve))),
        curlBox(() => [{label: "This state of the network", text: curl("POST", "/v1/trace", {...body(), probe: [[0.5, 0.5]]})}]));
    await reset();
}
